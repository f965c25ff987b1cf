"""What is kept of what a correction replaced, and what is left of an article that was taken out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
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
"""Half a day after these articles were received."""


def late(revision: int, text: str | None = None) -> ArticleDocument:
    """A revision that Kafka had the day after `AT`."""
    document = version(revision, text)
    return document.model_copy(
        update={"event": document.event.model_copy(update={"created": AT + timedelta(days=1)})}
    )


def by_producer(at: datetime = AT) -> Retraction:
    return Retraction(id=ID, time=at, by="producer")


def held(at: datetime = AT, **more: Any) -> Retraction:
    return Retraction(id=ID, time=at, by="newsflow retract", reason="an error", hold=True, **more)


WITHDRAWN = Retraction(id=ID, time=AT + timedelta(days=2), by="newsflow retract", withdrawn=True)


def left(present: dict[str, Any] | None, *retractions: Retraction) -> dict[str, Any] | None:
    for each in retractions:
        document = retract(present, each)
        present = present if document is None else json.loads(json.dumps(document))
    return present


def test_nothing_of_the_text_is_left() -> None:
    present = store(store(None, version(1, "A secret.")), version(2, "Another secret."))
    assert left(present, held()) == {
        "id": ID,
        "revision": 2,
        "retracted": {
            "time": "2026-01-01T12:00:00Z",
            "by": "newsflow retract",
            "reason": "an error",
            "hold": True,
            "withdrawn": False,
        },
    }


def test_what_kafka_had_before_a_tombstone_stays_out_whatever_its_revision() -> None:
    for trace in (left(None, by_producer()), left(store(None, version(7)), by_producer())):
        assert correct(trace, [version(5), version(2**62)], KEEP) is None


def test_what_comes_after_a_tombstone_comes_in_without_what_was_before() -> None:
    trace = left(store(None, version(1)), by_producer())
    stored = store(trace, version(2), late(3, "New."))
    assert stored is not None
    assert (stored["body"], history(stored)) == ("New.", [])
    assert correct(stored, [version(2)], KEEP) is None, "an older copy is no history either"
    assert history(store(stored, late(4))) == [(3, "New.")]


def test_a_producer_that_counts_its_revisions_can_send_the_article_again() -> None:
    trace = left(store(None, version(3)), by_producer())
    stored = store(trace, late(3, "Again."))
    assert stored is not None
    assert stored["body"] == "Again."


def test_a_tombstone_that_comes_after_the_next_revision_takes_its_history_out() -> None:
    stored = store(store(store(None, version(1)), late(2)), late(3))
    cleared = left(stored, by_producer())
    assert cleared is not None
    assert (cleared["body"], history(cleared)) == ("Text 3.", [(2, "Text 2.")])
    assert correct(cleared, [version(1)], KEEP) is None
    assert retract(cleared, by_producer()) is None
    assert retract(cleared, by_producer(AT - timedelta(hours=1))) is None


coming = st.permutations(
    [version(1), version(2), late(4), late(5), by_producer(), by_producer(AT - timedelta(hours=1))]
)


@given(coming)
def test_the_order_of_tombstones_and_revisions_does_not_matter(records: list[ArticleDocument | Retraction]) -> None:
    present = None
    for each in [*records, *records]:
        present = left(present, each) if isinstance(each, Retraction) else store(present, each)
    assert present is not None
    assert (present["body"], history(present)) == ("Text 5.", [(4, "Text 4.")])


def test_what_a_person_holds_back_stays_out_whatever_comes() -> None:
    trace = left(store(None, late(9)), held())
    assert trace is not None
    assert trace["retracted"]["hold"] is True
    assert correct(trace, [late(2**62)], KEEP) is None
    trace = left(trace, by_producer(AT + timedelta(days=1)))
    assert trace is not None
    assert trace["retracted"]["reason"] == "an error", "a producer changes nothing about it"
    assert correct(trace, [late(2**62)], KEEP) is None


def test_a_person_holds_back_what_a_producer_took_out() -> None:
    trace = left(None, by_producer(AT + timedelta(days=1)), held())
    assert correct(trace, [late(3)], KEEP) is None


def test_once_it_is_withdrawn_any_revision_comes_in() -> None:
    """The same record again, too: from `articles-tagged`, for an index that is filled anew."""
    trace = left(store(None, version(1)), held(), WITHDRAWN)
    stored = store(trace, version(1))
    assert stored is not None
    assert (stored["body"], "retracted" in stored) == ("Text 1.", False)
    assert retract(stored, WITHDRAWN) is None, "there is nothing to withdraw any more"
    assert left(trace, held()) == trace, "what was withdrawn is not held back by its own record, delivered again"
    assert correct(left(trace, by_producer(AT + timedelta(days=3))), [version(1)], KEEP) is None


@pytest.mark.parametrize("retraction", [by_producer(), held()])
def test_a_retraction_delivered_again_changes_nothing(retraction: Retraction) -> None:
    present = store(None, version(1))
    assert left(present, retraction, retraction) == left(present, retraction)


def test_what_is_left_takes_no_story_and_no_entities() -> None:
    trace = left(store(None, version(1)), held())
    assert trace is not None
    assert with_story(trace, Story(id=ID, story_id="b" * 32, originality=0.5)) is None
    assert with_entities(trace, Retagged(id=ID, revision=1, body_digest="", versions={})) is None


# ---------------------------------------------------------------- retention


def test_an_article_is_expired_by_when_it_was_published_or_else_first_seen() -> None:
    first_seen = version(1)  # 31 days ago
    published = to_document(tagged(ID).model_copy(update={"published": NOW - timedelta(days=3)}), NOW)
    assert is_expired(first_seen, NOW, timedelta(days=30))
    assert not is_expired(first_seen, NOW, timedelta(days=32))
    assert not is_expired(published, NOW, timedelta(days=30))
    assert not is_expired(first_seen, NOW, None)
