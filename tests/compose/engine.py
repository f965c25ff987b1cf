"""The Docker engine that these tests run on: the machine's own, else that of the lab beside the checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.live.harness import ROOT

LAB = ROOT.parent / "shared" / "compose-lab"
"""Builds an engine and local stand-ins of the official images, where none can be pulled."""


EXIT_NO_ENGINE = 77
"""Exit status of `python -m tests.compose` without an engine: automake's status for a test that was skipped."""


class NoEngine(RuntimeError):
    """There is no engine, and the message says why."""


def prepare_engine() -> str:
    """Make an engine answer, with every image that it cannot pull; returns what it is.

    Raises `NoEngine` when there is none, or the lab does not come up.
    """
    version = _version()
    if version is None:
        if not (LAB / "up.sh").exists():
            raise NoEngine("no Docker engine with `docker compose` answers here")
        _say(f"building the lab: {LAB}")
        try:
            subprocess.run([LAB / "up.sh"], check=True, stdout=sys.stderr)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoEngine(f"the lab does not come up: {error}") from None
        version = _version()
        if version is None:
            raise NoEngine(f"{LAB} is up, and no engine with `docker compose` answers")
    if is_lab():
        done = subprocess.run([LAB / "alias.sh", "--scan", ROOT], check=True, capture_output=True, text=True)
        # Our own images have no stand-in and need none.
        for line in done.stderr.splitlines():
            if " newsflow" not in line:
                _say(line)
        return f"engine {version} of the lab, on stand-in images"
    return f"engine {version} of this machine"


def is_lab() -> bool:
    """Whether the engine is the lab's."""
    if not (LAB / "alias.sh").exists():
        return False
    done = subprocess.run(
        ["docker", "info", "-f", "{{.DefaultRuntime}}"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "lab"


def _version() -> str | None:
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True)
        done = subprocess.run(
            ["docker", "version", "-f", "{{.Server.Version}}"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> int:
    """Run the tests; returns pytest's exit status, or `EXIT_NO_ENGINE` with a line that says why."""
    try:
        found = prepare_engine()
    except NoEngine as error:
        _say(f"NOT TESTED: docker-compose.yml. {error}.")
        return EXIT_NO_ENGINE
    _say(f"docker-compose.yml on the {found}")
    # The contract's tests ask `docker compose` what the file says; a machine without it has skipped them so far.
    what = [ROOT / "tests/contract/test_compose.py", Path(__file__).parent]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *what, *sys.argv[1:]], cwd=ROOT, check=False)
    return done.returncode
