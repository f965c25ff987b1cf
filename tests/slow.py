"""The slow tier, `make test-slow`: full scale, scores on public data, docker-compose.yml.

A part that fails does not keep the next one from running. The end names the time of each part, and in a banner
every part that could not run on this machine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass

from tests.compose.engine import EXIT_NO_ENGINE
from tests.live.harness import ROOT


@dataclass(frozen=True)
class Part:
    """A command that `python -m` runs, with the exit status by which it says that it cannot run here."""

    name: str
    module: tuple[str, ...]
    cannot_run: int | None = None
    needs: str = ""


SHARED = ("pytest", "-q", "-n", "4", "--dist", "loadgroup")
"""As `make test` shares tests out among workers."""

PARTS = (
    Part("full scale", (*SHARED, "-m", "slow", "tests")),
    Part("properties", (*SHARED, "-m", "hypothesis", "--hypothesis-profile", "slow", "tests/unit")),
    Part("quality", ("pytest", "-q", "-s", "tests/quality")),
    Part("compose", ("tests.compose",), EXIT_NO_ENGINE, "a Docker engine with `docker compose`"),
)


def main() -> int:
    """Run every part; returns 1 if one failed. A part that cannot run here fails nothing and is in the banner."""
    lines, absent, failed = [], [], False
    for part in PARTS:
        started = time.monotonic()
        status = subprocess.run([sys.executable, "-m", *part.module], cwd=ROOT, check=False).returncode
        result = "passed" if status == 0 else f"FAILED (exit status {status})"
        if status == part.cannot_run:
            result = "NOT RUN"
            absent.append(f"{part.name}: it needs {part.needs}")
        elif status != 0:
            failed = True
        lines.append(f"{part.name:12} {time.monotonic() - started:6.0f} s  {result}")
    print("\n".join(["", *lines]))
    if absent:
        bar = "!" * 100
        print("\n".join([bar, *(f"NOT TESTED  {line}" for line in absent), bar]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
