"""What an operator can set on the dashboard: `[dashboard]` in tandem.toml, `TANDEM_DASHBOARD_...`."""

from __future__ import annotations

from pydantic import Field

from services.kit.settings import ServiceSettings, service_config


class DashboardSettings(ServiceSettings):
    """`session_hours` is how long a signed-in browser stays so without being used."""

    toml_table = "dashboard"
    model_config = service_config("dashboard")

    session_hours: float = Field(default=12.0, gt=0)
