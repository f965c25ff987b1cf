"""The bad-input corpus (tests/corpus) on the real Kafka: what is wrong is a dead letter, or named; nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.article import RawArticle
from schemas.topics import ARTICLES_RAW
from tests.corpus.case import Expects, Kind
from tests.corpus.cases import CASES
from tests.corpus.records import CASES as RECORDS
from tests.corpus.records import DEAD_LATER
from tests.live.harness import ROOT, SERVICES, Pipeline, judge

FILE_KINDS = (Kind.TXT, Kind.HTML, Kind.JSON, Kind.JSONL)

LARGEST = ARTICLES_RAW.max_bytes - 1_000
"""Bytes of a value that Kafka takes on the topic, with room for the envelope."""

FEWEST = 100
"""Bad records and files that each test must have: an empty corpus would pass."""


def good(number: int) -> RawArticle:
    return RawArticle(
        publisher="good.example",
        id=f"neighbour-{number}",
        headline=f"Neighbour {number}",
        body=f"Pier {number} of the harbour was opened on Monday by the mayor, after {number + 3} years of work.",
    )


@pytest.mark.timeout(900)
def test_bad_records_are_dead_letters_and_their_neighbours_documents(pipeline: Pipeline) -> None:
    """Any client may write these values; a service that crashed on one of them would be gone."""
    bad: list[bytes] = []
    taken: list[RawArticle] = []
    values: list[bytes | RawArticle] = []
    for number, case in enumerate(RECORDS):
        value = case.bytes()
        if len(value) > LARGEST:
            continue
        neighbour = good(number)
        taken.append(neighbour)
        values += [neighbour, value]
        if case.expects is Expects.REFUSED or case.name in DEAD_LATER:
            bad.append(value)
        else:
            taken.append(RawArticle.model_validate_json(value))
    assert len(bad) >= FEWEST
    values.append(good(len(RECORDS)))
    taken.append(good(len(RECORDS)))
    pipeline.start(*SERVICES)
    running = {name: process.pid for name, process in pipeline.running.items()}
    pipeline.send(values)
    pipeline.wait_idle(400)
    judge(pipeline, taken, bad)
    for name, process in pipeline.running.items():
        assert process.poll() is None, f"{name} ended\n{pipeline.tails()}"
        assert process.pid == running[name]
        assert (pipeline.health_of(name) or {})["ok"], pipeline.tails()


@pytest.mark.timeout(300)
def test_bad_files_are_named_and_the_others_confirmed(pipeline: Pipeline, tmp_path: Path) -> None:
    """What a script sees that gives the whole folder: exit status 1, and each bad file by its name."""
    cases = {case.name: case for case in CASES if case.kind in FILE_KINDS}
    folder = tmp_path / "corpus"
    for case in cases.values():
        case.write(folder)
    done = produce_files(pipeline, folder, "--json")
    shutil.rmtree(folder)  # half a GB
    report = json.loads(done.stdout)
    named = {_name_of(failed["origin"], folder) for failed in report["failed"]}
    bad = {name for name, case in cases.items() if case.expects is not Expects.TAKEN}
    assert len(bad) >= FEWEST
    assert bad - named == set(), "refused without being named"
    assert named - bad == set(), "named, and nothing is wrong with it"
    assert report["confirmed"] == sum(case.good for case in cases.values())
    assert (report["not_confirmed"], report["troubles"]) == (0, [])


def test_a_bad_file_cannot_speak_to_the_terminal(pipeline: Pipeline, tmp_path: Path) -> None:
    """A name that clears the screen, and a key in red: both are shown, neither is obeyed."""
    names = ("txt-name-with-a-terminal-escape", "json-key-with-control-characters")
    for case in CASES:
        if case.name in names:
            case.write(tmp_path / "corpus")
    told = produce_files(pipeline, tmp_path / "corpus").stderr
    assert told.count(b"not sent: ") == len(names)
    assert b"\x1b" not in told


def produce_files(pipeline: Pipeline, folder: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "produce", "files", str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=200,
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka, "NEWSFLOW_PREFIX": pipeline.prefix},
    )
    assert done.returncode == 1, done.stderr.decode(errors="replace")[-3_000:]
    return done


def _name_of(origin: str, folder: Path) -> str:
    return Path(origin).relative_to(folder).parts[0]
