"""supervisord with small programs: it is told exactly what we mean, and starts again what ends."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.embedded.leftovers import STACK_MARK, end_processes, find_processes
from services.embedded.run_file import answers
from services.embedded.supervision import Program, Supervisor, SupervisorError, command_line

ODD = ["%(here)s 100%", "a b", "# no comment", "; neither", "'\"`$HOME\\", "é·世", "*"]
"""Arguments that mean something in an INI file, in a format string, or in a shell."""

REPORT = """
import json, os, sys, time
with open("report", "a") as file:
    print(json.dumps({"pid": os.getpid(), "arguments": sys.argv[1:], "port": os.environ["PORT"]}), file=file)
print("in the log", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("r #1; 5%")  # short, as it holds a unix socket


@pytest.fixture
def supervisor(folder: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(folder, folder / "s")
    programs = [
        Program("report", [sys.executable, "-c", f"exec({REPORT!r})", *ODD], Path("work"), {"PORT": "127.0.0.1:1"}),
        Program("broken", [sys.executable, "-c", "raise SystemExit(3)"], Path("work")),
    ]
    supervisor.start(programs, {STACK_MARK: str(folder)}, stop_s=5, log_mb=1)
    yield supervisor
    end_processes(find_processes(folder), seconds=5)


def reports(folder: Path, at_least: int) -> list[dict[str, object]]:
    file = folder / "work" / "report"
    wait_until(lambda: file.exists() and len(file.read_text().splitlines()) >= at_least)
    return [json.loads(line) for line in file.read_text().splitlines()]


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_program_gets_its_command_environment_and_log(supervisor: Supervisor, folder: Path) -> None:
    assert supervisor.states() == {"report": "STOPPED", "broken": "STOPPED"}
    supervisor.start_programs(["report"])
    [report] = reports(folder, 1)
    assert report["arguments"] == ODD
    assert report["port"] == "127.0.0.1:1"
    wait_until(lambda: "in the log" in (folder / "logs" / "report.log").read_text())


def test_a_killed_program_comes_back_and_a_stopped_one_does_not(supervisor: Supervisor, folder: Path) -> None:
    supervisor.start_programs(["report"])
    pid = reports(folder, 1)[0]["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    assert reports(folder, 2)[1]["pid"] != pid
    supervisor.stop_programs(["report"], seconds=5)
    assert supervisor.states()["report"] == "STOPPED"


def test_a_line_break_is_refused_as_the_file_cannot_hold_it() -> None:
    with pytest.raises(ValueError, match="line break"):
        command_line(["java", "a\nb"])


def test_a_program_that_fails_is_seen(supervisor: Supervisor) -> None:
    supervisor.start_programs(["broken"])
    wait_until(lambda: supervisor.states()["broken"] == "BACKOFF")


def test_shut_down_ends_everything(supervisor: Supervisor, folder: Path) -> None:
    supervisor.start_programs(["report"])
    reports(folder, 1)
    supervisor.shut_down(seconds=10)
    assert not answers(supervisor.socket_path)
    wait_until(lambda: not find_processes(folder))
    with pytest.raises(SupervisorError, match="does not answer"):
        supervisor.states()
