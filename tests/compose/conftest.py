"""One stack for all tests of the folder, in the order of the file; it is gone afterwards, whatever happens."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.embedded.ports import choose_ports
from services.setup.security import DEFAULT_PASSWORDS
from tests.compose.engine import NoEngine, prepare_engine
from tests.compose.stack import IMAGES, Stack

FOLDER = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Minutes, and an engine: only for who names this folder."""
    named = (Path(each.split("::")[0]).resolve() for each in config.args)
    return None if any(each == FOLDER or FOLDER in each.parents for each in named) else True


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    try:
        prepare_engine()
    except NoEngine as error:
        pytest.skip(str(error))
    name = f"newsflow-test-{uuid.uuid4().hex[:8]}"
    # The usual ports where they are free.
    ports = choose_ports(
        ["kafka", "elasticsearch", "kibana"], {"kafka": 9092, "elasticsearch": 9200, "kibana": 5601}
    )
    # One child process in a tagger: three taggers are started here, on whatever this machine has.
    made = Stack(name, ports, dict(DEFAULT_PASSWORDS), name, {"TAGGER_PROCESSES": "1"})
    try:
        yield made
    finally:
        made.compose("--profile", "*", "down", "-v", "--remove-orphans", status=None)
        images = [f"{image}:{made.version}" for image in IMAGES]
        subprocess.run(["docker", "image", "rm", "-f", *images], capture_output=True, check=False)
