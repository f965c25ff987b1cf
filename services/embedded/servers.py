"""Kafka and Elasticsearch as processes: their configuration, start, readiness and end.

Both listen on loopback only. All that a server keeps is in its folder: started there again, also after `kill`,
it goes on with the same data. Paths inside the configuration are relative to that folder, which is therefore the
working folder of the process: a moved folder still works, and no character in its name needs an escape.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import requests
from rich.console import Console

from services.embedded.home import Home, prepare_home
from services.embedded.settings import DEPLOY, EmbeddedSettings

HOST = "127.0.0.1"

POLL_S = 0.1
"""Seconds between two looks at a server that starts."""

ANSWER_S = 5.0
"""Seconds one look may take: a server that starts is slow to answer at times."""

TAIL_LINES = 30
"""Lines of its log in the error about a server that does not start: more than one Java stack trace."""

FORMAT_LIMIT_S = 60
"""Seconds for formatting Kafka's storage; it takes 1."""


class ServerError(RuntimeError):
    """A server did not start. The message ends with the tail of its log."""


class Server(ABC):
    """One server process on loopback, with its data and log in a folder."""

    name: ClassVar[str]

    def __init__(self, folder: Path, port: int, home: Home | None, settings: EmbeddedSettings | None) -> None:
        self.folder = folder.absolute()
        self.port = port
        self.settings = settings or EmbeddedSettings()
        self.log_file = self.folder / f"{self.name}.log"
        self.log_start = 0
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Home:
        """What the server runs from; made at first use if it was not given."""
        if self._home is None:
            self._home = prepare_home(self.settings, Console(stderr=True))
        return self._home

    @property
    def pid(self) -> int | None:
        """The process id while it runs as our child, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    @abstractmethod
    def address(self) -> str:
        """What a client is given to connect."""

    @abstractmethod
    def prepare(self) -> None:
        """Write the configuration, and format the storage if it is not; run again, it keeps the data."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command of the process, to run with `folder` as the working folder."""

    @abstractmethod
    def is_ready(self) -> bool:
        """True once clients are served."""

    def environment(self) -> dict[str, str]:
        """What is added to the environment of whoever starts the process."""
        # Java takes the encoding of file names from the locale, and minimal ones cannot name every folder.
        return {"LC_ALL": "C.UTF-8"}

    def start(self) -> None:
        """Start the process and wait until it serves. Raises ServerError, and then nothing is left running."""
        if self.pid is not None:
            raise ServerError(f"{self.name} is running already (pid {self.pid})")
        self.prepare()
        self.log_start = log_size(self.log_file)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=child_environment(self.environment()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.wait_ready(self.settings.start_timeout_s)
        except BaseException:
            self.kill()
            raise

    def wait_ready(self, seconds: float, is_alive: Callable[[], bool] | None = None) -> None:
        """Return once clients are served; ServerError if the process ended or the time is up.

        `is_alive` tells whether the process still runs, where it is not our child.
        """
        is_alive = is_alive or (lambda: self.pid is not None)
        end = time.monotonic() + seconds
        while is_alive():
            if self.is_ready():
                return
            if time.monotonic() > end:
                raise ServerError(f"{self.name} did not answer within {seconds:g} s\n{self.tail()}")
            time.sleep(POLL_S)
        raise ServerError(f"{self.name} ended while it started\n{self.tail()}")

    def stop(self) -> None:
        """Ask the process to end, wait, and kill it if it takes too long. Does nothing if it does not run."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(self.settings.stop_timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once, without a chance to tidy up, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The last lines of the log since the last start, under its name."""
        return log_tail(self.log_file, self.log_start)

    def java(self, heap_mb: int) -> list[str]:
        """Java and the options that hold for both servers."""
        command = [str(self.home.java), f"-Xmx{heap_mb}m"]
        # With the heap full a server only seems to run; ended, it is started again.
        command += ["-XX:+ExitOnOutOfMemoryError", "-XX:ErrorFile=java_error.log"]
        # Java 25 warns of this in the log at each start; both servers' libraries still use it.
        command.append("--sun-misc-unsafe-memory-access=allow")
        if not self.settings.full_compiler:
            command.append("-XX:TieredStopAtLevel=1")
        return command


class KafkaServer(Server):
    """A broker that is its own controller (KRaft). `controller_port` is for its own use only."""

    name = "kafka"

    def __init__(
        self,
        folder: Path,
        port: int,
        controller_port: int,
        home: Home | None = None,
        settings: EmbeddedSettings | None = None,
    ) -> None:
        super().__init__(folder, port, home, settings)
        self.controller_port = controller_port

    @property
    def address(self) -> str:
        """Bootstrap servers."""
        return f"{HOST}:{self.port}"

    def properties(self) -> dict[str, str | int]:
        """The content of server.properties."""
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": "data",
            # A misspelt topic is an error, not a new topic.
            "auto.create.topics.enable": "false",
            # One broker holds the only copy.
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # Every partition is files to open at each start; 50 are meant for clusters.
            "offsets.topic.num.partitions": 8,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            # A killed broker may come back only when its old session is over: 11 s with the default 9,000,
            # 3.7 s with this, measured.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            # The default of 128 MiB is a quarter of the heap.
            "log.cleaner.dedupe.buffer.size": 16 << 20,
        }

    def prepare(self) -> None:
        """Write server.properties, and format the storage unless it is formatted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{key}={value}\n" for key, value in self.properties().items()]
        (self.folder / "server.properties").write_text("".join(lines), encoding="ascii")
        # Written last when formatting, so a format that was interrupted is done again.
        if (self.folder / "data" / "meta.properties").is_file():
            return
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--config=server.properties"]
        done = subprocess.run(
            [*self._java(), *tool],
            cwd=self.folder,
            env=child_environment(self.environment()),
            capture_output=True,
            text=True,
            check=False,
            timeout=FORMAT_LIMIT_S,
        )
        if done.returncode:
            raise ServerError(f"Kafka's storage in {self.folder} could not be formatted\n{done.stderr.rstrip()}")

    def command(self) -> list[str]:
        """Java with Kafka's jars."""
        return [*self._java(), "kafka.Kafka", "server.properties"]

    def is_ready(self) -> bool:
        """True if the client port is open, which Kafka does last, when the broker may serve."""
        try:
            socket.create_connection((HOST, self.port), timeout=ANSWER_S).close()
        except OSError:
            return False
        return True

    def _java(self) -> list[str]:
        return [
            *self.java(self.settings.kafka_heap_mb),
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
            # A thousand lines of settings at each start.
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
            "-cp",
            self.home.kafka_class_path,
        ]


class ElasticsearchServer(Server):
    """A one-node cluster. `transport_port` is for its own use only."""

    name = "elasticsearch"

    def __init__(
        self,
        folder: Path,
        port: int,
        transport_port: int,
        home: Home | None = None,
        settings: EmbeddedSettings | None = None,
    ) -> None:
        super().__init__(folder, port, home, settings)
        self.transport_port = transport_port

    @property
    def address(self) -> str:
        """URL."""
        return f"http://{HOST}:{self.port}"

    def configuration(self) -> dict[str, str | int]:
        """The content of elasticsearch.yml."""
        watermark = "cluster.routing.allocation.disk.watermark"
        return {
            "cluster.name": "newsflow",
            "node.name": "newsflow",
            "discovery.type": "single-node",
            "network.host": HOST,
            "http.port": self.port,
            "transport.port": self.transport_port,
            f"{watermark}.low": f"{self.settings.disk_low_mb}mb",
            f"{watermark}.high": f"{self.settings.disk_high_mb}mb",
            f"{watermark}.flood_stage": f"{self.settings.disk_flood_mb}mb",
        }

    def prepare(self) -> None:
        """Write elasticsearch.yml and the logging configuration."""
        config = self.folder / "config"
        config.mkdir(parents=True, exist_ok=True)
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in self.configuration().items()]
        (config / "elasticsearch.yml").write_text("".join(lines), encoding="utf-8")
        shutil.copyfile(DEPLOY / "log4j2.properties", config / "log4j2.properties")

    def command(self) -> list[str]:
        """Java with Elasticsearch's jars and our launcher."""
        return [
            *self.java(self.settings.elasticsearch_heap_mb),
            "--enable-native-access=ALL-UNNAMED",
            "-Des.path.home=.",
            # Its native library is not among the jars.
            "-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false",
            "-cp",
            self.home.elasticsearch_class_path,
            "newsflow.launcher.ElasticsearchLauncher",
            str(self.home.modules),
        ]

    def is_ready(self) -> bool:
        """True if every primary shard is there: indices are recovered, so searches see all documents."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy has no business with loopback
            try:
                answer = session.get(
                    f"{self.address}/_cluster/health",
                    params={"wait_for_status": "yellow", "timeout": "1s"},
                    timeout=ANSWER_S,
                )
            except requests.RequestException:
                return False
        return answer.status_code == requests.codes.ok


def child_environment(added: dict[str, str]) -> dict[str, str]:
    """Our own environment for a child process, with what is added to it."""
    return {**os.environ, **added}  # noqa: TID251 - a child inherits PATH, HOME, locale and proxies


def log_size(file: Path) -> int:
    """Bytes in a log so far; 0 if there is none."""
    return file.stat().st_size if file.is_file() else 0


def log_tail(file: Path, start: int = 0) -> str:
    """The last lines of a log from the byte `start` on, under its name, or why it cannot be read."""
    try:
        with file.open("rb") as log:
            log.seek(start if start <= log_size(file) else 0)  # smaller: it was rotated
            lines = log.read().decode("utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"({file} cannot be read: {error.strerror})"
    return "\n".join([f"--- {file}", *lines[-TAIL_LINES:]])
