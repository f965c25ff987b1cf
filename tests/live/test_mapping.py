"""The mapping on the real Elasticsearch: what it takes, what it finds, and how a running index is judged by it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from elasticsearch import BadRequestError, Elasticsearch

from schemas.dead_letter import MAX_ERROR_CHARACTERS
from schemas.document import (
    DEAD_LETTERS_ALIAS,
    INDEX_ALIAS,
    NOT_RETRACTED,
    RESERVED,
    STANDBY_ALIAS,
    DeadLetterDocument,
    Retracted,
    RetractedDocument,
    first_index,
)
from services.cli.search import MAX_PREFIX_CHARACTERS, ask, suggest
from services.setup import app
from services.setup.app import MAPPINGS, set_up_index
from services.setup.comparison import Comparison, Kind, compare
from tests.live.harness import Pipeline

NOW = datetime(2026, 3, 1, tzinfo=UTC)

shipped = app.template


@pytest.fixture
def alias(indices: Pipeline) -> str:
    return indices.name(INDEX_ALIAS)


def article(headline: str = "Ferry", body: str = "It sailed.", **names: list[str]) -> dict[str, Any]:
    """The fields of a document that search reads; `people=[…]` and so on are names."""
    found = {kind: [{"id": name, "name": name, "count": 1} for name in each] for kind, each in names.items()}
    return {"headline": headline, "body": body, "language": "en", "publisher": {"name": "p.example"}, **found}


def write(client: Elasticsearch, index: str, *sources: dict[str, Any]) -> list[str]:
    """Write all, each under its number, and make them found; returns why each was refused, '' where it was not."""
    lines = [line for place, source in enumerate(sources) for line in ({"index": {"_id": str(place)}}, source)]
    # Not by the client, which writes no lone surrogate.
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    answer = client.perform_request(
        "POST",
        f"/{index}/_bulk?refresh=true",
        headers={"accept": "application/json", "content-type": "application/x-ndjson"},
        body=body,
    ).body
    errors = [each["index"].get("error") for each in answer["items"]]
    return [json.dumps(error) if error else "" for error in errors]


# ---------------------------------------------------------------- suggestions


ODD = [
    "",
    "   ",
    "\u00a0\u2003\u200b\ufeff",
    "!!! ???",
    "\U0001f600" * 60,
    "x" * (MAX_PREFIX_CHARACTERS - 1) + "\U0001f600\U0001f600",
    "\ud800 alone",
    "\uffff\ufffe\ufdd0",
    "\u0301" * 200,
    "\u202eabc",
    "\x01\x02\x1b\x7f\x85",
    "word " * 8_000,
    "x" * 40_000,
    "新闻" * 20_000,
    " ".join("abcdefghijklmnopqrstuvwxyz" * 4),
]


def test_odd_text_is_accepted(client: Elasticsearch, alias: str) -> None:
    sources = [article(headline=text, people=[text, "Zed", text], places=[text]) for text in ODD]
    refused = {text: error for text, error in zip(ODD, write(client, alias, *sources), strict=True) if error}
    assert refused == {}


def test_reserved_characters_alone_refuse_document_and_only_in_suggested_fields(
    client: Elasticsearch, alias: str
) -> None:
    """No parameter of the mapping changes that: the writer must remove them (see RESERVED)."""
    characters = [chr(code) for code in (*range(0x300), *range(0x2000, 0x2100), *range(0xD7F0, 0x10000, 16))]
    refused = write(client, alias, *(article(headline=f"a{each}b") for each in characters))
    assert "".join(each for each, why in zip(characters, refused, strict=True) if why) == RESERVED
    kinds = ("people", "organisations", "places")
    named = [article() | {kind: [{"name": f"a{RESERVED[0]}b"}]} for kind in kinds]
    assert all(write(client, alias, *named))
    behind = "x" * MAX_PREFIX_CHARACTERS + RESERVED
    assert write(client, alias, article(headline=behind, people=[behind])) == [""]


def test_suggestions_start_with_prefix_and_come_once(client: Elasticsearch, alias: str) -> None:
    long = "Parliament meets " + "again and " * 40
    sources = [article("Paris sleeps", places=["Paris"]) for _ in range(300)]
    sources += [
        article(long, people=["Pär Lagerkvist"], organisations=["PARTI socialiste"]),
        article("A day in Paris", people=["Ada Parker"], places=["Parma"]),
    ]
    assert not any(write(client, alias, *sources))
    assert suggest(client, alias, "par", 10) == {
        "headlines": ["Paris sleeps", long],
        "people": ["Pär Lagerkvist"],
        "organisations": ["PARTI socialiste"],
        "places": ["Paris", "Parma"],
    }
    assert suggest(client, alias, "PÁR", 1)["places"] == ["Paris"]
    assert suggest(client, alias, "Ada P", 10)["people"] == ["Ada Parker"]
    assert suggest(client, alias, "!", 10) == {"headlines": [], "people": [], "organisations": [], "places": []}


def test_retracted_article_is_not_found_counted_or_suggested(client: Elasticsearch, alias: str) -> None:
    assert not any(write(client, alias, article("Paris sleeps"), article("Parma wakes")))
    left = RetractedDocument(
        id="0", revision=2, retracted=Retracted(time=NOW, by="newsflow retract", reason="x" * 40_000, hold=True)
    )
    client.index(index=alias, id="0", document=left.model_dump(mode="json"), refresh=True)
    assert suggest(client, alias, "par", 10)["headlines"] == ["Parma wakes"]
    assert client.count(index=alias)["count"] == 1
    found = client.search(index=alias, query={"match_all": {}})["hits"]["hits"]
    assert [each["_id"] for each in found] == ["1"]
    assert client.get(index=alias, id="0")["_source"]["retracted"]["hold"] is True


# ---------------------------------------------------------------- languages


OTHER_FORMS = {
    "Hafen bekommt neue Häuser": "Haus Hafens",
    "Los vecinos vuelven al puerto": "vecina",
    "Les ouvriers retournent aux ports": "ouvrier port",
    "The workers returned to their ports": "worker returning",
}
"""Headline -> a query with other forms of its words, in German, Spanish, French and English."""


def test_query_in_another_form_finds_and_highlights_headline(client: Elasticsearch, alias: str) -> None:
    assert not any(write(client, alias, *map(article, OTHER_FORMS), article("Nothing of it")))
    for number, query in enumerate(OTHER_FORMS.values()):
        hits = ask(client, alias, query, 10)["hits"]
        assert [hit["id"] for hit in hits] == [str(number)], query
        assert "<em>" in hits[0]["highlights"][0], query


def test_index_without_new_sub_fields_can_be_searched(
    indices: Pipeline, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = of_version_1(indices, client, monkeypatch)
    assert not any(write(client, index, article("The ferries sail")))
    assert ask(client, index, "ferry", 10)["total"] == 1
    set_up_index(client, indices.setup_settings)
    answer = ask(client, index, "ferry", 10)
    assert answer["hits"][0]["highlights"] == ["The <em>ferries</em> sail"]


# ---------------------------------------------------------------- dead letters


def test_longest_dead_letter_is_accepted_and_unknown_field_refused(
    indices: Pipeline, client: Elasticsearch
) -> None:
    index = indices.name(DEAD_LETTERS_ALIAS)
    letter = DeadLetterDocument(
        id="t" * 249 + "/5/9223372036854775807",
        timestamp=NOW,
        topic="t" * 249,
        partition=2**31 - 1,
        offset=2**63 - 1,
        stage="cleaner",
        reason="invalid_record",
        error="é" * MAX_ERROR_CHARACTERS,
        attempt=3,
        publisher="p" * 40_000,
        headline="h" * 40_000 + RESERVED,
        key="k" * 40_000,
        bytes=2**40,
        text="x" * 100_000 + RESERVED,
    )
    source = letter.model_dump(mode="json", by_alias=True)
    client.index(index=index, id="1", document=source, refresh=True)
    assert client.count(index=index, query={"match": {"error": "é" * 255}})["count"] == 1
    with pytest.raises(BadRequestError, match="strict_dynamic_mapping"):
        client.index(index=index, id="2", document={**source, "own": "x"})


# ---------------------------------------------------------------- a running index, judged


def of_version_1(indices: Pipeline, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch) -> str:
    """Replaces the index by one as version 1 created it; returns its name."""

    def older(name: str) -> dict[str, Any]:
        found = shipped(name)
        if name == MAPPINGS:
            mappings = found["template"]["mappings"]
            later = mappings["_meta"]["sub_fields_since"]["2"]
            mappings["_meta"] = {"version": 1}
            for field in ("history", "retracted"):
                del mappings["properties"][field]
            for field in later:
                *above, last = field.split(".")
                place: Any = mappings
                for part in above:
                    place = place["properties"][part]
                del place["fields"][last]
        return found

    alias = indices.name(INDEX_ALIAS)
    client.indices.delete(index=first_index(alias))
    with monkeypatch.context() as patched:
        patched.setattr(app, "template", older)
        patched.setattr(app, "first_index", lambda name: f"{name}-v1-000001")
        patched.setattr(app, "NOT_RETRACTED", None)
        [made] = set_up_index(client, indices.setup_settings)
    assert made == f"{alias}-v1-000001"
    return made


def kinds(found: Comparison) -> dict[str, Kind]:
    return {each.field: each.kind for each in found.differences}


def test_new_index_fits(indices: Pipeline, client: Elasticsearch, alias: str) -> None:
    """Elasticsearch returns each field, setting and filter as it was sent."""
    assert not any(write(client, alias, article()))
    found = compare(client, indices.setup_settings)
    assert found.differences == ()
    assert found.fits
    assert (found.index, found.version, found.documents) == (first_index(alias), found.shipped_version, 1)


def test_index_of_version_1_needs_set_up_and_then_migration(
    indices: Pipeline, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With documents; without any, set-up is enough."""
    alias = indices.name(INDEX_ALIAS)
    since = shipped(MAPPINGS)["template"]["mappings"]["_meta"]["sub_fields_since"]["2"]
    missing = dict.fromkeys([*since, "history", "retracted"], Kind.MISSING_FIELD)
    index = of_version_1(indices, client, monkeypatch)
    for documents in (0, 1):
        if documents:
            client.indices.delete(index=index)
            indices.set_up()
            of_version_1(indices, client, monkeypatch)
            assert not any(write(client, index, article()))
        before = compare(client, indices.setup_settings)
        assert kinds(before) == {f"{alias} on {index}": Kind.ALIAS, **missing}, documents
        assert all("newsflow setup" in difference.todo for difference in before.differences)
        set_up_index(client, indices.setup_settings)
        after = compare(client, indices.setup_settings)
        assert (after.index, after.version) == (index, 1)
        assert kinds(after) == (dict.fromkeys(since, Kind.LATER_FIELD) if documents else {})
        assert after.fits is not bool(documents)


def test_unchangeable_differences_need_migration(indices: Pipeline, client: Elasticsearch, alias: str) -> None:
    index = first_index(alias)
    client.indices.delete(index=index)
    analysis = {"analyzer": {"news_folded": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase"]}}}
    client.indices.create(
        index=index,
        aliases={alias: {"filter": NOT_RETRACTED}},
        settings={"analysis": analysis, "number_of_replicas": 1, "refresh_interval": "5s"},
        mappings={"properties": {"section": {"type": "text"}, "own": {"type": "keyword"}}},
    )
    set_up_index(client, indices.setup_settings)
    found = compare(client, indices.setup_settings)
    assert kinds(found) == {
        "own": Kind.FOREIGN_FIELD,
        "section": Kind.OTHER_FIELD,
        "analysis.analyzer.news_folded.filter": Kind.OTHER_SETTING,
    }
    assert [each.field for each in found.differences if "newsflow index migrate" in each.todo] == [
        "section",
        "analysis.analyzer.news_folded.filter",
    ]
    assert not found.fits


def test_alias_and_standby_are_compared(indices: Pipeline, client: Elasticsearch, alias: str) -> None:
    index, second = first_index(alias), f"{alias}-v2-000002"
    client.indices.put_alias(index=index, name=alias)
    client.indices.create(index=second, aliases={indices.name(STANDBY_ALIAS): {"is_write_index": True}})
    found = compare(client, indices.setup_settings)
    assert kinds(found) == {f"{alias} on {index}": Kind.ALIAS, indices.name(STANDBY_ALIAS): Kind.STANDBY}
    assert found.standby == second
    set_up_index(client, indices.setup_settings)
    assert compare(client, indices.setup_settings).fits
    client.indices.delete_alias(index=index, name=alias)
    gone = compare(client, indices.setup_settings)
    assert (gone.index, gone.version, gone.fits) == (None, None, False)
