"""The whole stack in one folder: both servers and the services, brought up and taken down together."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import psutil
import requests
from rich.console import Console

from services.embedded.home import prepare_home
from services.embedded.leftovers import STACK_MARK, end_processes, find_processes
from services.embedded.ports import HOST, choose_ports
from services.embedded.run_file import (
    RUN_FILE,
    RunFile,
    ServiceAddress,
    answers,
    folder_lock,
    last_run_file,
    read_run_file,
    write_run_file,
)
from services.embedded.servers import (
    TAIL_LINES,
    ElasticsearchServer,
    KafkaServer,
    Server,
    child_environment,
    log_size,
    log_tail,
)
from services.embedded.settings import EmbeddedSettings
from services.embedded.supervision import CONFIG_FILE, LOGS, Program, Supervisor, SupervisorError

__all__ = ["RunFile", "Stack", "StackError", "down", "read_run_file", "up"]

SERVICES = ("cleaner", "deduper", "linker", "tagger", "indexer")
"""All are healthy when `up` returns."""

EARLY = ("tagger", "cleaner")
"""Services that are started with the servers: they load for seconds before they need Kafka, then wait for it."""

STATE = "state"
"""Folder of what the services remember, made again from Kafka where it is missing."""

SERVER_PORTS = ("kafka", "controller", "elasticsearch", "transport")

SOCKET_NAME = "supervisor.sock"

SOCKET_PATH_BYTES = 90
"""Systems take 104-108 bytes for the path of a unix socket, and supervisord appends its pid for a moment."""

SWEEPS = 3
"""Looks for leftovers: the first may end a process that was just starting another one."""

SUPERVISOR_END_S = 2.0
"""Seconds from supervisord's last answer to its end."""

POLL_S = 0.2
"""Seconds between two looks at services that start."""

ANSWER_S = 5.0
"""Seconds a health endpoint may take to answer."""


class StackError(RuntimeError):
    """The stack did not come up or go down. The message says what failed, with the tail of its log."""


def up(settings: EmbeddedSettings, console: Console, services: bool = True) -> RunFile:
    """Bring up what is not up yet, set up topics and indices, and return once all of it is healthy.

    Data of an earlier run is kept. When the stack is up already, this says so and changes nothing. When it
    fails, what it started is stopped again. Raises StackError, BusyError, JarError, HomeError, ServerError,
    SupervisorError.
    """
    folder = settings.run_folder
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        run = read_run_file(folder)
        if run is not None and (run.services or not services):
            console.print(f"Already up in {folder}", soft_wrap=True)
            return run
        stack = Stack(settings, console)
        had_servers = run is not None
        try:
            if run is None:
                run = stack.start_servers(services)
            if services:
                run = stack.start_services(run)
        except BaseException:
            console.print("Stopping what was started")
            if had_servers:
                with suppress(SupervisorError):
                    stack.supervisor.stop_programs(SERVICES, settings.stop_timeout_s)
            else:
                stack.stop()
            raise
        return run


def down(settings: EmbeddedSettings, console: Console, wipe: bool = False) -> bool:
    """Stop services, then servers, within a limit; True if anything ran. `wipe` deletes the data too.

    Ends processes of this folder's stack only, also those that a killed supervisor left. Raises BusyError.
    """
    folder = settings.run_folder
    if not folder.is_dir():
        return False
    with folder_lock(folder):
        stack = Stack(settings, console)
        stopped = stack.stop()
        if wipe:
            stack.wipe()
        return stopped


class Stack:
    """The stack of one run folder; whoever uses it holds the folder's lock."""

    def __init__(self, settings: EmbeddedSettings, console: Console) -> None:
        self.settings = settings
        self.console = console
        self.folder = settings.run_folder
        self.last = last_run_file(self.folder)
        socket_path = self.last.supervisor if self.last else self.folder / SOCKET_NAME
        self.supervisor = Supervisor(self.folder, socket_path)
        self._setting_up: subprocess.Popen[str] | None = None

    # ------------------------------------------------------------------ up

    def start_servers(self, services: bool = True) -> RunFile:
        """Clean up after a killed run, start supervisord and both servers, and wait until they serve.

        With `services`, set-up and the services that load for long are started too, and not waited for.
        """
        self._clean_up()
        self.supervisor = Supervisor(self.folder, self._new_socket())
        home = prepare_home(self.settings, self.console)
        names = [*SERVER_PORTS, *SERVICES]
        ports = choose_ports(names, self.last.ports if self.last else {})
        kafka = KafkaServer(self.folder / "kafka", ports["kafka"], ports["controller"], home, self.settings)
        elasticsearch = ElasticsearchServer(
            self.folder / "elasticsearch", ports["elasticsearch"], ports["transport"], home, self.settings
        )
        servers: list[Server] = [kafka, elasticsearch]
        run = RunFile(
            kafka=kafka.address,
            elasticsearch=elasticsearch.address,
            folder=self.folder,
            created=datetime.now(UTC),
            supervisor=self.supervisor.socket_path,
            ports=ports,
        )
        write_run_file(run)
        for server in servers:
            server.log_file = self._log(server.name)
            server.log_start = log_size(server.log_file)
        programs = [
            Program(server.name, server.command(), Path(server.name), server.environment()) for server in servers
        ]
        programs += [
            Program(
                name,
                [sys.executable, "-m", f"services.{name}"],
                Path("services") / name,
                {"HEALTH_PORT": str(ports[name])},
            )
            for name in SERVICES
        ]
        self.console.print("Starting Kafka and Elasticsearch")
        self.supervisor.start(programs, self._environment(run), self.settings.stop_timeout_s, self.settings.log_mb)
        # Elasticsearch first: it takes the longest, and Kafka's storage is formatted meanwhile.
        for server in reversed(servers):
            server.prepare()
            self.supervisor.start_programs([server.name])
        if services:
            self._start_set_up(run)
            self.supervisor.start_programs(EARLY)
        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(self._wait_ready, servers))
        run = run.model_copy(update={"ready": True})
        write_run_file(run)
        return run

    def _new_socket(self) -> Path:
        path = self.folder / SOCKET_NAME
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
            return Path(tempfile.mkdtemp(prefix="newsflow-")) / SOCKET_NAME
        return path

    def _wait_ready(self, server: Server) -> None:
        server.wait_ready(
            self.settings.start_timeout_s,
            is_alive=lambda: self.supervisor.states()[server.name] in {"STARTING", "RUNNING"},
        )

    def start_services(self, run: RunFile) -> RunFile:
        """Set up topics and indices, start the services, and wait until each says that it is healthy."""
        self.console.print("Setting up topics and indices")
        self._finish_set_up(run)
        addresses = tuple(ServiceAddress(name=name, health=f"http://{HOST}:{run.ports[name]}") for name in SERVICES)
        self.console.print("Starting the services")
        sizes = {name: log_size(self._log(name)) for name in SERVICES}
        self.supervisor.start_programs(SERVICES)

        def tail(name: str) -> str:
            return log_tail(self._log(name), sizes[name])

        end = time.monotonic() + self.settings.service_timeout_s
        waiting = list(addresses)
        with requests.Session() as session:
            session.trust_env = False  # a proxy has no business with loopback
            while waiting:
                states = self.supervisor.states()
                for service in list(waiting):
                    if states[service.name] not in {"STARTING", "RUNNING"}:
                        raise StackError(f"{service.name} ended while it started\n{tail(service.name)}")
                    if _is_healthy(service, session):
                        waiting.remove(service)
                if waiting and time.monotonic() > end:
                    name = waiting[0].name
                    limit = self.settings.service_timeout_s
                    raise StackError(f"{name} is not healthy after {limit:g} s\n{tail(name)}")
                time.sleep(POLL_S)
        run = run.model_copy(update={"services": addresses})
        write_run_file(run)
        return run

    def _environment(self, run: RunFile) -> dict[str, str]:
        """What every process of the stack is told."""
        return {
            STACK_MARK: str(self.folder),
            "NEWSFLOW_RUN_DIR": str(self.folder),
            "KAFKA_BOOTSTRAP_SERVERS": run.kafka,
            "ELASTICSEARCH_URL": run.elasticsearch,
            "HEALTH_HOST": HOST,
            "STATE_FOLDER": str(self.folder / STATE),
            "PYTHONUNBUFFERED": "1",  # or the log lags behind what happened
        }

    def _start_set_up(self, run: RunFile) -> None:
        """Run the one-shot service `setup`, as every deployment does. It waits for the servers."""
        self._setting_up = subprocess.Popen(
            [sys.executable, "-m", "services.setup"],
            cwd=self.folder,
            env=child_environment(self._environment(run)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _finish_set_up(self, run: RunFile) -> None:
        if self._setting_up is None:
            self._start_set_up(run)
        with cast("subprocess.Popen[str]", self._setting_up) as process:
            try:
                said, _ = process.communicate(timeout=self.settings.service_timeout_s)
            except subprocess.TimeoutExpired as error:
                raise StackError(f"set-up did not end within {self.settings.service_timeout_s:g} s") from error
            finally:
                process.kill()
        if process.returncode:
            lines = said.splitlines()[-TAIL_LINES:]
            raise StackError("\n".join(["set-up of topics and indices failed", *lines]))

    def _log(self, name: str) -> Path:
        return self.folder / LOGS / f"{name}.log"

    # ------------------------------------------------------------------ down

    def stop(self) -> bool:
        """Stop services, then servers, then supervisord, then whatever is left; True if anything ran."""
        ran = answers(self.supervisor.socket_path)
        if ran:
            limit = self.settings.stop_timeout_s
            # What does not obey is ended below.
            with suppress(SupervisorError):
                for names in (SERVICES, ("kafka", "elasticsearch")):
                    self.supervisor.stop_programs(names, limit + 2)
            with suppress(SupervisorError):
                self.supervisor.shut_down(limit + 2)
                # It closes its socket a moment before it ends.
                psutil.wait_procs(find_processes(self.folder), timeout=SUPERVISOR_END_S)
        ran = self._clean_up() or ran
        last = last_run_file(self.folder)
        if last is not None:
            write_run_file(last.model_copy(update={"ready": False, "services": ()}))
        return ran

    def wipe(self) -> None:
        """Delete data, logs and configuration. Nothing else that may lie in the folder is touched."""
        for name in ("kafka", "elasticsearch", "services", STATE, LOGS):
            with suppress(FileNotFoundError):
                shutil.rmtree(self.folder / name)
        for name in (RUN_FILE, CONFIG_FILE):
            (self.folder / name).unlink(missing_ok=True)

    def _clean_up(self) -> bool:
        """End processes that a killed run left, and remove its socket and pid file; True if there were any."""
        found = False
        for _ in range(SWEEPS):
            left = find_processes(self.folder)
            if not left:
                break
            if not found:
                self.console.print(f"Ending processes that were left running: {len(left)}")
            found = True
            end_processes(left, self.settings.stop_timeout_s)
        else:
            if left := find_processes(self.folder):
                pids = ", ".join(str(process.pid) for process in left)
                raise StackError(f"processes of an earlier run do not end: {pids}")
        socket_path = self.supervisor.socket_path
        socket_path.unlink(missing_ok=True)
        if socket_path.parent != self.folder:
            with suppress(FileNotFoundError):
                socket_path.parent.rmdir()
        (self.folder / "supervisord.pid").unlink(missing_ok=True)
        return found


def _is_healthy(service: ServiceAddress, session: requests.Session) -> bool:
    try:
        return session.get(f"{service.health}/healthz", timeout=ANSWER_S).status_code == requests.codes.ok
    except requests.RequestException:
        return False
