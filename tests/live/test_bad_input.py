"""The bad-input corpus (tests/corpus) on the real Kafka: what is wrong is a dead letter, or named; nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from schemas.article import RawArticle
from schemas.topics import ARTICLES_RAW
from tests.corpus.case import Case, Expects, Kind
from tests.corpus.cases import CASES
from tests.corpus.records import CASES as RECORDS
from tests.corpus.records import DEAD_LATER
from tests.live.harness import ROOT, SERVICES, Pipeline, judge

FILE_KINDS = (Kind.TXT, Kind.HTML, Kind.JSON, Kind.JSONL)

LARGEST = ARTICLES_RAW.max_bytes - 1_000
"""Bytes of a value that Kafka takes on the topic, with room for the envelope."""

SMALL_BYTES = 250_000
"""Largest file in the fast tier, where its size is not what is wrong with it."""

TOO_LARGE_BYTES = 3_000_000
"""Largest file in the fast tier that is refused for its size."""


def is_small(case: Case) -> bool:
    left = TOO_LARGE_BYTES if "too_large" in case.reasons else SMALL_BYTES
    for piece in case.pieces():
        left -= len(piece)
        if left < 0:
            return False
    return True


def one_of_a_kind(cases: Iterable[Case]) -> list[Case]:
    """The first small case of each kind of file, outcome and reason, and those that only the cleaner refuses."""
    chosen: dict[object, Case] = {}
    for case in cases:
        if case.name in DEAD_LATER:
            chosen[case.name] = case
        elif (case.kind, case.expects, case.reasons) not in chosen and is_small(case):
            chosen[case.kind, case.expects, case.reasons] = case
    return list(chosen.values())


FILES = [case for case in CASES if case.kind in FILE_KINDS]

RECORD_SETS = [
    pytest.param(one_of_a_kind(RECORDS), 4, id="one of a kind"),
    pytest.param(RECORDS, 100, id="all", marks=pytest.mark.slow),
]
FILE_SETS = [
    pytest.param(one_of_a_kind(FILES), 10, id="one of a kind"),
    pytest.param(FILES, 100, id="all", marks=pytest.mark.slow),
]
"""Cases, and how many bad ones they have at least: an empty corpus would pass."""


def neighbour(publisher: str, number: int) -> RawArticle:
    return RawArticle(
        publisher=publisher,
        id=f"neighbour-{number}",
        headline=f"Neighbour {number}",
        body=f"Pier {number} of the harbour was opened on Monday by the mayor, after {number + 3} years of work.",
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("cases", "fewest"), RECORD_SETS)
def test_bad_record_is_dead_letter_and_its_neighbours_are_indexed(
    running: Pipeline, cases: Sequence[Case], fewest: int
) -> None:
    """Any client may write these values, and every service survives each of them."""
    suffix = uuid.uuid4().hex
    bad: list[bytes] = []
    good: list[RawArticle] = []
    values: list[bytes | RawArticle] = []
    for number, case in enumerate(cases):
        value = case.bytes()
        if len(value) > LARGEST:
            continue
        good.append(neighbour(f"good-{suffix}.example", number))
        values.append(good[-1])
        if case.expects is Expects.REFUSED or case.name in DEAD_LATER:
            bad.append(value)
        else:
            # The same record of a publisher that no other test has.
            value = value.replace(b'"publisher": "', f'"publisher": "{suffix}.'.encode(), 1)
            good.append(RawArticle.model_validate_json(value))
        values.append(value)
    good.append(neighbour(f"good-{suffix}.example", len(cases)))
    values.append(good[-1])
    assert len(bad) >= fewest
    pids = {name: running.running[name].pid for name in SERVICES}
    places = running.send(values)
    running.wait_idle(400)
    judge(running, good, bad, places=places)
    for name, pid in pids.items():
        process = running.running[name]
        assert process.poll() is None, f"{name} ended\n{running.tails()}"
        assert process.pid == pid, name
        assert (running.health_of(name) or {})["ok"], running.tails()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("cases", "fewest"), FILE_SETS)
def test_bad_file_is_named_and_the_others_are_confirmed(
    module_pipeline: Pipeline, tmp_path: Path, cases: Sequence[Case], fewest: int
) -> None:
    """A script that gives the whole folder sees exit status 1, and each bad file by its name."""
    folder = tmp_path / "corpus"
    for case in cases:
        case.write(folder)
    done = produce_files(module_pipeline, folder, "--json")
    shutil.rmtree(folder)  # the whole corpus has half a GB
    report = json.loads(done.stdout)
    named = {_name_of(failed["origin"], folder) for failed in report["failed"]}
    bad = {case.name for case in cases if case.expects is not Expects.TAKEN}
    assert len(bad) >= fewest
    assert bad - named == set(), "refused without being named"
    assert named - bad == set(), "named, and nothing is wrong with it"
    assert report["confirmed"] == sum(case.good for case in cases)
    assert (report["not_confirmed"], report["troubles"]) == (0, [])


def test_name_of_bad_file_is_shown_without_escapes(module_pipeline: Pipeline, tmp_path: Path) -> None:
    """A name that clears the screen, and a key in red: both are shown, neither is obeyed."""
    names = ("txt-name-with-a-terminal-escape", "json-key-with-control-characters")
    for case in CASES:
        if case.name in names:
            case.write(tmp_path / "corpus")
    shown = produce_files(module_pipeline, tmp_path / "corpus").stderr
    assert shown.count(b"not sent: ") == len(names)
    assert b"\x1b" not in shown


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
