from __future__ import annotations

import pytest

from services.cli.gateway import gateway
from services.gateway import app
from services.gateway.settings import GatewaySettings


def test_the_verb_runs_a_gateway_with_the_settings_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[GatewaySettings] = []
    monkeypatch.setattr(app, "main", ran.append)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("GATEWAY_PORT", "8123")
    gateway()
    assert [(each.port, each.host) for each in ran] == [(8123, "127.0.0.1")]
