from __future__ import annotations

import sys

import pytest

from services.cli.app import VERBS, main
from tests.unit.cli.conftest import Newsflow

PROMISED = {
    "up", "down", "setup", "produce", "worker", "indexer", "process", "search", "status", "dlq", "schema", "doctor",
    "health",
}  # fmt: skip


def test_the_promised_verbs_are_there() -> None:
    assert VERBS.keys() >= PROMISED


def test_help_lists_every_verb_with_its_line(newsflow: Newsflow) -> None:
    said = newsflow("--help")
    assert said.status == 0
    rows = [line.strip("│ ").split(maxsplit=1) for line in said.out.splitlines() if line.startswith("│")]
    listed = {row[0]: row[1].strip() for row in rows if len(row) == 2}
    assert {verb: listed.get(verb) for verb in VERBS} == {verb: line for verb, (_, line) in VERBS.items()}


@pytest.mark.parametrize("verb", sorted(PROMISED))
def test_every_verb_has_help_of_its_own(newsflow: Newsflow, verb: str) -> None:
    said = newsflow(verb, "--help")
    assert said.status == 0
    assert f"Usage: newsflow {verb} " in said.out


WRONG = (
    "",
    "nosuch",
    "--nosuch",
    "produce",
    "produce nosuch",
    "produce - some.jsonl",
    "produce seeds --nosuch",
    "worker",
    "worker indexer",
    "process",
    "process missing.txt",
    "process --only indexer missing.txt",
    "search",
    "search one two",
    "search ferry --size 0",
    "search ferry --size 101",
    "search ferry --size many",
    "status --wait-idle soon",
    "dlq",
    "dlq nosuch",
    "dlq show",
    "dlq replay",
    "dlq replay articles-raw/0/1 --all",
    "setup now",
    "up --nosuch",
    "down --nosuch",
    "schema show nosuch",
)


@pytest.mark.parametrize("words", WRONG)
def test_wrong_use_is_status_2(newsflow: Newsflow, words: str) -> None:
    said = newsflow(*words.split())
    assert said.status == 2
    assert "Usage: newsflow" in said.out + said.err
    # A script that reads standard output must not take a complaint for a result.
    assert said.out == "" or words in {"", "dlq", "produce"}, "only help is a result"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["produce", "nosuch"], "there is no source 'nosuch'; known are "),
        (["process"], "give files or folders, or - for standard input"),
        (["process", "missing.txt"], "there is no missing.txt"),
        (["search", "x" * 1_001], "at most 1000 characters"),
        (["dlq", "replay"], "give ids, or --all"),
    ],
)
def test_wrong_use_is_told(newsflow: Newsflow, words: list[str], told: str) -> None:
    said = newsflow(*words)
    assert said.status == 2
    assert told in said.told


def test_a_library_that_is_not_installed_is_named(newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that only sends articles installs no search client."""
    for name in ("services.cli.search", "services.runtime.elasticsearch", "services.runtime.search_client"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "urllib3", None)
    said = newsflow("search", "ferry")
    assert said.status == 1
    assert "newsflow search needs urllib3" in said.told
    assert newsflow("--help").status == 0, "all else goes on"


def test_a_module_of_ours_that_is_missing_is_a_bug_and_shown_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "services.cli.search", raising=False)
    monkeypatch.setitem(sys.modules, "services.runtime.elasticsearch", None)
    monkeypatch.setattr(sys, "argv", ["newsflow", "search", "ferry"])
    with pytest.raises(ModuleNotFoundError, match=r"services\.runtime\.elasticsearch"):
        main()
