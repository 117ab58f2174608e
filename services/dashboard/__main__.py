"""Run the dashboard: `python -m services.dashboard`."""

from __future__ import annotations

import hashlib
import os

from services.kit.settings import Platform

PLATFORM = Platform()
os.environ.setdefault("NICEGUI_STORAGE_PATH", str(PLATFORM.dashboard_folder))  # read when nicegui is imported

from services.dashboard.app import create_app  # noqa: E402
from services.dashboard.settings import DashboardSettings  # noqa: E402
from services.kit.http import async_client  # noqa: E402
from services.kit.logging import configure  # noqa: E402
from services.kit.serving import serve  # noqa: E402


def main() -> None:
    configure("dashboard")
    secret = hashlib.sha256(f"dashboard:{PLATFORM.service_token}".encode()).hexdigest()
    app = create_app(DashboardSettings(), async_client(PLATFORM.gateway_url, ""), secret)
    serve(app, PLATFORM.dashboard_url, PLATFORM.listen_host)


if __name__ == "__main__":
    main()
