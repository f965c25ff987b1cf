from __future__ import annotations

import json
import logging
import resource
import sys
from dataclasses import asdict
from pathlib import Path

import structlog

MANIFEST = "manifest.json"


def write(folder: Path, *, small: bool = False) -> None:
    """Every file, in a folder of its name, and the list of them without what is expected."""
    from tests.corpus.cases import CASES, SMALL_CASES  # noqa: PLC0415 - their bytes are not to be in a run's memory

    given = []
    for case in SMALL_CASES if small else CASES:
        file, digest = case.write(folder)
        given.append(
            {"name": case.name, "kind": case.kind, "file": str(file), "options": case.options, "digest": digest}
        )
    (folder / MANIFEST).write_text(json.dumps(given))


def run(folder: Path) -> None:
    """A line of JSON a file, and at the end one with the highest memory (MiB) of this process."""
    from tests.corpus.running import Given, run_all  # noqa: PLC0415 - not needed to write

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    given = [Given(**each) for each in json.loads((folder / MANIFEST).read_text())]
    for outcome in run_all(given):
        print(json.dumps(asdict(outcome)), flush=True)
    print(json.dumps({"peak_mib": _peak_mib()}))


def _peak_mib() -> int:
    """Of this process alone: on Linux `ru_maxrss` begins with what the process had that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**20


if __name__ == "__main__":
    verb, target = sys.argv[1], Path(sys.argv[2])
    if verb == "run":
        run(target)
    else:
        write(target, small=verb == "write-small")
