"""The gateway on the real Kafka: every article that it accepted is stored, and indexed."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.topics import ARTICLES_RAW
from services.embedded.ports import choose_ports
from services.embedded.servers import KafkaServer
from services.runtime.reading import read_to_end
from tests.live.harness import SERVICES, Pipeline, judge

ARTICLES_EACH = 10
KEY = "a-key-of-the-live-tests"

WORDS = ("ferry", "harbour", "council", "bridge", "market", "winter", "tower", "river", "school", "garden")


def article(number: int, publisher: str = "p") -> dict[str, Any]:
    """Distinct and short: no word of it is a name, and no two are copies of each other."""
    pick = random.Random(number)
    text = " ".join(f"{pick.choice(WORDS)}{pick.randrange(10_000)}" for _ in range(20))
    return {
        "publisher": f"{publisher}{number % 7}.example",
        "id": str(number),
        "body": f"The {text} was seen again.",
    }


def choose_port() -> tuple[str, str]:
    """A port for a gateway, and the URL of its articles."""
    port = choose_ports(["gateway"], {})["gateway"]
    return str(port), f"http://127.0.0.1:{port}/v1/articles"


def test_posted_articles_are_indexed(running: Pipeline, tmp_path: Path) -> None:
    port, url = choose_port()
    keys = tmp_path / "keys"
    keys.write_text(f"desk {KEY}\n")
    running.start("gateway", GATEWAY_PORT=port, GATEWAY_API_KEYS_FILE=str(keys))
    publisher = f"gateway-{uuid.uuid4().hex}-"
    given = [article(number, publisher) for number in range(5)]
    kinds: list[tuple[str, bytes]] = [("application/json", json.dumps(given[0]).encode())]
    kinds.append(("application/x-ndjson", b"\n".join(json.dumps(fields).encode() for fields in given[1:4])))
    event = {"specversion": "1.0", "id": "e", "source": "/cms", "type": "t", "data": given[4]}
    kinds.append(("application/cloudevents+json", json.dumps(event).encode()))
    accepted: list[str] = []
    for kind, content in kinds:
        headers = {"content-type": kind, "authorization": f"Bearer {KEY}"}
        answer = requests.post(url, data=content, headers=headers, timeout=30)
        assert answer.status_code == 202, answer.text
        accepted += [entry["id"] for entry in answer.json()["accepted"]]
    refused = article(5, publisher)
    assert requests.post(url, json=refused, timeout=30).status_code == 401
    assert running.terminate("gateway") == 0
    assert KEY not in running.log("gateway")
    sent = [RawArticle(**fields) for fields in given]
    assert accepted == [article_id(entry) for entry in sent]
    documents = running.wait_indexed(accepted)
    assert {source["producer"] for source in documents.values()} == {"gateway:desk"}
    running.wait_idle()
    assert running.documents({fields["publisher"] for fields in [*given, refused]}).keys() == set(accepted)


# ------------------------------------------------------------ a broker that is away


@dataclass
class Crowd:
    """The clients of a gateway, and the answers that they got."""

    clients: int
    accepted: set[str] = field(default_factory=set)
    answers: Counter[int | str] = field(default_factory=Counter)
    without_retry_after: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)


async def client(session: aiohttp.ClientSession, url: str, numbers: range, crowd: Crowd) -> None:
    """Sends its articles one after the other, each until it is accepted."""
    for number in numbers:
        await asyncio.sleep(random.uniform(0, 1))
        while not await sent(session, url, number, crowd):  # noqa: ASYNC110 - a pause, not a wait for something
            await asyncio.sleep(random.uniform(0.2, 1))


async def sent(session: aiohttp.ClientSession, url: str, number: int, crowd: Crowd) -> bool:
    try:
        async with session.post(url, json=article(number)) as answer:
            content = await answer.json()
    except aiohttp.ClientConnectionError:
        crowd.answers["connection"] += 1
        return False
    crowd.answers[answer.status] += 1
    if answer.status != 202:
        crowd.without_retry_after += "retry-after" not in answer.headers
        return False
    crowd.accepted |= {entry["id"] for entry in content["accepted"]}
    if len(crowd.accepted) > crowd.clients * ARTICLES_EACH // 4:
        crowd.enough.set()
    return True


async def crowd_without_broker(url: str, broker: KafkaServer, clients: int, seconds: float) -> Crowd:
    """The clients send; when a quarter is accepted, the broker is killed and absent for so many seconds."""
    crowd = Crowd(clients)
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as session:
        tasks = [
            asyncio.create_task(
                client(session, url, range(number * ARTICLES_EACH, (number + 1) * ARTICLES_EACH), crowd)
            )
            for number in range(clients)
        ]
        await crowd.enough.wait()
        broker.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(broker.start)
        await asyncio.gather(*tasks)
    return crowd


def check_broker_absence(
    pipeline: Pipeline, broker: KafkaServer, clients: int, seconds: float, confirm_seconds: int
) -> list[RawArticle]:
    """Clients send while the broker is absent, and to a gateway with less room than they ask for.

    Checks that every accepted article is on `articles-raw`; returns the articles.
    """
    port, url = choose_port()
    records = str(clients // 2)
    pipeline.start(
        "gateway",
        GATEWAY_PORT=port,
        GATEWAY_CONFIRM_SECONDS=str(confirm_seconds),
        GATEWAY_IN_FLIGHT_RECORDS=records,
        GATEWAY_BODY_RECORDS=records,
    )
    began = time.monotonic()
    crowd = asyncio.run(crowd_without_broker(url, broker, clients, seconds))
    print(f"{time.monotonic() - began:.1f} s, answers: {dict(crowd.answers)}")
    assert crowd.answers.keys() <= {202, 429, 503, "connection"}
    assert crowd.without_retry_after == 0
    articles = [RawArticle(**article(number)) for number in range(clients * ARTICLES_EACH)]
    assert crowd.accepted == {article_id(entry) for entry in articles}
    pipeline.wait_healthy("gateway")
    assert pipeline.terminate("gateway") == 0
    keys = {record.key.decode() for record in read_to_end(pipeline.settings, pipeline.name(ARTICLES_RAW.name))}
    assert crowd.accepted - keys == set(), "accepted, and not on articles-raw"
    assert crowd.answers[503], "the broker was not absent for long enough"
    return articles


def test_accepted_articles_survive_broker_absence(broker_pipeline: Pipeline, broker: KafkaServer) -> None:
    check_broker_absence(broker_pipeline, broker, clients=20, seconds=3, confirm_seconds=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_accepted_articles_of_200_clients_survive_broker_absence(
    broker_pipeline: Pipeline, broker: KafkaServer
) -> None:
    articles = check_broker_absence(broker_pipeline, broker, clients=200, seconds=20, confirm_seconds=5)
    broker_pipeline.start(*SERVICES)
    broker_pipeline.wait_idle(300)
    judge(broker_pipeline, articles)
