"""What a child process that does hostile work begins with: it ends with its parent, and its memory has a limit."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""


def end_with_parent(parent: int) -> None:
    """A killed parent can end no process that hangs; the system does (on Linux).

    `parent` is the process id of the parent. One that has ended before this call is noticed by it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def parent_pid() -> int:
    """The process id of what started this process; it stays the same when that has ended."""
    parent = multiprocessing.parent_process()
    return parent.pid if parent is not None and parent.pid is not None else os.getppid()


def limit_memory(more: int) -> None:
    """From here on this process may add `more` MiB to its memory. Does nothing for 0, and outside Linux.

    The limit is that of data: what Python and C libraries (lxml's trees) allocate. That of the address space would
    also count what is only reserved, such as 64 MB for each thread.
    """
    if not more or sys.platform != "linux":  # macOS takes such a limit and does not hold it
        return
    status = Path("/proc/self/status").read_text()
    now = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = now + more * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
