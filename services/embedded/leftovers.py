"""The processes of one stack, found by a mark in their environment: never by name, never by a recorded pid."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

STACK_MARK = "NEWSFLOW_STACK"
"""Set to the run folder for the supervisor, and so for all that it starts. Nobody sets it by hand, unlike
NEWSFLOW_RUN_DIR, which a user may have exported in a shell whose processes are none of ours."""

KILL_WAIT_S = 5.0
"""Seconds for the system to end killed processes."""


def find_processes(folder: Path) -> list[psutil.Process]:
    """All living processes of the stack of this folder, but not ourselves."""
    mark = str(folder)
    found = []
    for process in psutil.process_iter():
        # Of another user, or gone since it was listed: not ours, or no matter.
        with suppress(psutil.Error):
            if (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(STACK_MARK) == mark
            ):
                found.append(process)
    return found


def end_processes(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Ask them to end, wait up to `seconds` for all together, and kill the rest.

    A process object stands for one process: if its pid has a new owner by now, that one is not touched.
    """
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=KILL_WAIT_S)
