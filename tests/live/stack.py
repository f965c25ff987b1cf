"""One Kafka and one Elasticsearch for a whole test run, shared by all pytest processes of it.

`python -m tests.live.stack FOLDER` starts both servers, writes their addresses to FOLDER/servers.json, and stops
them when nobody uses them any more. A user is a process that holds a shared lock on FOLDER/users.lock: the system
releases it however the process ends, so no server outlives the run.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from services.embedded.ports import choose_ports
from services.embedded.servers import ElasticsearchServer, KafkaServer

ROOT = Path(__file__).parents[2]

START_SECONDS = 120.0
"""How long a pytest process waits for the servers; a busy machine starts them in 30 s."""

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Servers:
    """Where the shared servers are: bootstrap servers of Kafka, URL of Elasticsearch."""

    kafka: str
    elasticsearch: str


@contextmanager
def shared_servers(folder: Path) -> Iterator[Servers]:
    """The servers of this folder, started by the first process that asks; blocks until both serve.

    The process that started them blocks at the end until they have stopped, which is when no other uses them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started: subprocess.Popen[bytes] | None = None
    with (folder / "users.lock").open("w") as users, (folder / "start.lock").open("w") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        # Blocks while servers that nobody used are being stopped.
        fcntl.flock(users, fcntl.LOCK_SH)
        addresses = folder / "servers.json"
        if not addresses.is_file():
            started = _start(folder)
        fcntl.flock(start, fcntl.LOCK_UN)
        yield Servers(**json.loads(addresses.read_text()))
    if started is not None:
        started.wait()


def _start(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "stack.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.stack", str(folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches pytest first, whose end stops the servers
        )
    end = time.monotonic() + START_SECONDS
    while not (folder / "servers.json").is_file():
        if process.poll() is not None or time.monotonic() > end:
            process.terminate()
            raise RuntimeError(f"Kafka and Elasticsearch did not start:\n{(folder / 'stack.log').read_text()}")
        time.sleep(POLL_SECONDS)
    return process


def serve(folder: Path) -> None:
    """Start both servers and stop them once no process holds users.lock; their data is deleted."""
    # Not from the ports that outgoing connections take: one could hold a killed broker's port.
    ports = choose_ports(["kafka", "controller", "elasticsearch", "transport"], {})
    kafka = KafkaServer(folder / "kafka", ports["kafka"], ports["controller"])
    elasticsearch = ElasticsearchServer(folder / "elasticsearch", ports["elasticsearch"], ports["transport"])
    addresses = folder / "servers.json"
    signal.signal(signal.SIGTERM, _exit)
    with (folder / "users.lock").open("w") as users:
        try:
            kafka.start()
            elasticsearch.start()
            partial = addresses.with_suffix(".partial")
            partial.write_text(json.dumps({"kafka": kafka.address, "elasticsearch": elasticsearch.address}))
            partial.rename(addresses)
            while not _is_unused(users.fileno()):
                time.sleep(POLL_SECONDS)
        finally:
            addresses.unlink(missing_ok=True)
            kafka.stop()
            elasticsearch.stop()
            for server in (kafka, elasticsearch):
                shutil.rmtree(server.folder / "data", ignore_errors=True)


def _is_unused(users: int) -> bool:
    """Whether this process got the lock for itself alone; it then keeps it until it ends."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _exit(*_: object) -> NoReturn:
    sys.exit(1)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
