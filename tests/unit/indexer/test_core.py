from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.article import (
    Change,
    Changed,
    Dropped,
    Entities,
    Entity,
    Label,
    Location,
    Mention,
    Paragraph,
    Place,
    Quality,
    Reason,
    Retagged,
    TaggedArticle,
    digest_of_body,
)
from schemas.document import Changes, Drops
from schemas.story import SeenParagraph, Story
from services.indexer.core import to_document, with_entities, with_story
from tests.unit.indexer.articles import tagged

RECEIVED = datetime(2026, 2, 1, 8, tzinfo=UTC)
NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)
FULL = TaggedArticle(
    id="0" * 32,
    revision=17,
    received=RECEIVED,
    publisher="harbour-post.example",
    producer="wire",
    url="https://WWW.harbour-post.example:8443/a?b=1",
    headline="The ferry sails again",
    summary="After a year",
    byline="Ada Marsh",
    published=datetime(2026, 1, 31, 9, tzinfo=timezone(timedelta(hours=1))),
    modified=datetime(2026, 1, 31, 10, tzinfo=UTC),
    language="en",
    language_stated="en-GB",
    language_confidence=0.75,
    subjects=("harbour", "ferry"),
    copyright_notice="© Harbour Post",
    section="City",
    located="Porto",
    agency="Lusa",
    extra={"desk": "city"},
    flags=("published_without_zone",),
    quality=(Quality.TOO_LONG,),
    versions={"tagger": "1", "cleaner": "3", "model": "en-1.0"},
    kept=(Paragraph(index=0, text="Ada Marsh is back."), Paragraph(index=2, text="In Porto.")),
    dropped=(
        Dropped(index=1, text="Ada Marsh is back.", reason=Reason.EXACT_DUPLICATE, repeats=0),
        Dropped(index=3, text="Share", reason=Reason.BOILERPLATE, rule="share"),
        Dropped(index=4, text="Read more", reason=Reason.BOILERPLATE, rule="more"),
    ),
    changed=(
        Changed(index=0, reason=Change.ENTITIES),
        Changed(index=0, reason=Change.MOJIBAKE),
        Changed(index=1, reason=Change.SPACES),
    ),
    people=(Entity(id="p", name="Ada Marsh", count=1),),
    organisations=(Entity(id="o", name="Harbour Board", count=2),),
    places=(Place(id="l", name="Porto", count=1, country_iso_code="PT", location=Location(lat=41.1, lon=-8.6)),),
    mentions=(Mention(text="Ada Marsh", start=0, end=9, label=Label.PERSON, entity_id="p"),),
)


def test_every_field_has_its_place() -> None:
    document = to_document(FULL, NOW).model_dump(mode="json", by_alias=True)
    assert document == {
        "id": "0" * 32,
        "@timestamp": "2026-01-31T09:00:00+01:00",
        "published": "2026-01-31T09:00:00+01:00",
        "modified": "2026-01-31T10:00:00Z",
        "event": {"created": "2026-02-01T08:00:00Z", "ingested": "2026-02-01T09:00:00Z"},
        "revision": 17,
        "url": {"full": "https://WWW.harbour-post.example:8443/a?b=1", "domain": "www.harbour-post.example"},
        "headline": "The ferry sails again",
        "summary": "After a year",
        "body": "Ada Marsh is back.\n\nIn Porto.",
        "byline": "Ada Marsh",
        "language": "en",
        "publisher": {"name": "harbour-post.example"},
        "producer": "wire",
        "people": [{"id": "p", "name": "Ada Marsh", "count": 1, "wikidata": None}],
        "organisations": [{"id": "o", "name": "Harbour Board", "count": 2, "wikidata": None}],
        "places": [
            {
                "id": "l",
                "name": "Porto",
                "count": 1,
                "country_iso_code": "PT",
                "location": {"lat": 41.1, "lon": -8.6},
                "wikidata": None,
            }
        ],
        "mentions": [{"text": "Ada Marsh", "start": 0, "end": 9, "label": "person", "entity_id": "p"}],
        "subjects": ["harbour", "ferry"],
        "copyright_notice": "© Harbour Post",
        "section": "City",
        "located": "Porto",
        "agency": "Lusa",
        "extra": {"desk": "city"},
        "history": [],
        "cleared": None,
        "pipeline": {
            "versions": ["cleaner 3", "model en-1.0", "tagger 1"],
            "flags": ["published_without_zone"],
            "entities": "tagged",
            "quality": ["too_long"],
            "language_stated": "en-GB",
            "language_confidence": 0.75,
            "paragraphs": {
                "total": 5,
                "kept": 2,
                "dropped": 3,
                "dropped_by": {"boilerplate": 2, "exact_duplicate": 1, "near_duplicate": 0},
                "changed": 1,
                "changed_by": {
                    "mojibake": 1,
                    "entities": 1,
                    "invisible": 0,
                    "spaces": 0,
                    "normalized": 0,
                    "lines_joined": 0,
                    "hyphenation": 0,
                    "sign_off": 0,
                },
            },
            "dedup": "partial",
            "story_id": "0" * 32,
            "duplicate_of": None,
            "originality": None,
            "seen_first": [],
        },
    }


def test_nothing_of_an_article_is_forgotten() -> None:
    """A field that is added to the record needs a decision here."""
    unchanged = to_document(FULL, NOW).model_dump_json()
    elsewhere = {
        "kept",
        "dropped",
        "changed",
        "versions",
    }  # they are counted or joined: see the tests beside this one
    for field, value in FULL:
        if field in elsewhere:
            continue
        other = tagged("f" * 32, revision=18).model_copy(
            update={
                "received": NOW,
                "language": "de",
                "publisher": "other.example",
                "entities": Entities.UNSUPPORTED_LANGUAGE,
            }
        )
        changed = FULL.model_copy(update={field: getattr(other, field)})
        assert getattr(changed, field) != value
        assert to_document(changed, NOW).model_dump_json() != unchanged, field


def test_an_article_without_times_stands_where_it_came_in() -> None:
    document = to_document(tagged("a"), NOW)
    assert document.timestamp == document.event.created == datetime(2026, 1, 1, tzinfo=UTC)
    assert document.published is None


def test_an_article_without_a_url_has_none() -> None:
    assert to_document(tagged("a"), NOW).url is None


def test_only_the_time_of_writing_tells_two_writes_apart() -> None:
    first, second = (to_document(FULL, time).model_dump() for time in (NOW, NOW + timedelta(days=1)))
    assert first.pop("event") != second.pop("event")
    assert first == second


def test_every_reason_for_a_drop_is_counted() -> None:
    assert set(Drops.model_fields) == {reason.value for reason in Reason}


@given(st.lists(st.sampled_from([None, *Reason]), max_size=40))
def test_the_counts_add_up(reasons: list[Reason | None]) -> None:
    article = tagged("a").model_copy(
        update={
            "kept": tuple(Paragraph(index=i, text=f"text {i}") for i, each in enumerate(reasons) if each is None),
            "dropped": tuple(Dropped(index=i, text="x", reason=each) for i, each in enumerate(reasons) if each),
        }
    )
    document = json.loads(to_document(article, NOW).model_dump_json())
    counts = document["pipeline"]["paragraphs"]
    assert counts["total"] == counts["kept"] + counts["dropped"] == len(reasons)
    assert counts["dropped"] == sum(counts["dropped_by"].values())
    expected = Counter(each.value for each in reasons if each)
    assert counts["dropped_by"] == {reason.value: expected[reason.value] for reason in Reason}
    assert document["body"].split("\n\n") == [paragraph.text for paragraph in article.kept] or not article.kept


def test_a_paragraph_is_counted_once_for_each_way_it_was_changed_and_not_when_it_was_dropped() -> None:
    changes = [
        (0, Change.SIGN_OFF),
        (0, Change.SIGN_OFF),
        (0, Change.SPACES),
        (2, Change.SPACES),
        (1, Change.SPACES),
    ]
    article = tagged("a").model_copy(
        update={
            "kept": (Paragraph(index=0, text="a"), Paragraph(index=2, text="b")),
            "dropped": (Dropped(index=1, text="a", reason=Reason.EXACT_DUPLICATE, repeats=0),),
            "changed": tuple(Changed(index=index, reason=change) for index, change in changes),
        }
    )
    counts = to_document(article, NOW).pipeline.paragraphs
    assert counts.changed == 2
    assert counts.changed_by == Changes(sign_off=1, spaces=2)


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://[2001:db8::1]/a", "2001:db8::1"), ("http://harbour-post.example", "harbour-post.example")],
)
def test_the_domain_is_the_host_alone(url: str, host: str) -> None:
    document = to_document(tagged("a").model_copy(update={"url": url}), NOW)
    assert document.url is not None
    assert document.url.full == url
    assert document.url.domain == host


def test_odd_spaces_are_plain_in_the_index_so_that_words_are_found_and_offsets_hold() -> None:
    text = "C’est sûr\u202f! 10\u202f000\u00a0€ en jeu."
    article = tagged("a").model_copy(update={"kept": (Paragraph(index=0, text=text),)})
    body = to_document(article, NOW).body
    assert body == "C’est sûr ! 10 000 € en jeu."
    assert len(body) == len(article.body)


STORY = Story(
    id="0" * 32,
    story_id="1" * 32,
    duplicate_of="1" * 32,
    originality=0.25,
    paragraphs=(SeenParagraph(index=1, id="1" * 32, share=1.0),),
)


def test_a_document_has_its_story() -> None:
    pipeline = to_document(FULL, NOW, STORY).pipeline
    assert (pipeline.dedup, pipeline.story_id, pipeline.duplicate_of) == ("linked", "1" * 32, "1" * 32)
    assert (pipeline.originality, pipeline.seen_first) == (0.25, STORY.paragraphs)


def test_a_stored_document_takes_its_story_and_nothing_else_changes() -> None:
    def stored(story: Story | None) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(
            to_document(FULL, NOW, story).model_dump_json(by_alias=True, exclude_none=True)
        )
        return document

    assert with_story(stored(None), STORY) == stored(STORY)
    assert with_story(stored(STORY), STORY) is None
    alone = Story(id="0" * 32, story_id="0" * 32)
    assert with_story(stored(STORY), alone) == stored(alone), "what it no longer has is gone"


# ---------------------------------------------------------------- other entities


def stored(article: TaggedArticle) -> dict[str, Any]:
    """The document as it is in the index."""
    document = to_document(article, NOW, Story(id=article.id, story_id="1" * 32))
    found: dict[str, Any] = json.loads(document.model_dump_json(by_alias=True, exclude_none=True))
    return found


def retagged(**changes: Any) -> Retagged:
    fields: dict[str, Any] = {
        "id": FULL.id,
        "revision": 17,
        "body_digest": digest_of_body(FULL.body),
        "versions": {"model": "en-2.0", "tagger": "9"},
        "people": (Entity(id="person:ada", name="Ada", count=1),),
        "mentions": (Mention(text="Ada", start=0, end=3, label=Label.PERSON, entity_id="person:ada"),),
    }
    return Retagged(**fields | changes)


def test_other_entities_change_nothing_else() -> None:
    before = stored(FULL)
    after = with_entities(before, retagged())
    expected = stored(
        FULL.model_copy(
            update={
                "people": retagged().people,
                "organisations": (),
                "places": (),
                "mentions": retagged().mentions,
                "versions": {"cleaner": "3", "model": "en-2.0", "tagger": "9"},
            }
        )
    )
    assert after == expected
    assert before == stored(FULL), "what was given is as it was"


def test_a_language_without_a_model_any_more_has_no_entities() -> None:
    of = retagged(versions={"tagger": "9"}, people=(), mentions=(), entities=Entities.UNSUPPORTED_LANGUAGE)
    after = with_entities(stored(FULL), of)
    assert after is not None
    assert after["people"] == after["mentions"] == []
    assert after["pipeline"]["entities"] == "unsupported_language"
    assert after["pipeline"]["versions"] == ["cleaner 3", "tagger 9"]


def test_a_document_of_before_there_were_entities_in_pipeline_gets_them() -> None:
    source = stored(FULL)
    del source["pipeline"]["entities"]
    after = with_entities(source, retagged())
    assert after is not None
    assert after["pipeline"]["entities"] == "tagged"


@pytest.mark.parametrize("change", [{"revision": 16}, {"revision": 18}, {"body_digest": "0" * 32}])
def test_entities_of_another_text_are_not_taken(change: dict[str, Any]) -> None:
    assert with_entities(stored(FULL), retagged(**change)) is None


def test_odd_spaces_of_an_author_make_no_other_text() -> None:
    article = FULL.model_copy(update={"kept": (Paragraph(index=0, text="Ada\u202fMarsh"),)})
    assert with_entities(stored(article), retagged(body_digest=digest_of_body(article.body))) is not None


@pytest.mark.parametrize("character", ["\x00", "\x1e", "\x1f"])
def test_what_an_index_refuses_in_suggestions_is_taken_out(character: str) -> None:
    odd, plain = f"Ada{character}Marsh", "Ada Marsh"
    article = FULL.model_copy(
        update={
            "headline": odd,
            "people": (Entity(id="p", name=odd, count=1),),
            "organisations": (Entity(id="o", name=odd, count=1),),
            "places": (Place(id="l", name=odd, count=1),),
        }
    )
    document = to_document(article, NOW)
    found = Retagged(
        id=article.id,
        revision=article.revision,
        body_digest=digest_of_body(document.body),
        versions={},
        people=article.people,
        organisations=article.organisations,
        places=article.places,
    )
    retagged = with_entities(json.loads(document.model_dump_json(by_alias=True)), found)
    assert retagged is not None
    assert document.headline == plain
    for kind in ("people", "organisations", "places"):
        assert [each.name for each in getattr(document, kind)] == [plain]
        assert [each["name"] for each in retagged[kind]] == [plain]
