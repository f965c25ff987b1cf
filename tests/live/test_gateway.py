"""The gateway on the real Kafka: what it said it has taken is in Elasticsearch."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests

from schemas.article import RawArticle
from schemas.identity import article_id
from services.embedded.ports import choose_ports
from services.embedded.servers import KafkaServer
from tests.live.harness import SERVICES, Pipeline, judge

CLIENTS = 200
ARTICLES_EACH = 10
AWAY_SECONDS = 20
KEY = "a-key-of-the-live-tests"

WORDS = ("ferry", "harbour", "council", "bridge", "market", "winter", "tower", "river", "school", "garden")


def article(number: int) -> dict[str, Any]:
    """Distinct and short: no word of it is a name, and no two are copies of each other."""
    pick = random.Random(number)
    text = " ".join(f"{pick.choice(WORDS)}{pick.randrange(10_000)}" for _ in range(20))
    return {"publisher": f"p{number % 7}.example", "id": str(number), "body": f"The {text} was seen again."}


def gateway_url(pipeline: Pipeline) -> str:
    """Where a gateway of this pipeline will listen."""
    port = choose_ports(["gateway"], {})["gateway"]
    pipeline.environment["GATEWAY_PORT"] = str(port)
    return f"http://127.0.0.1:{port}/v1/articles"


def test_articles_that_were_posted_are_found(pipeline: Pipeline, tmp_path: Path) -> None:
    url = gateway_url(pipeline)
    keys = tmp_path / "keys"
    keys.write_text(f"desk {KEY}\n")
    pipeline.start(*SERVICES)
    pipeline.start("gateway", module="services.gateway", GATEWAY_API_KEYS_FILE=str(keys))
    kinds: list[tuple[str, bytes]] = [("application/json", json.dumps(article(0)).encode())]
    kinds.append(("application/x-ndjson", b"\n".join(json.dumps(article(number)).encode() for number in (1, 2, 3))))
    event = {"specversion": "1.0", "id": "e", "source": "/cms", "type": "t", "data": article(4)}
    kinds.append(("application/cloudevents+json", json.dumps(event).encode()))
    accepted: list[str] = []
    for kind, content in kinds:
        headers = {"content-type": kind, "authorization": f"Bearer {KEY}"}
        answer = requests.post(url, data=content, headers=headers, timeout=30)
        assert answer.status_code == 202, answer.text
        accepted += [each["id"] for each in answer.json()["accepted"]]
    assert requests.post(url, data=content, headers={"content-type": kind}, timeout=30).status_code == 401
    pipeline.wait_idle()
    sent = [RawArticle(**article(number)) for number in range(5)]
    assert accepted == [article_id(each) for each in sent]
    judge(pipeline, sent)
    assert {source["producer"] for source in pipeline.documents().values()} == {"gateway:desk"}
    assert pipeline.terminate("gateway") == 0
    assert KEY not in pipeline.log("gateway")


# ------------------------------------------------------------ a broker that is away


@dataclass
class Crowd:
    """What the clients were told."""

    accepted: set[str] = field(default_factory=set)
    answers: Counter[int | str] = field(default_factory=Counter)
    without_retry_after: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)


async def client(session: aiohttp.ClientSession, url: str, numbers: range, crowd: Crowd) -> None:
    """Sends its articles one after the other, each as often as it takes."""
    for number in numbers:
        await asyncio.sleep(random.uniform(0, 1))
        while not await sent(session, url, number, crowd):  # noqa: ASYNC110 - a pause, not a wait for something
            await asyncio.sleep(random.uniform(0.2, 1))


async def sent(session: aiohttp.ClientSession, url: str, number: int, crowd: Crowd) -> bool:
    try:
        async with session.post(url, json=article(number)) as answer:
            told = await answer.json()
    except aiohttp.ClientConnectionError:
        crowd.answers["connection"] += 1
        return False
    crowd.answers[answer.status] += 1
    if answer.status != 202:
        crowd.without_retry_after += "retry-after" not in answer.headers
        return False
    crowd.accepted |= {each["id"] for each in told["accepted"]}
    if len(crowd.accepted) > CLIENTS * ARTICLES_EACH // 4:
        crowd.enough.set()
    return True


async def crowd_while_the_broker_is_away(url: str, broker: KafkaServer) -> Crowd:
    crowd = Crowd()
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as session:
        clients = [
            asyncio.create_task(
                client(session, url, range(number * ARTICLES_EACH, (number + 1) * ARTICLES_EACH), crowd)
            )
            for number in range(CLIENTS)
        ]
        await crowd.enough.wait()
        broker.kill()
        await asyncio.sleep(AWAY_SECONDS)
        await asyncio.to_thread(broker.start)
        await asyncio.gather(*clients)
    return crowd


@pytest.mark.timeout(900)
def test_nothing_is_lost_that_was_accepted_while_the_broker_was_away(
    broker_pipeline: Pipeline, broker: KafkaServer
) -> None:
    """200 clients, a broker that is killed under them and stays away, and less room than they ask for.

    Break: in `Gateway._articles` make `asyncio.create_task(self._confirmed(records))` of the line that awaits it.
    """
    url = gateway_url(broker_pipeline)
    broker_pipeline.environment["GATEWAY_CONFIRM_SECONDS"] = "5"
    broker_pipeline.environment["GATEWAY_IN_FLIGHT_RECORDS"] = broker_pipeline.environment[
        "GATEWAY_BODY_RECORDS"
    ] = "100"
    broker_pipeline.start("gateway")
    began = time.monotonic()
    crowd = asyncio.run(crowd_while_the_broker_is_away(url, broker))
    print(f"{time.monotonic() - began:.1f} s, answers: {dict(crowd.answers)}")
    assert crowd.answers.keys() <= {202, 429, 503, "connection"}
    assert crowd.without_retry_after == 0
    assert len(crowd.accepted) == CLIENTS * ARTICLES_EACH
    broker_pipeline.wait_healthy("gateway")
    assert broker_pipeline.terminate("gateway") == 0
    broker_pipeline.start(*SERVICES)
    broker_pipeline.wait_idle(300)
    judge(broker_pipeline, [RawArticle(**article(number)) for number in range(CLIENTS * ARTICLES_EACH)])
    assert crowd.answers[503], "the broker was not away for long enough"
