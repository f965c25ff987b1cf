"""What becomes of an article's versions at the indexer: the latest one with its history, whatever the order.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from elasticsearch import Elasticsearch

from schemas.document import INDEX_ALIAS
from schemas.retraction import BY_PERSON, Retraction
from schemas.story import Story
from tests.live.articles import new_ids
from tests.live.harness import VOLATILE, Pipeline
from tests.live.versions import (
    SMALL_BULKS,
    Record,
    command,
    history,
    index,
    retraction,
    send,
    stored,
    version,
    visible,
)


def test_correction_keeps_replaced_versions(indexing: Pipeline) -> None:
    """Break: store a document as it came in (in `correct`, no history)."""
    name, other = new_ids(2)
    first = version(1, name, text="The bridge is closed.\n\nNobody was hurt.", byline="By Ada Marsh")
    second = version(2, name, text="The bridge is open.\n\nNobody was hurt.", url="https://p.example/1")
    index(indexing, first, second, version(3, name, text="The bridge is open."))
    document = visible(indexing, name)[name]
    assert document["body"] == "The bridge is open."
    assert document["history"] == [
        {
            "revision": second.revision,
            "received": "2026-01-01T00:02:00Z",
            "headline": "Headline 2",
            "body": second.body,
            "url": "https://p.example/1",
        },
        {
            "revision": first.revision,
            "received": "2026-01-01T00:01:00Z",
            "headline": "Headline 1",
            "body": first.body,
            "byline": "By Ada Marsh",
        },
    ]
    with Elasticsearch(indexing.elasticsearch) as client:
        found = client.count(index=indexing.name(INDEX_ALIAS), query={"query_string": {"query": "closed"}})
        assert found["count"] == 0, "an earlier version is not searched"
    index(indexing, Story(id=name, story_id=other))
    assert history(indexing, name) == ["Headline 3", "Headline 2", "Headline 1"], "a story changes no history"
    answer = json.loads(command(indexing, "history", name, "--json"))
    changed = [shown["changed"] for shown in answer["versions"]]
    assert changed[0]["removed"] == ["Nobody was hurt."]
    assert changed[1]["changed"] == [{"before": "The bridge is closed.", "after": "The bridge is open."}]
    assert changed[1]["fields"].keys() == {"headline", "byline", "url"}
    assert changed[2] is None


def test_unchanged_article_has_no_history(indexing: Pipeline) -> None:
    """Break: keep versions that say nothing else (in `_history`, `if _said(newer) != _said(each)` -> ``)."""
    (name,) = new_ids(1)
    same = {"name": name, "headline": "Headline", "text": "The same text."}
    index(indexing, version(1, **same), version(2, **same), version(2, **same), version(3, **same))
    document = visible(indexing, name)[name]
    assert (document["revision"], document["history"]) == (version(3, name).revision, [])


# ---------------------------------------------------------------- any order


def renamed(record: Record, names: dict[str, str]) -> Record:
    """The same of another article: an id stands in no text that is sent here."""
    changes = {"id": names[record.id]}
    if isinstance(record, Story):
        changes["story_id"] = names[record.story_id]
    return record.model_copy(update=changes)


def results(pipeline: Pipeline, names: Sequence[str]) -> list[Any]:
    """Of each article its document, or its retraction, without what depends on the time and the ids."""
    found = visible(pipeline, *names)
    number = {name: f"article {position}" for position, name in enumerate(names)}
    outcomes: list[Any] = []
    for name in names:
        if name not in found:
            source = stored(pipeline, name)
            outcomes.append(source and source["retracted"])
            continue
        document = {key: value for key, value in found[name].items() if key not in (*VOLATILE, "@timestamp")}
        text = json.dumps(document)
        for id_, replacement in number.items():
            text = text.replace(id_, replacement)
        outcomes.append(json.loads(text))
    return outcomes


def delivered(
    pipeline: Pipeline, records: Sequence[Record], deliveries: Sequence[Record]
) -> tuple[list[Any], list[str]]:
    """Deliver `records` in order, and `deliveries` under other ids; returns the results, the same for both."""
    ids = list(dict.fromkeys(record.id for record in records))
    names = dict(zip(ids, new_ids(len(ids)), strict=True))
    send(pipeline, *records, *[renamed(record, names) for record in deliveries])
    pipeline.wait_idle(groups=["indexer"])
    once = results(pipeline, ids)
    assert None not in once
    assert results(pipeline, list(names.values())) == once
    return once, list(names.values())


def versions(name: str, text: str = "") -> list[Record]:
    return [version(number, name, f"Version {number} says so. {text}") for number in range(1, 7)]


def shuffled(records: Sequence[Record]) -> list[Record]:
    """Each three times."""
    found = [*records] * 3
    random.Random(15).shuffle(found)
    return found


HEADLINES = [f"Headline {number}" for number in (6, 5, 4, 3, 2, 1)]


def test_versions_in_any_order_give_same_document(indexing: Pipeline) -> None:
    """Break: take what comes in later for the newer one (in `correct`, the sorting of `coming` or of `earlier`)."""
    records = [record for name in new_ids(4) for record in versions(name)]
    _, names = delivered(indexing, records, shuffled(records))
    for name in names:
        assert history(indexing, name) == HEADLINES


def test_records_in_any_order_give_same_index(indexing: Pipeline) -> None:
    """Break: let a producer's tombstone take the place of what a person said (`_is_known`: `bool(held)`)."""
    ids = new_ids(30)
    records: list[Record] = []
    for number, name in enumerate(ids):
        records += [
            version(count, name, f"Version {count} of article {number}.") for count in range(1, 2 + number % 4)
        ]
        records.append(Story(id=name, story_id=ids[number // 3 * 3], originality=0.5))
        if number % 5 == 0:
            records.append(retraction(10, name))
        if number % 10 == 0:
            records.append(retraction(11, name, by=BY_PERSON, hold=True, reason="An order."))
    tombstones = [record for record in records if isinstance(record, Retraction) and not record.hold]
    found, _ = delivered(indexing, records, [*shuffled(records), *tombstones])
    assert sum("time" in outcome for outcome in found) == 6


# ---------------------------------------------------------------- bounds


def test_history_is_bounded(pipeline: Pipeline) -> None:
    """Break: keep all (in `_history`, leave out `[: keep.versions]`, or do not count `left` down)."""
    pipeline.environment |= SMALL_BULKS
    pipeline.start("indexer", INDEXER_HISTORY_VERSIONS="2", INDEXER_HISTORY_BYTES="3000")
    many, large, long, short = new_ids(4)
    filler = "word " * 380
    records = [*versions(many), *versions(large, filler)]
    _, names = delivered(pipeline, records, shuffled(records))
    assert history(pipeline, many) == history(pipeline, names[0]) == HEADLINES[:3], "two earlier versions"
    assert history(pipeline, large) == history(pipeline, names[1]) == HEADLINES[:2], "3,000 bytes"
    index(pipeline, *[version(number, long, f"{number} {filler}") for number in range(1, 4)])
    index(pipeline, version(4, long, f"4 {filler}{filler}"), version(5, long, "5"))
    assert history(pipeline, long) == ["Headline 5"], "no version older than one that is too long is kept"
    assert pipeline.terminate("indexer") == 0
    pipeline.start("indexer", INDEXER_HISTORY_VERSIONS="0")
    index(pipeline, version(1, short), version(2, short))
    assert history(pipeline, short) == ["Headline 2"]
    assert pipeline.dead() == []
