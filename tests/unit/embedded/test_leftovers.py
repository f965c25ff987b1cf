"""Only processes that carry the stack's mark are found and ended."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.embedded.leftovers import STACK_MARK, end_processes, find_processes

Start = Callable[..., subprocess.Popen[str]]

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"


@pytest.fixture
def start() -> Iterator[Start]:
    started = []

    def start_process(code: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        return process

    yield start_process
    for process in started:
        process.kill()
        process.communicate()


def pids(folder: Path) -> set[int]:
    return {process.pid for process in find_processes(folder)}


def test_the_mark_decides(start: Start, tmp_path: Path) -> None:
    ours = start(SLEEP, **{STACK_MARK: str(tmp_path)})
    start(SLEEP, **{STACK_MARK: str(tmp_path / "other")})
    start(SLEEP, **{STACK_MARK: f"{tmp_path}2"})
    # What a user may have exported in the shell that runs everything else, too.
    start(SLEEP, NEWSFLOW_RUN_DIR=str(tmp_path))
    assert pids(tmp_path) == {ours.pid}


def test_children_are_found_also_without_their_parent(start: Start, tmp_path: Path) -> None:
    parent = start(PARENT, **{STACK_MARK: str(tmp_path)})
    family = pids(tmp_path)
    assert len(family) == 2
    parent.kill()
    parent.wait()
    assert pids(tmp_path) == family - {parent.pid}
    end_processes(find_processes(tmp_path), seconds=5)
    assert pids(tmp_path) == set()


def test_we_do_not_find_ourselves(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from services.embedded.leftovers import find_processes; "
        f"print(find_processes(Path({str(tmp_path)!r})))"
    )
    environment = {**os.environ, STACK_MARK: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_process_that_does_not_end_is_killed(start: Start, tmp_path: Path) -> None:
    start(STUBBORN, **{STACK_MARK: str(tmp_path)})
    [stubborn] = find_processes(tmp_path)
    end_processes([stubborn], seconds=0.5)
    assert not stubborn.is_running()


def test_a_process_that_ended_already_is_no_error(start: Start, tmp_path: Path) -> None:
    ours = start(SLEEP, **{STACK_MARK: str(tmp_path)})
    found = find_processes(tmp_path)
    ours.kill()
    ours.wait()
    end_processes(found, seconds=1)
