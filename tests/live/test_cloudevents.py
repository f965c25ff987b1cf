"""Articles plain and as CloudEvents in both modes, good and broken, through the whole pipeline."""

from __future__ import annotations

import base64
import json
from typing import Any

from typer.testing import CliRunner

from schemas.article import RawArticle
from schemas.cloudevents import EVENT_TYPE, Header
from schemas.topics import ARTICLES_RAW
from services.cli.dlq import app
from tests.live.harness import Pipeline, judge

EVENT = {"specversion": "1.0", "id": "417-1", "source": "/feeds/harbour-post", "type": EVENT_TYPE}
BINARY: list[Header] = [(f"ce_{name}", text.encode()) for name, text in EVENT.items()]
STRUCTURED: list[Header] = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
BATCH: list[Header] = [("content-type", b"application/cloudevents-batch+json")]


def article(name: str) -> RawArticle:
    return RawArticle(
        publisher="island-post.example",
        id=name,
        headline=f"Ferries, as {name}",
        body=f"The ferry to the north island will run every twenty minutes. This was sent as {name}, in Århus.",
    )


def packed(record: Any, **more: Any) -> bytes:
    return json.dumps(EVENT | {"data": record} | more, ensure_ascii=False).encode()


def send(pipeline: Pipeline, records: list[tuple[bytes, list[Header]]]) -> list[str]:
    """Each confirmed; returns where each is."""
    producer = pipeline.producer()
    name = pipeline.name(ARTICLES_RAW.name)
    sent = [producer.send(name, value=value, headers=headers) for value, headers in records]
    places = [future.get(timeout=60) for future in sent]
    producer.close()
    return [f"{place.topic}/{place.partition}/{place.offset}" for place in places]


def replay(pipeline: Pipeline, *ids: str) -> None:
    environment = {"KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka, "NEWSFLOW_PREFIX": pipeline.prefix}
    done = CliRunner().invoke(app, ["replay", *ids], env=environment)
    assert done.exit_code == 0, done.output


def test_article_in_every_mode_is_indexed_and_a_dead_envelope_is_replayed(running: Pipeline) -> None:
    """Break: give the child process no headers (`*packing_headers(each.headers)` of `_tasks`)."""
    good = [article(name) for name in ("plain", "binary", "structured", "base64")]
    values = [record.model_dump_json(exclude_defaults=True).encode() for record in good]
    in_base64 = json.dumps(EVENT | {"data_base64": base64.b64encode(values[3]).decode()}).encode()
    wrong = {"publisher": "island-post.example", "body": "x", "hedline": "y"}
    broken: dict[str, tuple[bytes, list[Header]]] = {
        "hedline: unknown field": (json.dumps(wrong).encode(), []),
        "ce_specversion: only": (json.dumps(wrong | {"1": ""}).encode(), [("ce_specversion", b"0.3"), *BINARY[1:]]),
        "content-type: an article is JSON": (values[1] + b" ", [*BINARY, ("content-type", b"text/plain")]),
        "specversion: ": (packed(json.loads(values[2]), specversion="2.0"), [("trace", b"\xff"), *STRUCTURED]),
        "language: String": (packed(json.loads(values[2]) | {"language": "en_GB"}), STRUCTURED),
        "content-type: a batch": (b"[" + packed(json.loads(values[2])) + b"]", BATCH),
    }
    send(running, [(values[0], []), (values[1], BINARY), (packed(json.loads(values[2])), STRUCTURED)])
    places = send(running, [*broken.values(), (in_base64, STRUCTURED)])
    running.wait_idle()
    judge(running, good, [value for value, _ in broken.values()], places=places)

    dead = {record.letter.id: record for record in running.dead(places)}
    for place, (error, (value, headers)) in zip(places, broken.items(), strict=False):
        assert dead[place].letter.error.startswith(error)
        assert dead[place].letter.attempt == 1
        assert dead[place].value == value
        assert [pair for pair in dead[place].headers if not pair[0].startswith("x-dlq-")] == headers
    reasons = [dead[place].letter.reason for place in places[: len(broken)]]
    assert reasons == ["invalid_record"] + ["invalid_envelope"] * 3 + ["invalid_record", "invalid_envelope"]

    # Read as an envelope again, so that it fails for the same reason: without its header it would be a plain one.
    before = {record.letter.id for record in running.dead()}
    replay(running, places[3], places[4])
    running.wait_idle()
    again = [record for record in running.dead() if record.letter.id not in before]
    assert [record.letter.attempt for record in again] == [2, 2]
    assert sorted(record.value or b"" for record in again) == sorted(
        dead[places[number]].value or b"" for number in (3, 4)
    )
    assert sorted(record.letter.reason for record in again) == ["invalid_envelope", "invalid_record"]
    errors = sorted(record.letter.error.partition(":")[0] for record in again)
    assert errors == ["language", "specversion"]
    assert all(STRUCTURED[0] in record.headers for record in again)
