"""Sources on the real servers: a plug-in as it is installed, and a folder that is followed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from schemas.article import RawArticle
from schemas.identity import article_id
from services.embedded.servers import KafkaServer
from services.producer.new import write_project
from tests.bench.articles import distinct_texts
from tests.live.harness import ROOT, SERVICES, Pipeline, wait_until

LINES = (
    "2026-01-31T08:00:00Z\tFerries run again\tThe harbour has opened its two northern piers to the ferries.\n",
    "no tabs in this line\n",
    "2026-01-31T09:30:00Z\tBridge closed\tThe old bridge is closed until further notice, the council says.\n",
)


def called(
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


def listed(pipeline: Pipeline, environment: Environment) -> dict[str, dict[str, Any]]:
    said = called(pipeline, "produce", "--list", "--json", python=environment.python)
    return {each["name"]: each for each in map(json.loads, said.stdout.splitlines())}


@pytest.mark.timeout(400)
def test_a_plug_in_is_installed_and_its_articles_are_found(pipeline: Pipeline, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    project = tmp_path / "project"
    called(pipeline, "source", "new", "city-council", project)
    environment.install(project)
    found = listed(pipeline, environment)
    assert (found["city-council"]["distribution"], found["city-council"]["ok"]) == (
        "newsflow-source-city-council",
        True,
    )
    assert found["seeds"]["ok"]
    assert "--path" in called(pipeline, "produce", "city-council", "--help", python=environment.python).stdout
    tried = subprocess.run(
        [environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert tried.returncode == 0, tried.stdout

    file = tmp_path / "bulletins.txt"
    file.write_text("".join(LINES), encoding="utf-8")
    pipeline.start(*SERVICES)
    council = ("produce", "city-council", "--path", file, "--json")
    report = json.loads(called(pipeline, *council, python=environment.python, status=1).stdout)
    assert (report["confirmed"], report["resumed"]) == (2, False)
    assert [each["origin"] for each in report["failed"]] == ["line 2"]
    pipeline.wait_idle()
    hits = json.loads(called(pipeline, "search", "harbour piers", "--json").stdout)["hits"]
    assert [hit["headline"] for hit in hits] == ["Ferries run again"]
    assert {source["producer"] for source in pipeline.documents().values()} == {"city-council"}

    # A second one that is broken is named, and everything else still works.
    broken = tmp_path / "broken"
    write_project("harbour-log", broken)
    module = broken / "newsflow_source_harbour_log.py"
    module.write_text("import newsflow_nothing\n" + module.read_text(encoding="utf-8"), encoding="utf-8")
    environment.install(broken)
    found = listed(pipeline, environment)
    assert (found["harbour-log"]["ok"], "newsflow_nothing" in found["harbour-log"]["error"]) == (False, True)
    assert found["city-council"]["ok"]
    assert found["seeds"]["ok"]
    said = called(pipeline, "produce", "--list", python=environment.python)
    assert "source harbour-log of newsflow-source-harbour-log is left out" in " ".join(said.stderr.split())
    said = called(pipeline, "produce", "harbour-log", python=environment.python, status=1)
    assert "newsflow_nothing" in said.stderr
    # The other one goes on where it was.
    with file.open("a", encoding="utf-8") as lines:
        lines.write("2026-01-31T10:00:00Z\tMarket moves\tThe fish market moves to the square on Monday.\n")
    report = json.loads(called(pipeline, *council, python=environment.python).stdout)
    assert (report["confirmed"], report["resumed"]) == (1, True)
    pipeline.wait_idle()
    assert sorted(source["headline"] for source in pipeline.documents().values()) == [
        "Bridge closed",
        "Ferries run again",
        "Market moves",
    ]


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


def wait_for(pipeline: Pipeline, files: Mapping[str, str]) -> None:
    """Until the index has the articles of just these files; each value is a word that its file has by now."""
    expected = {id_of(name): word for name, word in files.items()}

    def here() -> bool:
        found = pipeline.documents()
        return found.keys() == expected.keys() and all(word in found[id_]["body"] for id_, word in expected.items())

    wait_until(
        here, 90, lambda: f"{len(pipeline.documents())} of {len(expected)} documents\n{pipeline.tails()}", every=1
    )


def id_of(name: str) -> str:
    """The id of the article in a file."""
    return article_id(RawArticle(publisher="local-files", id=name, body="x"))


def parts(pipeline: Pipeline, status: int = 0, **environment: str) -> dict[str, dict[str, Any]]:
    """`newsflow sources --json` by part."""
    said = called(pipeline, "sources", "--json", status=status, environment=environment)
    return {each["part"]: each for each in map(json.loads, said.stdout.splitlines())}


@pytest.mark.timeout(600)
def test_a_folder_is_followed_through_a_kill_and_an_absence_of_the_broker(
    broker_pipeline: Pipeline, broker: KafkaServer, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bodies = iter(distinct_texts(160))
    files: dict[str, str] = {}

    def save(name: str, word: str = "") -> None:
        write(folder, name, f"{word} {next(bodies)}".lstrip())
        files[name] = word

    save("alpha.txt")
    save("beta.txt")
    broker_pipeline.start(*SERVICES)
    follow(broker_pipeline, folder, "--rate 20")
    wait_for(broker_pipeline, files)

    # One is added, one is corrected.
    save("gamma.txt")
    save("alpha.txt", "Corrected once:")
    wait_for(broker_pipeline, files)

    # Killed while it sends, which takes it some seconds; what comes meanwhile is found by the next run.
    for number in range(150):
        save(f"burst-{number}.txt")
    wait_until(lambda: len(broker_pipeline.documents()) > 3, 60, broker_pipeline.tails, every=0.05)
    assert len(broker_pipeline.documents()) < len(files), "it was too late for the kill"
    broker_pipeline.kill("files")
    save("delta.txt")
    save("beta.txt", "Corrected while it was away:")
    follow(broker_pipeline, folder)
    wait_for(broker_pipeline, files)

    # Without a broker it sends until it is back, also when that takes longer than one article may (4 s).
    broker.kill()
    save("omega.txt")
    wait_until(lambda: "Kafka does not take records" in broker_pipeline.log("files"), 60, broker_pipeline.tails)
    broker.start()
    wait_for(broker_pipeline, files)

    # Its sign of life comes after the article.
    wait_until(
        lambda: '"ok": true' in called_sources(broker_pipeline),
        60,
        lambda: called_sources(broker_pipeline),
        every=0.5,
    )
    state = parts(broker_pipeline)[str(folder)]
    assert (state["source"], state["ok"], state["follows"], state["errors"]) == ("files", True, True, 0)
    assert state["sent"] >= len(files)
    assert state["today"] >= 1
    assert broker_pipeline.terminate("files") == 0
    report = json.loads(broker_pipeline.log("files").splitlines()[-1])
    assert report["confirmed"] >= 1
    assert report["failed"] == []

    # It is known where it was, until that is forgotten.
    report = json.loads(called(broker_pipeline, "produce", "files", folder, "--json").stdout)
    assert (report["confirmed"], report["resumed"]) == (0, True)
    called(broker_pipeline, "sources", "--forget", f"files {folder}")
    assert parts(broker_pipeline) == {}
    report = json.loads(called(broker_pipeline, "produce", "files", folder, "--json").stdout)
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
    return next((each.value for each in samples if each.name == name and each.labels == labels), None)


def test_a_part_that_has_gone_silent_is_seen(pipeline: Pipeline, tmp_path: Path) -> None:
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
    # And a producer that is gone is said to be.
    pipeline.running["files"].send_signal(signal.SIGKILL)
    pipeline.running.pop("files").wait()
    wait_until(
        lambda: "has not been seen" in called_sources(pipeline), 60, lambda: called_sources(pipeline), every=0.5
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
