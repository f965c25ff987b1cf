"""Sources on the real servers: a plug-in as it is installed, and a folder that is followed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.reading import read_record
from schemas.topics import ARTICLES_RAW
from services.embedded.servers import KafkaServer
from services.producer.new import write_project
from services.runtime.reading import read_to_end
from tests.bench.articles import distinct_texts
from tests.live.harness import ROOT, SERVICES, Pipeline, wait_until

LINES = (
    "2026-01-31T08:00:00Z\tFerries run again\tThe harbour has opened its two northern piers to the ferries.\n",
    "no tabs in this line\n",
    "2026-01-31T09:30:00Z\tBridge closed\tThe old bridge is closed until further notice, the council says.\n",
)


def newsflow(
    pipeline: Pipeline,
    *arguments: str | Path,
    python: str | Path = sys.executable,
    status: int = 0,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`newsflow` as a person calls it, by another interpreter where one is given."""
    done = subprocess.run(
        [python, "-m", "services.cli", *arguments],
        cwd=pipeline.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka,
            "ELASTICSEARCH_URL": pipeline.elasticsearch,
            "NEWSFLOW_PREFIX": pipeline.prefix,
            **(environment or {}),
        },
    )
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def sent(pipeline: Pipeline) -> dict[str, RawArticle]:
    """The articles on `articles-raw` by their article ids, each as it was sent last."""
    records = read_to_end(pipeline.settings, pipeline.name(ARTICLES_RAW.name))
    articles = [read_record(ARTICLES_RAW, record.value) for record in records]
    return {article_id(article): article for article in articles}


# ---------------------------------------------------------------- a plug-in, installed


class Environment:
    """A virtual environment that sees Newsflow and its libraries, and has plug-ins of its own."""

    def __init__(self, folder: Path) -> None:
        self.uv = Path(sys.executable).with_name("uv")
        self._run("venv", "--python", sys.executable, folder)
        self.python = folder / "bin" / "python"
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "newsflow-here.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n", encoding="utf-8")

    def install(self, project: Path) -> None:
        """From its folder, without the network."""
        self._run("pip", "install", "--no-deps", "--no-build-isolation", "--python", self.python, project)

    def _run(self, *arguments: str | Path) -> None:
        command = [self.uv, "--offline", "--no-cache", "--no-config", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("plug-ins") / "environment")


def listed(pipeline: Pipeline, environment: Environment) -> dict[str, dict[str, Any]]:
    done = newsflow(pipeline, "produce", "--list", "--json", python=environment.python)
    return {source["name"]: source for source in map(json.loads, done.stdout.splitlines())}


@pytest.mark.timeout(400)
def test_installed_plugin_sends_and_broken_one_is_named(
    module_pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    newsflow(module_pipeline, "source", "new", "city-council", project)
    environment.install(project)
    file = tmp_path / "bulletins.txt"
    file.write_text("".join(LINES), encoding="utf-8")
    council = ("produce", "city-council", "--path", file, "--json")
    report = json.loads(newsflow(module_pipeline, *council, python=environment.python, status=1).stdout)
    assert (report["confirmed"], report["resumed"]) == (2, False)
    assert [failed["origin"] for failed in report["failed"]] == ["line 2"]

    # A second one that is broken is named, and everything else still works.
    broken = tmp_path / "broken"
    write_project("harbour-log", broken)
    module = broken / "newsflow_source_harbour_log.py"
    module.write_text("import newsflow_nothing\n" + module.read_text(encoding="utf-8"), encoding="utf-8")
    environment.install(broken)
    found = listed(module_pipeline, environment)
    assert {name: found[name]["ok"] for name in ("harbour-log", "city-council", "seeds")} == {
        "harbour-log": False,
        "city-council": True,
        "seeds": True,
    }
    assert "newsflow_nothing" in found["harbour-log"]["error"]
    assert found["city-council"]["distribution"] == "newsflow-source-city-council"
    done = newsflow(module_pipeline, "produce", "--list", python=environment.python)
    assert "source harbour-log of newsflow-source-harbour-log is left out" in " ".join(done.stderr.split())
    done = newsflow(module_pipeline, "produce", "harbour-log", python=environment.python, status=1)
    assert "newsflow_nothing" in done.stderr
    # The first one goes on where it was.
    with file.open("a", encoding="utf-8") as lines:
        lines.write("2026-01-31T10:00:00Z\tMarket moves\tThe fish market moves to the square on Monday.\n")
    report = json.loads(newsflow(module_pipeline, *council, python=environment.python).stdout)
    assert (report["confirmed"], report["resumed"]) == (1, True)
    articles = [article for article in sent(module_pipeline).values() if article.producer == "city-council"]
    assert sorted(article.headline or "" for article in articles) == [
        "Bridge closed",
        "Ferries run again",
        "Market moves",
    ]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_new_plugin_passes_its_own_tests_and_is_found(
    running: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    newsflow(running, "source", "new", "town-hall", project)
    environment.install(project)
    done = subprocess.run(
        [environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "--path" in newsflow(running, "produce", "town-hall", "--help", python=environment.python).stdout
    word = uuid.uuid4().hex
    file = tmp_path / "bulletins.txt"
    file.write_text(f"2026-01-31T08:00:00Z\tFerries run again\tThe northern pier {word} is open.\n")
    publisher = f"{word}.example"
    given = ("produce", "town-hall", "--path", file, "--publisher", publisher)
    newsflow(running, *given, python=environment.python)
    running.wait_indexed([article_id(RawArticle(publisher=publisher, id="1", body="x"))])
    wait_until(lambda: bool(running.documents([publisher])), 60, running.tails)
    hits = json.loads(newsflow(running, "search", word, "--json").stdout)["hits"]
    assert [hit["headline"] for hit in hits] == ["Ferries run again"]
    assert {source["producer"] for source in running.documents([publisher]).values()} == {"town-hall"}


# ---------------------------------------------------------------- a folder that is followed

SETTLE = "0.1"
"""A new file is read at once."""


def write(folder: Path, name: str, text: str) -> None:
    """As a careful program writes into a folder that is watched: whole, or not at all."""
    hidden = folder / f".{name}.part"
    hidden.write_text(text, encoding="utf-8")
    hidden.rename(folder / name)


def follow(pipeline: Pipeline, folder: Path, more: str = "") -> None:
    pipeline.start(
        "files",
        module=f"services.cli produce files {folder} --follow --every 1 --settle-seconds {SETTLE} --json {more}",
        PRODUCER_LIVES_SECONDS="2",
        PRODUCER_SILENT_LEAST_SECONDS="0",
        PRODUCER_CHECKPOINT_SECONDS="0.2",
        PRODUCER_DELIVERY_TIMEOUT_SECONDS="4",
    )


def wait_for(pipeline: Pipeline, files: Mapping[str, str], bodies: Callable[[], Mapping[str, str]]) -> None:
    """Until just these files have an article among `bodies`; each value is a word that its file has by now."""
    expected = {id_of(name): word for name, word in files.items()}
    found: dict[str, str] = {}

    def is_here() -> bool:
        found.clear()
        found.update(bodies())
        return found.keys() == expected.keys() and all(word in found[id_] for id_, word in expected.items())

    wait_until(is_here, 90, lambda: f"{len(found)} of {len(expected)} articles\n{pipeline.tails()}", every=0.5)


def id_of(name: str) -> str:
    """The id of the article in a file."""
    return article_id(RawArticle(publisher="local-files", id=name, body="x"))


def parts(pipeline: Pipeline, status: int = 0, **environment: str) -> dict[str, dict[str, Any]]:
    """`newsflow sources --json` by part."""
    done = newsflow(pipeline, "sources", "--json", status=status, environment=environment)
    return {state["part"]: state for state in map(json.loads, done.stdout.splitlines())}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("burst", "rate", "services"),
    [
        pytest.param(17, 2, (), id="17 files"),
        pytest.param(150, 20, SERVICES, id="150 files indexed", marks=pytest.mark.slow),
    ],
)
def test_followed_folder_survives_kill_and_broker_absence(
    broker_pipeline: Pipeline, broker: KafkaServer, tmp_path: Path, burst: int, rate: int, services: tuple[str, ...]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bodies = iter(distinct_texts(burst + 10))
    files: dict[str, str] = {}

    def save(name: str, word: str = "") -> None:
        write(folder, name, f"{word} {next(bodies)}".lstrip())
        files[name] = word

    def sent_bodies() -> dict[str, str]:
        return {id_: article.body or "" for id_, article in sent(broker_pipeline).items()}

    def indexed_bodies() -> dict[str, str]:
        return {id_: source["body"] for id_, source in broker_pipeline.documents().items()}

    save("alpha.txt")
    save("beta.txt")
    broker_pipeline.start(*services)
    follow(broker_pipeline, folder, f"--rate {rate}")
    wait_for(broker_pipeline, files, sent_bodies)

    # One is added, one is corrected.
    save("gamma.txt")
    save("alpha.txt", "Corrected once:")
    wait_for(broker_pipeline, files, sent_bodies)

    # Killed while it sends, which takes it some seconds; later files are found by the next run.
    known = len(files)
    for number in range(burst):
        save(f"burst-{number}.txt")
    wait_until(lambda: len(sent(broker_pipeline)) > known, 60, broker_pipeline.tails, every=0.05)
    broker_pipeline.kill("files")
    assert len(sent(broker_pipeline)) < len(files), "it was too late for the kill"
    save("delta.txt")
    save("beta.txt", "Corrected after the kill:")
    follow(broker_pipeline, folder)
    wait_for(broker_pipeline, files, sent_bodies)

    # Without a broker it tries until there is one, also when that takes longer than one article may (4 s).
    broker.kill()
    save("omega.txt")
    wait_until(lambda: "Kafka does not take records" in broker_pipeline.log("files"), 60, broker_pipeline.tails)
    broker.start()
    wait_for(broker_pipeline, files, sent_bodies)
    if services:
        wait_for(broker_pipeline, files, indexed_bodies)

    # Its sign of life comes after the article.
    wait_until(
        lambda: '"ok": true' in called_sources(broker_pipeline),
        60,
        lambda: called_sources(broker_pipeline),
        every=1,
    )
    state = parts(broker_pipeline)[str(folder)]
    assert (state["source"], state["ok"], state["follows"], state["errors"]) == ("files", True, True, 0)
    assert state["sent"] >= len(files)
    assert state["today"] >= 1
    assert broker_pipeline.terminate("files") == 0
    report = json.loads(broker_pipeline.log("files").splitlines()[-1])
    assert report["confirmed"] >= 1
    assert report["failed"] == []

    # A later run goes on from the checkpoint, until that is forgotten.
    report = json.loads(newsflow(broker_pipeline, "produce", "files", folder, "--json").stdout)
    assert (report["confirmed"], report["resumed"]) == (0, True)
    newsflow(broker_pipeline, "sources", "--forget", f"files {folder}")
    assert parts(broker_pipeline) == {}
    report = json.loads(newsflow(broker_pipeline, "produce", "files", folder, "--json").stdout)
    assert (report["confirmed"], report["resumed"]) == (len(files), False)


def metric(pipeline: Pipeline, name: str, **labels: str) -> float | None:
    """A metric of the following producer, as its health port has it."""
    port = next(
        part.split("=")[1]
        for line in pipeline.log("files").splitlines()
        if "health endpoint" in line
        for part in line.split()
        if part.startswith("port=")
    )
    page = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return next((sample.value for sample in samples if sample.name == name and sample.labels == labels), None)


def test_silent_part_is_reported(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, text in enumerate(distinct_texts(12)):
        write(folder, f"{number}.txt", text)
    follow(pipeline, folder)
    silent = {"source": "files", "part": str(folder)}
    wait_until(lambda: metric(pipeline, "newsflow_source_silent", **silent) == 1, 60, pipeline.tails)
    assert metric(pipeline, "newsflow_source_articles_total", source="files") == 12
    line = next(line for line in pipeline.log("files").splitlines() if "source is silent" in line)
    assert str(folder) in line
    assert "warning" in line
    found = parts(pipeline, status=1, PRODUCER_SILENT_LEAST_SECONDS="0")[str(folder)]
    assert (found["ok"], found["reason"]) == (False, "silent for longer than it ever is")
    assert parts(pipeline)[str(folder)]["ok"], "within the hour that everybody may be quiet"
    # An article ends it.
    write(folder, "more.txt", "The ferry sails again.")
    wait_until(lambda: metric(pipeline, "newsflow_source_silent", **silent) == 0, 60, pipeline.tails)
    # A killed producer is reported.
    pipeline.running["files"].send_signal(signal.SIGKILL)
    pipeline.running.pop("files").wait()
    wait_until(
        lambda: "has not been seen" in called_sources(pipeline), 60, lambda: called_sources(pipeline), every=1
    )


def called_sources(pipeline: Pipeline) -> str:
    """What `newsflow sources` says, whatever its exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "sources", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka, "NEWSFLOW_PREFIX": pipeline.prefix},
    )
    return done.stdout + done.stderr
