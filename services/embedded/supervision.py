"""supervisord: starts the stack's programs, starts them again when they end, and keeps their logs bounded.

Its working folder is the run folder and every path in its configuration is relative to that, so that no character
of a folder's name is taken for syntax. It listens on a unix socket of its owner's only.
"""

import http.client
import os
import re
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from services.embedded.run_file import answers
from services.embedded.servers import child_environment, log_tail

CONFIG_FILE = "supervisord.conf"
LOGS = Path("logs")

START_LIMIT_S = 15
"""Seconds for supervisord to go to the background; it takes half a one."""

CALL_LIMIT_S = 10.0
"""Seconds for it to answer a call; it works them off between its other duties, within 1 s."""

SETTLED_S = 5
"""A program that ends sooner has failed to start: it is started again after 1, 2, 3, … seconds, else at once."""

RETRIES = 50
"""Failed starts in a row before a program is given up: 20 minutes, longer than a server is away for."""

POLL_S = 0.1

RUNNING = frozenset({"STARTING", "RUNNING", "BACKOFF", "STOPPING"})
"""States in which a program has, or is about to have, a process."""


class SupervisorError(RuntimeError):
    """supervisord did not do what it was told."""


@dataclass(frozen=True)
class Program:
    """One supervised process; `folder` is its working folder, relative to the run folder."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Values of letters, digits and `.:-_` only."""

    @property
    def log_file(self) -> Path:
        """Relative to the run folder."""
        return LOGS / f"{self.name}.log"


class Supervisor:
    """The supervisor of one run folder, up or not."""

    def __init__(self, folder: Path, socket_path: Path) -> None:
        self.folder = folder
        self.socket_path = socket_path

    def start(
        self, programs: Iterable[Program], environment: Mapping[str, str], stop_s: float, log_mb: int
    ) -> None:
        """Start supervisord in the background with programs that all are stopped yet. SupervisorError."""
        (self.folder / LOGS).mkdir(exist_ok=True)
        programs = list(programs)
        for program in programs:
            (self.folder / program.folder).mkdir(parents=True, exist_ok=True)
        listen_on = self.socket_path
        if listen_on.is_relative_to(self.folder):
            listen_on = listen_on.relative_to(self.folder)
        text = configuration(programs, listen_on, stop_s, log_mb)
        (self.folder / CONFIG_FILE).write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "supervisor.supervisord", "-c", CONFIG_FILE],
                cwd=self.folder,
                # Python's UTF-8 mode: the configuration is read in the locale's encoding otherwise.
                env=child_environment({**environment, "PYTHONUTF8": "1"}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=START_LIMIT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise SupervisorError(f"supervisord did not start within {START_LIMIT_S} s") from error
        if done.returncode:
            raise SupervisorError(f"supervisord did not start:\n{done.stdout}{done.stderr}".rstrip())
        # It goes to the background before it listens.
        end = time.monotonic() + START_LIMIT_S
        while not answers(self.socket_path):
            if time.monotonic() > end:
                tail = log_tail(self.folder / LOGS / "supervisord.log")
                raise SupervisorError(f"supervisord did not listen within {START_LIMIT_S} s\n{tail}")
            time.sleep(POLL_S)

    def states(self) -> dict[str, str]:
        """Program → state, in supervisord's words."""
        infos = cast("list[dict[str, str]]", self._call("getAllProcessInfo"))
        return {info["name"]: info["statename"] for info in infos}

    def start_programs(self, names: Iterable[str]) -> None:
        """Start those of them that have no process, without waiting for them."""
        states = self.states()
        for name in names:
            if states[name] not in RUNNING:
                self._call("startProcess", name, False)

    def stop_programs(self, names: Iterable[str], seconds: float) -> None:
        """Stop them side by side, and wait until none of them has a process; SupervisorError at the limit."""
        names = list(names)
        end = time.monotonic() + seconds
        asked = False
        while left := [name for name, state in self.states().items() if name in names and state in RUNNING]:
            if not asked:
                for name in left:
                    self._call("stopProcess", name, False)
            asked = True
            if time.monotonic() > end:
                raise SupervisorError(f"{', '.join(left)} did not stop within {seconds:g} s")
            time.sleep(POLL_S)

    def shut_down(self, seconds: float) -> None:
        """Stop whatever is left, and supervisord itself; SupervisorError at the limit."""
        self._call("shutdown")
        end = time.monotonic() + seconds
        while answers(self.socket_path):
            if time.monotonic() > end:
                raise SupervisorError(f"supervisord did not stop within {seconds:g} s")
            time.sleep(POLL_S)

    def _call(self, method: str, *arguments: str | bool) -> object:
        with xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(self.socket_path)) as proxy:
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as error:
                raise SupervisorError(f"{method}{arguments}: {error.faultString}") from error
            except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
                raise SupervisorError(f"supervisord does not answer: {error}") from error


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CALL_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path)
        self._connection = host, connection  # where the base class looks for what to close
        return connection


def configuration(programs: Iterable[Program], socket_path: Path, stop_s: float, log_mb: int) -> str:
    """The text of supervisord's configuration file."""
    sections = [
        f"""\
[unix_http_server]
file={socket_path.as_posix()}
chmod=0700

[supervisord]
logfile={LOGS}/supervisord.log
logfile_maxbytes={log_mb}MB
logfile_backups=1
pidfile=supervisord.pid
childlogdir={LOGS}
nocleanup=true
user={os.getuid()}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    ]
    for program in programs:
        environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
        sections.append(
            f"""\
[program:{program.name}]
command={command_line(program.command)}
directory={program.folder.as_posix()}
environment={environment}
autostart=false
autorestart=true
startsecs={SETTLED_S}
startretries={RETRIES}
stopwaitsecs={stop_s:.0f}
killasgroup=true
redirect_stderr=true
stdout_logfile={program.log_file.as_posix()}
stdout_logfile_maxbytes={log_mb}MB
stdout_logfile_backups=1
"""
        )
    return "\n".join(sections)


def command_line(command: Sequence[str]) -> str:
    """The command in supervisord's syntax: a shell's words, in an INI file whose % signs are doubled.

    Backslashes rather than quotes, because " #" and " ;" begin a comment even between quotes.
    ValueError for a word with a line break, which the file cannot hold.
    """
    if any("\n" in word for word in command):
        raise ValueError(f"a line break in the command {list(command)}")
    words = (re.sub(r"([^\w@%+=:,./-])", r"\\\1", word) for word in command)
    return " ".join(words).replace("%", "%%")
