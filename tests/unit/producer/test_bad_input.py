"""The bad-input corpus (tests/corpus): nothing crashes, each refusal is clear, and takes nothing else with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.corpus.__main__ import MANIFEST
from tests.corpus.case import Case, Expects, Kind
from tests.corpus.cases import CASES, FULL_SCALE, SMALL_CASES
from tests.corpus.outcome import LONGEST_ERROR, Outcome, Refusal, complaints, unclear

ROOT = Path(__file__).parents[3]

CAP_MIB = 256
"""Of the process that reads the whole corpus: 65 MiB are Python and the libraries, and the worst file within all
limits (5 MB of empty lists in JSON) takes 120 more. Any of the 128 MiB files, read as a whole, takes it over."""

SECONDS = 240
"""For the whole corpus on a busy machine; a quiet one needs 40, and 10 for the small one."""


@dataclass(frozen=True)
class Done:
    """A run over the corpus in a process of its own."""

    status: int
    errors: str
    outcomes: dict[str, Outcome]
    digests: dict[str, str]
    """Of the files' contents."""
    peak_mib: int


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return run_corpus(tmp_path_factory.mktemp("corpus"), "write-small")


def run_corpus(folder: Path, write: str) -> Done:
    try:
        _corpus(write, folder)
        written = json.loads((folder / MANIFEST).read_text())
        ran = _corpus("run", folder)
    finally:
        shutil.rmtree(folder)  # the whole corpus has a GB
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    outcomes = [
        Outcome(**{**line, "refusals": [Refusal(**refusal) for refusal in line["refusals"]]})
        for line in lines
        if "name" in line
    ]
    assert len({outcome.name for outcome in outcomes}) == len(outcomes), "a file has two outcomes"
    peak = next((line["peak_mib"] for line in lines if "peak_mib" in line), 0)
    digests = {file["name"]: file["digest"] for file in written}
    return Done(ran.returncode, ran.stderr[-3_000:], {outcome.name: outcome for outcome in outcomes}, digests, peak)


def _corpus(verb: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.corpus", verb, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS)


def complaints_by_case(cases: Iterable[Case], done: Done) -> dict[str, list[str]]:
    """Case -> what is not as it must be; a case without an outcome is one that ended the run."""
    missing = [f"no verdict; the run ended with {done.status}: {done.errors}"]
    found = {
        case.name: complaints(case, done.outcomes[case.name]) if case.name in done.outcomes else missing
        for case in cases
    }
    return {name: complaint for name, complaint in found.items() if complaint}


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
def test_bad_files_are_refused_clearly_and_their_neighbours_come(kind: Kind, done: Done) -> None:
    assert complaints_by_case([case for case in SMALL_CASES if case.kind == kind], done) == {}


def test_the_corpus_is_read_in_bounded_memory(done: Done) -> None:
    assert done.status == 0, done.errors
    assert done.outcomes.keys() == {case.name for case in SMALL_CASES}
    assert 0 < done.peak_mib <= CAP_MIB


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
def test_the_whole_corpus_is_refused_clearly_in_bounded_memory(tmp_path: Path) -> None:
    done = run_corpus(tmp_path, "write")
    assert complaints_by_case(CASES, done) == {}
    assert done.status == 0, done.errors
    assert 0 < done.peak_mib <= CAP_MIB


def test_the_corpus_has_many_files_and_no_two_alike(done: Done) -> None:
    names = {case.name for case in CASES}
    assert len(CASES) == len(names) >= 600
    assert names > FULL_SCALE
    # Where the bytes are right, the name or the options are not.
    given = Counter(f"{case.kind} {done.digests[case.name]} {case.filename} {case.options}" for case in SMALL_CASES)
    assert [file for file, count in given.items() if count > 1] == []
    assert {case.kind for case in SMALL_CASES} == set(Kind)


# ---------------------------------------------------------------- the oracle itself

_CASE = Case("x", Kind.JSON, b"", Expects.MIXED, ("invalid_json",), "line 2", 1)
_REFUSAL = Refusal("invalid_json", "x.json", "it ends in line 2")


def _outcome(
    *refusals: Refusal, sent: int = 1, crash: str = "", articles: tuple[str, ...] = ("neighbour-1 ",)
) -> Outcome:
    return Outcome("x", sent, len(refusals), 0, crash, list(articles), list(refusals))


def test_what_must_be_gives_no_complaint() -> None:
    assert complaints(_CASE, _outcome(_REFUSAL)) == []


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        (_outcome(_REFUSAL, crash="Traceback"), "it raised"),
        (_outcome(_REFUSAL, sent=0, articles=()), "0 articles come, not 1"),
        (_outcome(), "lost without a word"),
        (_outcome(_REFUSAL, articles=("17 ",)), "not the neighbours"),
        (_outcome(Refusal("too_large", "x", "line 2")), "the reason is 'too_large'"),
        (_outcome(Refusal("invalid_json", "x", "it is bad")), "is in none of"),
    ],
)
def test_what_must_not_be_is_told(outcome: Outcome, complaint: str) -> None:
    assert complaint in " ".join(complaints(_CASE, outcome))


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("invalid_json", "x", ""),
        Refusal("", "x", "it is bad"),
        Refusal("unusable", "x", "it is bad"),
        Refusal("invalid_json", "x", "KeyError: 'x'"),
        Refusal("invalid_json", "x", "Traceback (most recent call last)"),
        Refusal("invalid_json", "x", "a" * (LONGEST_ERROR + 1)),
        Refusal("invalid_json", "\udce9.json", "it is bad"),
    ],
)
def test_a_refusal_that_helps_nobody_is_told(refusal: Refusal) -> None:
    assert unclear(refusal)


def test_what_is_taken_is_not_to_be_refused() -> None:
    taken = Case("x", Kind.JSON, b"", Expects.TAKEN, good=1, why="it is good")
    assert complaints(taken, _outcome()) == []
    assert "refused, though" in " ".join(complaints(taken, _outcome(_REFUSAL)))
