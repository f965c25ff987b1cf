"""The passwords that everybody can read are those that set-up refuses beyond loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.setup.security import DEFAULT_PASSWORDS

ENV = Path(__file__).parents[2] / ".env"


def shipped() -> dict[str, str]:
    lines = [line.strip() for line in ENV.read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def test_every_password_that_is_shipped_is_one_that_is_refused() -> None:
    passwords = {name: value for name, value in shipped().items() if name.endswith("_PASSWORD")}
    assert passwords == DEFAULT_PASSWORDS


@pytest.mark.parametrize("password", DEFAULT_PASSWORDS.values())
def test_elasticsearch_takes_them(password: str) -> None:
    """Six characters at the least; no sign that a shell or a compose file would read otherwise."""
    assert len(password) >= 6
    assert password.replace("-", "").isalnum()


def test_shipped_is_loopback() -> None:
    assert shipped()["BIND_ADDRESS"] == "127.0.0.1"
