"""Run the gateway: `python -m services.gateway`."""

from __future__ import annotations

from services.gateway.app import create_app
from services.gateway.parts import connect, make_parts
from services.gateway.settings import Settings
from services.kit.logging import configure
from services.kit.serving import serve


def main() -> None:
    configure("gateway")
    settings = Settings()
    platform = settings.platform
    app = create_app(settings.gateway, make_parts(settings, connect(platform)))
    serve(app, platform.gateway_url, platform.listen_host)


if __name__ == "__main__":
    main()
