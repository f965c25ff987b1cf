"""What the memories of the deduper and the linker cost as they grow, and both services against the tagger.

First the state: articles of distinct paragraphs, made of random words, go through the deduper's memory and the
linker's three steps on RocksDB stores, as one process has them. Printed are, when so many distinct paragraphs are
remembered, the articles a second since the size before and the bytes on disk for each article. Both must stay flat.

Then the services: the same news through the deduper and the linker, and through the tagger, each on the real Kafka
and alone on the machine. Printed is the ratio of their articles a second; no absolute figure of a shared machine
means anything.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from schemas.article import CleanArticle, DedupedArticle, Paragraph
from services.cli.kafka_admin import lags
from services.deduper.app import create_memory
from services.deduper.boilerplate import sight
from services.deduper.settings import DeduperSettings
from services.embedded.ports import choose_ports
from services.embedded.servers import ElasticsearchServer, KafkaServer
from services.linker.core import Shard, Stories, home_of, spread
from services.linker.settings import LinkerSettings
from services.runtime.partition_store import StateFolder
from tests.bench.articles import Text, load_texts
from tests.live.harness import Pipeline
from tests.live.test_boilerplate import send

PARAGRAPHS = 17
"""Of an article, and words of a paragraph: as in agency news."""
WORDS = 29

SAVED_TOGETHER = 100
"""Articles between two writes to disk: a batch."""

PARTITIONS = 6

SIZES = (10_000, 100_000, 1_000_000)
"""Distinct paragraphs in the state when it is measured."""


def distinct_articles(chance: random.Random) -> Iterator[DedupedArticle]:
    words = ["".join(chance.choices("abcdefghiklmnoprstuvw", k=chance.randint(2, 9))) for _ in range(50_000)]
    start = datetime(2026, 3, 1, tzinfo=UTC)
    number = 0
    while True:
        texts = [" ".join(chance.choices(words, k=WORDS)).capitalize() for _ in range(PARAGRAPHS)]
        yield DedupedArticle(
            id=f"{number:032x}",
            revision=1,
            received=start,
            published=start + timedelta(seconds=number),
            publisher=f"paper-{number % 40}.example",
            language="en",
            language_confidence=1,
            kept=tuple(Paragraph(index=index, text=text) for index, text in enumerate(texts)),
        )
        number += 1


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.sst"))


class Memories:
    """All that the two services remember, as one process has it."""

    def __init__(self, folder: Path) -> None:
        self.deduper = DeduperSettings(kafka_bootstrap_servers="-")
        linker = LinkerSettings(kafka_bootstrap_servers="-")
        state = StateFolder.take(folder, "bench", self.deduper.state_cache_mb)
        names = ["lines", *(f"{kind}-{number}" for kind in ("shard", "home") for number in range(PARTITIONS))]
        self.stores = [state.open(name, 0, 10**9) for name in names]
        self.lines = create_memory(self.deduper, self.stores[0])
        shards, homes = self.stores[1 : 1 + PARTITIONS], self.stores[1 + PARTITIONS :]
        self.shards = [Shard(n, store, linker.window, linker.most_owners) for n, store in enumerate(shards)]
        self.homes = [Stories(store, PARTITIONS, linker.threshold, linker.min_shared) for store in homes]

    def take(self, number: int, article: DedupedArticle) -> None:
        self.lines.take(sight(article, min_words=self.deduper.boilerplate_words), number, lambda: article)
        queue: deque[Any] = deque()
        for partition, part in spread(article, number, PARTITIONS).items():
            queue += self.shards[partition].take(part)
        while queue:
            record = queue.popleft()
            queue += self.homes[home_of(record.id, PARTITIONS)].take(record)[0]
        if number % SAVED_TOGETHER == 0:
            self.save(number)

    def save(self, number: int) -> None:
        for store in self.stores:
            store.save(number)


def state(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        memories = Memories(Path(name))
        articles = enumerate(distinct_articles(random.Random(6)))
        done = 0
        for size in sorted(sizes):
            count = size // PARAGRAPHS
            seconds = 0.0
            for number, article in islice(articles, count - done):
                began = time.perf_counter()
                memories.take(number, article)
                seconds += time.perf_counter() - began
            began = time.perf_counter()
            memories.save(count)
            seconds += time.perf_counter() - began
            for store in memories.stores:
                store.flush()
            print(
                f"{size:>9,} paragraphs: {(count - done) / seconds:5.0f} articles/s, "
                f"{disk_bytes(Path(name)) / count:6.0f} bytes of state an article",
                flush=True,
            )
            done = count


def clean(number: int, text: Text) -> CleanArticle:
    parts = [part for part in text.content.split("\n") if part.strip()]
    time_ = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=number)
    return CleanArticle(
        id=f"{number:032x}",
        revision=1,
        received=time_,
        published=time_,
        publisher=text.publisher,
        language="en",
        language_confidence=1,
        kept=tuple(Paragraph(index=index, text=part) for index, part in enumerate(parts)),
    )


def rate(pipeline: Pipeline, names: list[str], count: int) -> float:
    """Articles a second of these services, from the first record committed to the last, all waiting in Kafka."""
    groups = {pipeline.name(name) for name in names}
    pipeline.start(*names)
    first = 0.0
    done = 0
    while True:
        found = [each for each in lags(pipeline.settings) if each.group in groups]
        now = time.perf_counter()
        progress = sum(each.end_offset - each.lag for each in found)
        if progress and not first:
            first, done = now, progress
        if not sum(each.lag for each in found):
            again = [each for each in lags(pipeline.settings) if each.group in groups]
            if not sum(each.lag for each in again):
                break
        time.sleep(0.5)  # asking costs the processor that is measured
    total = sum(each.end_offset for each in found)
    pipeline.stop()
    return count * (total - done) / total / (now - first)


def services(texts: list[Text], processes: int) -> None:
    count = len(texts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ports = choose_ports(["kafka", "controller", "elasticsearch", "transport"], {})
        kafka = KafkaServer(folder / "kafka", ports["kafka"], ports["controller"])
        elasticsearch = ElasticsearchServer(folder / "es", ports["elasticsearch"], ports["transport"])
        kafka.start()
        elasticsearch.start()
        try:
            pipeline = Pipeline(kafka.address, elasticsearch.address, "", folder)
            pipeline.set_up()
            send(pipeline, [clean(number, text) for number, text in enumerate(texts)])
            repeats = rate(pipeline, ["deduper", "linker"], count)
            pipeline.environment["TAGGER_PROCESSES"] = str(processes)
            tagger = rate(pipeline, ["tagger"], count)
        finally:
            kafka.stop()
            elasticsearch.stop()
    print(
        f"deduper and linker {repeats:.0f} articles/s, tagger {tagger:.0f} articles/s: {repeats / tagger:.1f} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--paragraphs", type=int, nargs="*", help=f"sizes of the state (default {SIZES}, up to 500 SIZE)"
    )
    parser.add_argument(
        "--size", type=int, default=2_000, help="articles through the services (default 2000); 0 leaves them out"
    )
    parser.add_argument("--processes", type=int, default=2, help="of the tagger")
    given = parser.parse_args()
    texts = load_texts("articles", given.size)
    print(texts.source, flush=True)
    sizes = [size for size in SIZES if size <= 500 * given.size] if given.paragraphs is None else given.paragraphs
    if sizes:
        state(sizes)
    if given.size:
        services(texts.texts, given.processes)


if __name__ == "__main__":
    main()
