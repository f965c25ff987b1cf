"""Pipelines on the real Kafka and the real Elasticsearch, and the oracle that judges them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from elasticsearch import Elasticsearch
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError

from schemas.article import RawArticle
from schemas.document import INDEX_ALIAS
from schemas.identity import article_id
from schemas.topics import ARTICLES_RAW, TOPICS
from services.cli.kafka_admin import DeadRecord, dead_records, lags
from services.runtime.settings import ServiceSettings
from services.setup.app import set_up, set_up_index
from services.setup.settings import SetupSettings

ROOT = Path(__file__).parents[2]

SERVICES = ("cleaner", "deduper", "linker", "tagger", "indexer")

VOLATILE = ("event", "revision")
"""Fields of a document that depend on when it came in."""

SESSION_TIMEOUT_SECONDS = 6
"""The broker's minimum: a killed process blocks its group until its session is over."""


@dataclass
class Pipeline:
    """Topics, index and consumer groups under one prefix, and the processes started for them."""

    kafka: str
    elasticsearch: str
    prefix: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    has_topics: bool = True
    """False for indices alone, which are set up in a quarter of the time."""

    @property
    def setup_settings(self) -> SetupSettings:
        return SetupSettings(
            kafka_bootstrap_servers=self.kafka,
            elasticsearch_url=self.elasticsearch,
            newsflow_prefix=self.prefix,
        )

    def set_up(self) -> None:
        if self.has_topics:
            set_up(self.setup_settings)
        else:
            with Elasticsearch(self.elasticsearch) as client:
                set_up_index(client, self.setup_settings)

    def delete(self) -> None:
        """Delete topics and indices, so that the shared servers carry what running tests use. Best effort."""
        if self.has_topics:
            self._delete_topics()
        with Elasticsearch(self.elasticsearch) as client:
            names = ",".join(client.indices.get(index=f"{self.prefix}*"))
            if names:
                client.indices.delete(index=names)
            client.options(ignore_status=404).indices.delete_index_template(name=f"{self.prefix}*")

    def _delete_topics(self) -> None:
        with suppress(KafkaError, OSError):
            admin = KafkaAdminClient(
                bootstrap_servers=self.kafka, request_timeout_ms=5_000, bootstrap_timeout_ms=5_000
            )
            try:
                admin.delete_topics([self.name(topic.name) for topic in TOPICS])
            finally:
                admin.close()

    @property
    def settings(self) -> ServiceSettings:
        return ServiceSettings(kafka_bootstrap_servers=self.kafka, newsflow_prefix=self.prefix)

    def name(self, plain: str) -> str:
        return f"{self.prefix}{plain}"

    # ------------------------------------------------------------ processes

    def start(self, *names: str, module: str | None = None, wait: bool = True, **environment: str) -> None:
        """Start one process for each name; `module` for one that is not `services.<name>`."""
        for name in names:
            service = name.split("#")[0]
            with (self.folder / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(
                    [sys.executable, "-m", *(module or f"services.{service}").split()],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={
                        **os.environ,
                        "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
                        "ELASTICSEARCH_URL": self.elasticsearch,
                        "NEWSFLOW_PREFIX": self.prefix,
                        "KAFKA_SESSION_TIMEOUT_SECONDS": str(SESSION_TIMEOUT_SECONDS),
                        "TAGGER_PROCESSES": "1",
                        "TMPDIR": str(self.folder),
                        **self.environment,
                        **environment,
                    },
                )
        if wait:
            for name in names:
                self.wait_healthy(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def health_of(self, name: str) -> dict[str, Any] | None:
        """What /healthz says; None while nothing answers."""
        lines = [line for line in self.log(name).splitlines() if "health endpoint" in line]
        if not lines:
            return None
        port = next(part.split("=")[1] for part in lines[-1].split() if part.startswith("port="))
        try:
            answer: dict[str, Any] = requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).json()
        except requests.RequestException:
            return None
        return answer

    def wait_healthy(self, name: str, seconds: float = 120) -> None:
        def healthy() -> bool:
            if self.running[name].poll() is not None:
                raise AssertionError(f"{name} exited {self.running[name].returncode}:\n{self.log(name)[-3000:]}")
            health = self.health_of(name)
            return health is not None and health["ok"]

        wait_until(healthy, seconds, lambda: f"{name} is not healthy:\n{self.log(name)[-3000:]}")

    def kill(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGKILL)
        self.running.pop(name).wait()

    def terminate(self, name: str, seconds: float = 40) -> int:
        """SIGTERM; returns the exit status."""
        process = self.running.pop(name)
        process.terminate()
        return process.wait(seconds)

    def wait_exit(self, name: str, seconds: float) -> int:
        try:
            status = self.running[name].wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} still runs after {seconds} s:\n{self.log(name)[-3000:]}") from None
        self.running.pop(name)
        return status

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    # ------------------------------------------------------------ records

    def send(
        self,
        values: Iterable[bytes | RawArticle | dict[str, Any] | None],
        topic: str = ARTICLES_RAW.name,
        codec: str | None = None,
        keys: Sequence[bytes] | None = None,
    ) -> list[str]:
        """Write to a topic as any producer would, each confirmed; returns `topic/partition/offset` for each."""
        producer = self.producer(codec)
        futures = []
        for index, value in enumerate(values):
            key = keys[index] if keys else str(index).encode()
            futures.append(producer.send(self.name(topic), key=key, value=_bytes(value)))
        producer.flush()
        places = [future.get(timeout=60) for future in futures]
        producer.close()
        return [f"{place.topic}/{place.partition}/{place.offset}" for place in places]

    def producer(self, codec: str | None = None) -> KafkaProducer:
        return KafkaProducer(
            bootstrap_servers=self.kafka, compression_type=codec, max_request_size=8_000_000, linger_ms=5
        )

    def wait_idle(self, seconds: float = 90, groups: Sequence[str] = SERVICES) -> None:
        """Until the committed offset is the end offset on every partition that `groups` read."""

        def waiting() -> dict[str, int] | str:
            try:
                return {name: lag for name, lag in self.lags(groups).items() if lag}
            except (KafkaError, LookupError, OSError) as error:  # a broker that does not answer: not idle
                return repr(error)

        # Twice: a record may have been between two topics.
        wait_until(
            lambda: not waiting() and not waiting(), seconds, lambda: f"not idle: {waiting()}\n{self.tails()}"
        )

    def lags(self, groups: Sequence[str] = SERVICES) -> dict[str, int]:
        """Records that each of `groups` has not committed, by `topic group`."""
        start = len(self.prefix)
        return {
            f"{found.topic[start:]} {found.group[start:]}": found.lag
            for found in lags(self.settings)
            if found.group[start:] in groups
        }

    def wait_indexed(self, ids: Iterable[str], seconds: float = 60) -> dict[str, dict[str, Any]]:
        """Until the index has a document for each of `ids`; returns the documents by id."""
        wanted = list(ids)
        found: dict[str, dict[str, Any]] = {}

        def indexed() -> bool:
            found.update(self.get(wanted))
            return len(found) == len(set(wanted))

        wait_until(indexed, seconds, lambda: f"not indexed: {set(wanted) - found.keys()}\n{self.tails()}")
        return found

    def wait_dead(self, places: Collection[str], seconds: float = 60) -> list[DeadRecord]:
        """Until each record at `topic/partition/offset` is a dead letter; returns these dead letters."""
        found: list[DeadRecord] = []

        def dead() -> bool:
            found[:] = self.dead(places)
            return len(found) == len(set(places))

        wait_until(dead, seconds, lambda: f"{len(found)} of {len(set(places))} dead letters\n{self.tails()}")
        return found

    def tails(self) -> str:
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)

    def dead(self, places: Collection[str] | None = None) -> list[DeadRecord]:
        """The open dead letters, or those of the records at these `topic/partition/offset`."""
        return [found for found in dead_records(self.settings) if places is None or found.letter.id in places]

    def get(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The documents of these ids as they are now, refreshed or not."""
        with Elasticsearch(self.elasticsearch) as client:
            answer = client.mget(index=self.name(INDEX_ALIAS), ids=ids)
        return {document["_id"]: document["_source"] for document in answer["docs"] if document.get("found")}

    def documents(self, publishers: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """Every document of the index, or those of these publishers, by id."""
        query = {"terms": {"publisher.name": list(publishers)}} if publishers is not None else {"match_all": {}}
        with Elasticsearch(self.elasticsearch) as client:
            alias = self.name(INDEX_ALIAS)
            client.indices.refresh(index=alias)
            found: dict[str, dict[str, Any]] = {}
            after: list[Any] | None = None
            while True:
                answer = client.search(
                    index=alias, query=query, size=1000, sort=[{"id": "asc"}], search_after=after
                )
                page = answer["hits"]["hits"]
                if not page:
                    return found
                found |= {hit["_id"]: hit["_source"] for hit in page}
                after = page[-1]["sort"]


def _bytes(value: bytes | RawArticle | dict[str, Any] | None) -> bytes | None:
    if isinstance(value, RawArticle):
        return value.model_dump_json(exclude_defaults=True).encode()
    return json.dumps(value, ensure_ascii=False).encode() if isinstance(value, dict) else value


def wait_until(true: Callable[[], bool], seconds: float, why: Callable[[], str], every: float = 0.2) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {why()}")
        time.sleep(every)


def steady(documents: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The documents without the fields that depend on when they came in."""
    return {
        name: {key: value for key, value in source.items() if key not in VOLATILE and key != "@timestamp"}
        for name, source in documents.items()
    }


def judge(
    pipeline: Pipeline,
    good: Iterable[RawArticle],
    broken: Iterable[bytes | None] = (),
    clean_run: dict[str, dict[str, Any]] | None = None,
    places: Collection[str] | None = None,
) -> None:
    """The oracle: every record that Kafka confirmed is in exactly one of index and dead letter queue.

    (a) The ids in the index are those of the good articles, the values in the queue those of the broken ones.
    (b) No article is there twice. (c) Each document equals the clean run's. (d) Nothing waits.
    `places` are the `topic/partition/offset` of the records: where they are given, articles of other publishers
    and dead letters of other records are left out.
    """
    articles = {article_id(article): article for article in good}
    publishers = None if places is None else {article.publisher for article in articles.values()}
    documents = pipeline.documents(publishers)
    dead = pipeline.dead(places)
    missing, surplus = articles.keys() - documents.keys(), documents.keys() - articles.keys()
    letters = [f"{each.letter.id} {each.letter.reason}: {each.letter.error}" for each in dead[:5]]
    assert not missing, f"{len(missing)} articles are not in the index; dead letters: {letters}\n{pipeline.tails()}"
    assert not surplus, f"{len(surplus)} documents that nobody sent"
    bodies = Counter((source.get("headline"), source["body"]) for source in documents.values())
    twice = [text for text, count in bodies.items() if count > 1]
    sent = Counter((article.headline, article.body) for article in articles.values())
    assert not [text for text in twice if sent[text] == 1], "an article stands in the index twice"
    assert Counter(each.value for each in dead) == Counter(broken), letters
    if clean_run is not None:
        assert steady(documents) == clean_run
    pipeline.wait_idle(1)
