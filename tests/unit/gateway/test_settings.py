from __future__ import annotations

from typing import Any

import pytest

from services.gateway.settings import GatewaySettings
from services.runtime.settings import load_settings


def settings(**given: Any) -> GatewaySettings:
    return load_settings(GatewaySettings, kafka_bootstrap_servers="127.0.0.1:1", **given)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("gateway.example", False),
        ("localhost.example", False),
    ],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert settings(host=host).on_loopback is loopback


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"in_flight_bytes": 3_000, "body_bytes": 2_000}, "GATEWAY_IN_FLIGHT_BYTES"),
        ({"in_flight_records": 9, "body_records": 10}, "GATEWAY_IN_FLIGHT_RECORDS"),
    ],
)
def test_limits_that_would_refuse_a_request_for_ever(
    given: dict[str, int], variable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        settings(**given)
    assert caught.value.code == 2
    assert variable in capsys.readouterr().err


def test_an_empty_keys_file_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS_FILE", "")
    assert settings().api_keys_file is None
