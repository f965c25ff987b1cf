"""How many examples a property test tries, and which tests one pytest-xdist worker runs together."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.nodeid import NodeId
from hypothesis import settings

LIVE = Path(__file__).parent / "live"

SHARED_IN_A_RUN = ("running", "broker")
"""Fixtures of live tests that are started once in a run: the tests of each go to one worker."""

# No deadline: a time says more of the machine than of the code. Both tiers try the same examples in every run, so
# that a change is judged by what it changes; `--hypothesis-profile search` looks for new ones.
settings.register_profile("fast", deadline=None, max_examples=50, derandomize=True)
settings.register_profile("slow", deadline=None, max_examples=200, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1_000)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("hypothesis_profile", None):
        settings.load_profile("fast")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` a group of tests stays in one worker, so that its fixtures are set up once."""
    if not config.getoption("loadgroup", default=False):
        return
    for item in items:
        group = _group(item)
        if group:
            # pytest-xdist 3.8.0 writes the group of a marker into `_nodeid`, which pytest 9.2 does not read.
            item._id = NodeId.parse(f"{item.nodeid}@{group}")


def _group(item: pytest.Item) -> str | None:
    """The file, but for live tests with topics of their own: any worker may run each of these."""
    fixtures = getattr(item, "fixturenames", ())
    shared = next((name for name in SHARED_IN_A_RUN if name in fixtures), None)
    if shared or (LIVE in item.path.parents and "module_pipeline" not in fixtures):
        return shared
    return str(item.path.relative_to(LIVE.parent).with_suffix("")).replace("/", ".")
