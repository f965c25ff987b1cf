"""How many examples a property test tries: `make test` few, `make test-slow` many (`--hypothesis-profile slow`)."""

from __future__ import annotations

import pytest
from hypothesis import settings

# No deadline: a time says more of the machine than of the code.
settings.register_profile("fast", deadline=None, max_examples=50)
settings.register_profile("slow", deadline=None, max_examples=1_000)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("hypothesis_profile", None):
        settings.load_profile("fast")
