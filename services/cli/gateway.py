"""`newsflow gateway`: one gateway, in the foreground."""

from __future__ import annotations

from services.cli.addresses import settings_of
from services.gateway import app
from services.gateway.settings import GatewaySettings


def gateway() -> None:
    """Take articles over HTTP until told to stop (Ctrl-C, SIGTERM)."""
    app.main(settings_of(GatewaySettings))
