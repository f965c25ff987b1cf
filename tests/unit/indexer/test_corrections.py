"""What is kept of what a correction replaced, and what is left of an article that was taken out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.article import Retagged
from schemas.document import ArticleDocument
from schemas.retraction import Retraction
from schemas.story import Story
from services.indexer.core import Keep, correct, is_expired, retract, to_document, with_entities, with_story
from tests.unit.indexer.articles import tagged

NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)
KEEP = Keep(versions=10, bytes=1_000_000)
ID = "a" * 32


def version(revision: int, text: str | None = None, name: str = ID) -> ArticleDocument:
    return to_document(tagged(name, text or f"Text {revision}.", revision), NOW)


def store(present: dict[str, Any] | None, *coming: ArticleDocument, keep: Keep = KEEP) -> dict[str, Any] | None:
    """What is in the index afterwards."""
    corrected = correct(present, coming, keep)
    return present if corrected is None else json.loads(corrected.source)


def history(source: dict[str, Any] | None) -> list[tuple[int, str]]:
    assert source is not None
    return [(each["revision"], each["body"]) for each in source["history"]]


def test_a_correction_keeps_what_it_replaced() -> None:
    first = to_document(tagged(ID, "First.", 1).model_copy(update={"headline": "Old", "byline": "Ada"}), NOW)
    stored = store(store(None, first), version(2, "Second."))
    assert stored is not None
    assert (stored["revision"], stored["body"]) == (2, "Second.")
    assert stored["history"] == [
        {"revision": 1, "received": "2026-01-01T00:00:00Z", "headline": "Old", "body": "First.", "byline": "Ada"}
    ]


def test_the_first_revision_has_no_history() -> None:
    assert history(store(None, version(1))) == []


def test_a_replay_changes_nothing_of_the_history() -> None:
    stored = store(store(None, version(1)), version(2))
    assert store(stored, version(2)) == stored
    assert correct(stored, [version(1)], KEEP) is None, "it is in the history already"


def test_an_older_revision_that_comes_late_goes_into_the_history_and_not_into_the_document() -> None:
    stored = store(store(None, version(3)), version(1))
    assert stored is not None
    assert (stored["revision"], history(stored)) == (3, [(1, "Text 1.")])
    corrected = correct(store(None, version(3)), [version(2)], KEEP)
    assert corrected is not None
    assert (corrected.revision, corrected.incoming) == (3, False)


def test_what_the_story_and_the_entities_are_stays_when_an_older_revision_comes() -> None:
    present = store(None, version(3))
    assert present is not None
    present["pipeline"]["story_id"] = "of another"
    stored = store(present, version(1))
    assert stored is not None
    assert stored["pipeline"]["story_id"] == "of another"


def test_of_one_revision_the_last_record_counts() -> None:
    stored = store(None, version(2, "first"), version(1), version(2, "second"))
    assert stored is not None
    assert (stored["body"], history(stored)) == ("second", [(1, "Text 1.")])


def test_a_revision_that_says_nothing_else_is_no_version() -> None:
    stored = None
    for revision, text in enumerate(["a", "a", "b", "b", "a"]):
        stored = store(stored, version(revision, text))
    assert history(stored) == [(3, "b"), (1, "a")]


versions = st.lists(st.integers(1, 8), min_size=1, max_size=12)


@settings(deadline=None)
@given(versions, st.integers(0, 4), st.data())
def test_the_order_in_which_versions_come_does_not_matter(revisions: list[int], most: int, data: Any) -> None:
    """Delivered in order and once, or shuffled, in other batches, and some of them twice."""
    keep = Keep(versions=most, bytes=1_000_000)
    in_order = None
    for revision in sorted(set(revisions)):
        in_order = store(in_order, version(revision), keep=keep)
    shuffled = None
    left = data.draw(st.permutations(revisions))
    while left:
        size = data.draw(st.integers(1, len(left)))
        shuffled = store(shuffled, *[version(revision) for revision in left[:size]], keep=keep)
        left = left[size:]
    assert shuffled == in_order
    assert len(history(shuffled)) <= most


def test_the_history_is_bounded_by_its_bytes_and_the_oldest_goes_first() -> None:
    stored = None
    for revision in range(1, 10):
        stored = store(stored, version(revision, "x" * 1_000 + str(revision)), keep=Keep(10, 3_500))
    assert [revision for revision, _ in history(stored)] == [8, 7, 6]
    assert history(store(stored, version(10), keep=Keep(10, 0))) == []


def test_a_document_of_before_there_was_a_history_gets_one() -> None:
    present = store(None, version(1))
    assert present is not None
    del present["history"]
    assert history(store(present, version(2))) == [(1, "Text 1.")]


# ---------------------------------------------------------------- taken out

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT_MS = 1_767_268_800_000


def by_producer(at: datetime = AT) -> Retraction:
    return Retraction(id=ID, time=at, by="producer")


def held(at: datetime = AT, **more: Any) -> Retraction:
    return Retraction(id=ID, time=at, by="newsflow retract", reason="an error", hold=True, **more)


def left(present: dict[str, Any] | None, *retractions: Retraction) -> dict[str, Any] | None:
    for each in retractions:
        document = retract(present, each)
        present = present if document is None else document.model_dump(mode="json", exclude_none=True)
    return present


def test_nothing_of_the_text_is_left() -> None:
    present = store(store(None, version(1, "A secret.")), version(2, "Another secret."))
    trace = left(present, held())
    assert trace == {
        "id": ID,
        "revision": AT_MS,
        "retracted": {
            "time": "2026-01-01T12:00:00Z",
            "by": "newsflow retract",
            "reason": "an error",
            "hold": True,
        },
    }


def test_a_revision_above_every_time_is_taken_out_as_well() -> None:
    trace = left(store(None, version(2**62)), by_producer())
    assert trace is not None
    assert trace["revision"] == 2**62
    assert correct(trace, [version(2**62)], KEEP) is None
    assert correct(trace, [version(2**62 + 1)], KEEP) is not None


def test_what_comes_after_a_tombstone_stays_out_only_while_it_is_older() -> None:
    trace = left(None, by_producer())
    assert correct(trace, [version(5), version(AT_MS)], KEEP) is None
    stored = store(trace, version(5), version(AT_MS + 1, "New."))
    assert stored is not None
    assert (stored["body"], history(stored)) == ("New.", [])


def test_a_tombstone_from_before_an_article_came_takes_nothing_out() -> None:
    """It was delivered once more, and the article has come again since."""
    present = store(None, version(1))
    assert retract(present, by_producer(datetime(2025, 12, 31, tzinfo=UTC))) is None


def test_what_a_person_holds_back_stays_out_whatever_its_revision() -> None:
    trace = left(None, held())
    assert correct(trace, [version(2**62)], KEEP) is None
    trace = left(trace, by_producer(AT + timedelta(days=1)))
    assert trace is not None
    assert trace["retracted"]["reason"] == "an error", "a producer changes nothing about it"
    assert correct(trace, [version(2**62)], KEEP) is None


def test_once_it_is_withdrawn_a_newer_revision_comes_in() -> None:
    trace = left(None, held(), held(AT + timedelta(days=1), withdrawn=True))
    assert correct(trace, [version(AT_MS)], KEEP) is None
    stored = store(trace, version(AT_MS + 1))
    assert stored is not None
    assert "retracted" not in stored
    assert retract(stored, held(withdrawn=True)) is None, "there is nothing to withdraw any more"


@pytest.mark.parametrize("retraction", [by_producer(), held()])
def test_a_retraction_delivered_again_changes_nothing(retraction: Retraction) -> None:
    present = store(None, version(1))
    assert left(present, retraction, retraction) == left(present, retraction)


def test_what_is_left_takes_no_story_and_no_entities() -> None:
    trace = left(None, held())
    assert trace is not None
    assert with_story(trace, Story(id=ID, story_id="b" * 32, originality=0.5)) is None
    assert with_entities(trace, Retagged(id=ID, revision=AT_MS, body_digest="", versions={})) is None


# ---------------------------------------------------------------- retention


def test_an_article_is_expired_by_when_it_was_published_or_else_first_seen() -> None:
    first_seen = version(1)  # 31 days ago
    published = to_document(tagged(ID).model_copy(update={"published": NOW - timedelta(days=3)}), NOW)
    assert is_expired(first_seen, NOW, timedelta(days=30))
    assert not is_expired(first_seen, NOW, timedelta(days=32))
    assert not is_expired(published, NOW, timedelta(days=30))
    assert not is_expired(first_seen, NOW, None)
