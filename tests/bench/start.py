"""What it costs to start: `newsflow up` and each service from its start to healthy, and three commands of the CLI.

`newsflow up` runs in a temporary run folder, as a user runs it: both servers, set-up, then five services together.
CPU seconds of a service are those of its process and all its descendants, user and system time, ended children
included, at the moment when /healthz first answers 200; wall seconds are from the creation of the process to then.
The parts of `up` are the times between the lines that it prints. Commands run once to warm the file cache, then
several times; the median is printed. On a shared machine wall seconds are of little use; CPU seconds differ by a
tenth between runs.

Where PYTHONDONTWRITEBYTECODE is set and there is no bytecode, each start compiles every module; the first line says
how many modules lack theirs.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import urllib3

from services.embedded.leftovers import find_processes
from services.embedded.run_file import last_run_file
from services.embedded.stack import SERVICES

NEWSFLOW = str(Path(sys.executable).parent / "newsflow")

POLL_SECONDS = 0.05

QUERY = "intercontinental ballistic missiles"


@dataclass(frozen=True)
class Cost:
    """CPU and wall seconds."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Started:
    """A service at the moment when it was healthy: its cost until then, and the memory of all its processes."""

    cost: Cost
    processes: int
    pss_mb: float


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of the process and all its descendants, those that ended included."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class Watch(threading.Thread):
    """Polls /healthz of each service while `newsflow up` runs in this folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.started: dict[str, Started] = {}
        self.over = threading.Event()

    def run(self) -> None:
        with urllib3.PoolManager(retries=False, timeout=1.0) as http:
            while not self.over.is_set() and len(self.started) < len(SERVICES):
                run = last_run_file(self.folder)
                for name in SERVICES:
                    if run is not None and name not in self.started:
                        with suppress(urllib3.exceptions.HTTPError):
                            if http.request("GET", f"http://127.0.0.1:{run.ports[name]}/healthz").status == 200:
                                self.started[name] = self._measure(name)
                self.over.wait(POLL_SECONDS)

    def _measure(self, name: str) -> Started:
        [process] = [
            each for each in find_processes(self.folder) if each.cmdline()[-2:] == ["-m", f"services.{name}"]
        ]
        cost = Cost(cpu_seconds(process), time.time() - process.create_time())
        family = [process, *process.children(recursive=True)]
        return Started(cost, len(family), sum(each.memory_full_info().pss for each in family) / 2**20)


def bring_up(folder: Path, environment: dict[str, str]) -> tuple[float, list[tuple[str, float]], Watch]:
    """Wall seconds of `newsflow up`, those of its parts, and what was seen of the services."""
    watch = Watch(folder)
    watch.start()
    began = time.monotonic()
    lines: list[tuple[str, float]] = [("Start of the command", began)]
    with subprocess.Popen(
        [NEWSFLOW, "up", "--json"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines.extend((line.strip(), time.monotonic()) for line in process.stderr)
    ended = time.monotonic()
    if process.returncode:
        raise RuntimeError("newsflow up failed: " + " / ".join(line for line, _ in lines))
    watch.join(10)
    watch.over.set()
    times = [at for _, at in lines] + [ended]
    return ended - began, [(line, times[n + 1] - at) for n, (line, at) in enumerate(lines)], watch


def run(command: list[str], environment: dict[str, str]) -> Cost:
    """One run of a command; raises if it fails."""
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} exited {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - began)


def without_bytecode() -> tuple[int, int]:
    """How many modules of the environment and of this checkout lack their bytecode, and of how many."""
    [packages] = [Path(each) for each in sys.path if each.endswith("site-packages")]
    root = Path(__file__).parents[2]
    sources = [each for folder in (packages, root / "services", root / "schemas") for each in folder.rglob("*.py")]
    lacking = [each for each in sources if not Path(importlib.util.cache_from_source(str(each))).exists()]
    return len(lacking), len(sources)


def report_services(started: dict[str, Started]) -> None:
    print(f"{'service, started together':28}{'CPU s':>8}{'wall s':>8}{'processes':>11}{'PSS MiB':>9}")
    for name, each in started.items():
        print(f"{name:28}{each.cost.cpu:8.2f}{each.cost.wall:8.2f}{each.processes:11}{each.pss_mb:9.0f}")
    total = sum(each.cost.cpu for each in started.values())
    print(f"{'all from up to healthy':28}{total:8.2f}{'':19}{sum(each.pss_mb for each in started.values()):9.0f}")


def report_commands(environment: dict[str, str], repeats: int) -> None:
    print(f"{'command':28}{'CPU s':>8}{'wall s':>8}   median of {repeats}")
    for arguments in (["--help"], ["search", QUERY], ["status"]):
        run([NEWSFLOW, *arguments], environment)
        costs = [run([NEWSFLOW, *arguments], environment) for _ in range(repeats)]
        cpu, wall = statistics.median(cost.cpu for cost in costs), statistics.median(cost.wall for cost in costs)
        print(f"{'newsflow ' + arguments[0]:28}{cpu:8.2f}{wall:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="What it costs to start.")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each command")
    parser.add_argument("--ups", type=int, default=2, help="runs of newsflow up; the later find their data")
    given = parser.parse_args()
    lacking, modules = without_bytecode()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{lacking} of {modules} modules without bytecode; {os.cpu_count()} cores, load average {load}")
    with tempfile.TemporaryDirectory(prefix="newsflow-start-") as work:
        folder = (Path(work) / "run").resolve()
        # An address from outside would take the commands elsewhere.
        own = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "ELASTIC"))}
        environment = {**own, "NEWSFLOW_RUN_DIR": str(folder)}
        try:
            for number in range(given.ups):
                if number:
                    run([NEWSFLOW, "down"], environment)
                wall, parts, watch = bring_up(folder, environment)
                print(f"\nnewsflow up, {'data kept' if number else 'empty folder'}: {wall:.1f} s wall")
                for line, seconds in parts:
                    print(f"  {seconds:5.1f} s  {line}")
                report_services(watch.started)
            run([NEWSFLOW, "produce", "seeds"], environment)
            run([NEWSFLOW, "status", "--wait-idle", "120"], environment)
            print()
            report_commands(environment, given.repeats)
        finally:
            subprocess.run([NEWSFLOW, "down", "--wipe"], env=environment, check=False, capture_output=True)


if __name__ == "__main__":
    main()
