"""What becomes of each kind of record, on indices in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.article import Retagged, digest_of_body
from schemas.dead_letter import dead_letter_headers
from schemas.reading import write_record
from schemas.retraction import Retraction
from schemas.story import Story
from services.indexer.index import Outcome, TooLarge, Unavailable, Verdict
from services.indexer.settings import IndexerSettings
from services.indexer.writing import DOCUMENTS, Pending, Writing
from tests.unit.indexer.articles import tagged
from tests.unit.indexer.memory_index import MemoryIndex

A, B = "a" * 32, "b" * 32
SENT_MS = 1_767_225_600_000
AT = datetime(2026, 1, 2, tzinfo=UTC)


class Desk:
    """Writing, the indices that it writes to, and what it refused."""

    def __init__(self, **settings: Any) -> None:
        self.index, self.stories, self.letters = MemoryIndex(), MemoryIndex(), MemoryIndex()
        self.refused: list[tuple[int, str]] = []
        self.writing = Writing(
            IndexerSettings(
                kafka_bootstrap_servers="127.0.0.1:1", elasticsearch_url="http://127.0.0.1:1", **settings
            ),
            self.index,
            self.stories,
            self.letters,
            lambda record, reason, error: self.refused.append((record.offset, reason)),
        )
        self.offset = 0

    def record(self, topic: str, content: BaseModel | None, **fields: Any) -> Any:
        self.offset += 1
        value = None if content is None else write_record(content)
        given = {"key": b"key", "headers": [], "timestamp": SENT_MS, "value": value} | fields
        return SimpleNamespace(topic=topic, partition=0, offset=self.offset, **given)

    def prepare(self, *contents: Any) -> list[Pending]:
        records = [each if isinstance(each, SimpleNamespace) else self.of(each) for each in contents]
        return [each for each in map(self.writing.prepare, records) if each]

    def of(self, content: BaseModel) -> Any:
        topics = {"TaggedArticle": "tagged", "Story": "stories", "Retagged": "retagged", "Retraction": "retracted"}
        return self.record(f"articles-{topics[type(content).__name__]}", content)

    def bring_in(self, *contents: Any) -> None:
        """As often as it takes, as the indexer does."""
        left = self.prepare(*contents)
        for _ in range(20):
            if not left:
                return
            left, _ = self.writing.bring_in(left)
        raise AssertionError(f"{len(left)} are never done")

    def source(self, name: str = A) -> dict[str, Any]:
        return self.index.documents[name][1]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def story(name: str = A, story_id: str = B) -> Story:
    return Story(id=name, story_id=story_id, duplicate_of=story_id, originality=0.5)


def away_once(index: MemoryIndex) -> None:
    """The next write has no answer."""
    answers: list[Exception] = [Unavailable("503")]

    def fault(names: list[str]) -> dict[str, Outcome]:
        if answers:
            raise answers.pop()
        return {}

    index.fault = fault


def counted(verdict: Verdict) -> float:
    return float(DOCUMENTS.labels(verdict.value)._value.get())


# ---------------------------------------------------------------- articles and their history


def test_all_revisions_of_one_batch_are_in_the_document(desk: Desk) -> None:
    desk.bring_in(tagged(A, "1", 1), tagged(A, "3", 3), tagged(A, "2", 2))
    assert desk.index.requests == [[A]]
    assert (desk.source()["body"], [each["body"] for each in desk.source()["history"]]) == ("3", ["2", "1"])


def test_a_try_that_had_no_answer_forgets_no_revision(desk: Desk) -> None:
    away_once(desk.index)
    desk.bring_in(tagged(A, "1", 1), tagged(A, "2", 2))
    assert [each["body"] for each in desk.source()["history"]] == ["1"]


def test_a_revision_that_the_index_refuses_leaves_the_one_before_it(desk: Desk) -> None:
    """The refused one is a dead letter; the other is not, and must not be lost with it."""
    refused = [True]
    desk.index.fault = lambda names: {A: Outcome(Verdict.REFUSED, "400")} if refused and refused.pop() else {}
    desk.bring_in(tagged(A, "1", 1), tagged(A, "2", 2))
    assert desk.refused == [(2, "refused_by_index")]
    assert (desk.source()["revision"], desk.source()["body"]) == (1, "1")


def test_no_history_is_kept_where_none_is_wanted() -> None:
    desk = Desk(history_versions=0)
    desk.bring_in(tagged(A, "1", 1), tagged(A, "2", 2))
    desk.bring_in(tagged(A, "3", 3))
    assert desk.source()["history"] == []


def test_each_record_is_counted_once(desk: Desk) -> None:
    before = {verdict: counted(verdict) for verdict in Verdict}
    away_once(desk.index)
    desk.bring_in(tagged(A, "1", 1), tagged(A, "2", 2), tagged(B, "1", 1))
    desk.bring_in(tagged(A, "1", 1))
    told = {verdict.value: counted(verdict) - before[verdict] for verdict in Verdict}
    assert {name: count for name, count in told.items() if count} == {"written": 2, "superseded": 2}


def test_an_article_past_its_retention_is_not_written() -> None:
    desk = Desk(retention_days=1)
    desk.bring_in(tagged(A))  # first seen in January 2026
    assert desk.index.documents == {}
    assert desk.refused == []


# ---------------------------------------------------------------- retractions


def retraction(**more: Any) -> Retraction:
    return Retraction(id=A, time=AT, by="producer", **more)


def test_a_retraction_comes_before_the_articles_of_its_batch(desk: Desk) -> None:
    desk.bring_in(tagged(A, "A secret."), tagged(B), retraction())
    assert "retracted" in desk.source()
    assert "A secret." not in str(desk.index.documents)
    assert "retracted" not in desk.source(B)


def test_the_story_of_a_retracted_article_goes_too(desk: Desk) -> None:
    desk.bring_in(story(), story(B))
    desk.bring_in(tagged(A), tagged(B))
    desk.bring_in(retraction())
    assert desk.stories.documents.keys() == {B}
    desk.bring_in(story())
    assert "retracted" in desk.source(), "a story that is told later brings nothing back"


def test_the_records_of_one_article_are_taken_in_their_order(desk: Desk) -> None:
    desk.bring_in(retraction(hold=True), retraction(hold=True, withdrawn=True))
    assert desk.source()["retracted"]["hold"] is False
    assert desk.index.requests == [[A]]


def test_a_retraction_is_tried_until_both_of_its_writes_are_done(desk: Desk) -> None:
    desk.bring_in(story(), tagged(A))
    away_once(desk.stories)
    desk.bring_in(retraction())
    assert "retracted" in desk.source()
    assert desk.stories.documents == {}


# ---------------------------------------------------------------- stories


def test_a_story_is_told_to_the_document_after_a_try_without_an_answer(desk: Desk) -> None:
    desk.bring_in(tagged(A))
    away_once(desk.index)
    desk.bring_in(story())
    assert desk.source()["pipeline"]["story_id"] == B


def test_stories_of_requests_that_were_answered_are_told_when_a_later_one_was_not() -> None:
    """The first request of stories is written, the second is not: the first one's documents still need them."""
    desk = Desk(bulk_records=1)
    desk.bring_in(tagged(A), tagged(B))
    tries = 0

    def second_once(names: list[str]) -> dict[str, Outcome]:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise Unavailable("503")
        return {}

    desk.stories.fault = second_once
    desk.bring_in(story(A, "c" * 32), story(B, "c" * 32))
    assert [desk.source(name)["pipeline"]["story_id"] for name in (A, B)] == ["c" * 32] * 2


def test_a_story_that_was_published_again_is_no_younger_for_it(desk: Desk) -> None:
    desk.bring_in(desk.record("articles-stories", story(A, "c" * 32), timestamp=SENT_MS + 10))
    again = dead_letter_headers(
        topic="articles-stories",
        partition=0,
        offset=0,
        stage="indexer",
        reason="failed",
        error="",
        headers=[],
        null=False,
        timestamp=SENT_MS,
    )
    replayed = desk.record("articles-stories", story(), timestamp=SENT_MS + 99, headers=again)
    desk.bring_in(replayed)
    assert desk.stories.documents[A][1]["story_id"] == "c" * 32


# ---------------------------------------------------------------- entities


def test_entities_are_written_where_the_text_is_the_same(desk: Desk) -> None:
    desk.bring_in(tagged(A), tagged(B))
    found = Retagged(id=A, revision=1, body_digest=digest_of_body("A text."), versions={"tagger": "9"})
    desk.bring_in(found, found.model_copy(update={"id": B, "body_digest": "of another"}))
    assert "tagger 9" in desk.source()["pipeline"]["versions"]
    assert "tagger 9" not in desk.source(B)["pipeline"]["versions"]


# ---------------------------------------------------------------- dead letters


def letter(desk: Desk, headers: list[tuple[str, bytes]] | None = None) -> Any:
    made = dead_letter_headers(
        topic="articles-raw",
        partition=3,
        offset=7,
        stage="cleaner",
        reason="invalid_json",
        error="Expecting value",
        headers=[],
        null=False,
        timestamp=SENT_MS,
    )
    return desk.record("articles-dlq", None, value=b"not json", headers=made if headers is None else headers)


def test_an_open_dead_letter_is_shown_until_it_is_closed(desk: Desk) -> None:
    desk.bring_in(letter(desk))
    (found,) = desk.letters.documents.values()
    assert (found[0], found[1]["reason"], found[1]["text"]) == (1, "invalid_json", "not json")
    assert desk.index.documents == {}
    desk.bring_in(letter(desk, [("x-dlq-replayed", b"articles-raw/3/7")]))
    assert desk.letters.documents == {}


def test_a_dead_letter_that_is_closed_in_the_same_batch_is_not_shown(desk: Desk) -> None:
    desk.bring_in(letter(desk), letter(desk, [("x-dlq-replayed", b"articles-raw/3/7")]))
    assert desk.letters.documents == {}


def test_what_others_wrote_into_the_queue_is_passed_over(desk: Desk) -> None:
    assert desk.prepare(letter(desk, [])) == []
    assert desk.refused == []


# ---------------------------------------------------------------- one try


def test_after_a_step_without_an_answer_the_others_are_left_as_they_are(desk: Desk) -> None:
    away_once(desk.stories)
    pending = desk.prepare(story(), tagged(A), letter(desk))
    left, reason = desk.writing.bring_in(pending)
    assert sorted(each.record.offset for each in left) == [1, 2, 3]
    assert "503" in reason
    assert desk.index.requests == desk.letters.requests == []


@pytest.mark.parametrize("reading", ["index", "stories"])
def test_what_cannot_be_read_is_waited_for(desk: Desk, reading: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index: MemoryIndex = getattr(desk, reading)
    read: Callable[..., Any] = index.read
    fails = [True]

    def once(names: list[str]) -> Any:
        if fails and fails.pop():
            raise Unavailable("503")
        return read(names)

    monkeypatch.setattr(index, "read", once)
    pending = desk.prepare(tagged(A), story(B))
    left, reason = desk.writing.bring_in(pending)
    assert (len(left), "does not answer" in reason) == (2, True)
    desk.bring_in(tagged(A), story(B))
    assert desk.index.documents.keys() == {A}


def test_one_document_that_is_too_large_is_refused_and_its_neighbours_are_not(desk: Desk) -> None:
    def fault(names: list[str]) -> dict[str, Outcome]:
        if A in names:
            raise TooLarge("413")
        return {}

    desk.index.fault = fault
    desk.bring_in(tagged(B), tagged(A), tagged("c" * 32))
    assert desk.refused == [(2, "refused_by_index")]
    assert desk.index.documents.keys() == {B, "c" * 32}
