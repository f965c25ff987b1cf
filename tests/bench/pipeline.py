"""The whole pipeline against the bare model, on the same texts and cores, in one run.

The bare loop is the fastest known use of the model on two cores: its NER component alone, OpenBLAS with one
thread, two processes of its own, batches of 16, the texts in memory. The pipeline is everything: Kafka, three
workers, the indexer and Elasticsearch, from the first searchable document to the last. Printed is the ratio of
their articles a second; it must not fall, and no absolute figure of a shared machine means anything.

Texts: news articles of the evaluation corpus beside the checkout where there is one, else the sample articles with
a number put into each paragraph, so that no paragraph is twice the same.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from schemas.article import RawArticle
from schemas.document import INDEX_ALIAS
from services.embedded.ports import choose_ports
from services.embedded.servers import ElasticsearchServer, KafkaServer
from services.tagger.settings import TaggerSettings
from services.tagger.spacy_model import load_model
from tests.bench.articles import news, samples
from tests.live.harness import SERVICES, Pipeline, wait_until

WARM_UP = 64
"""Articles that pass before the clock starts: models are loaded, classes are compiled."""


def texts(count: int) -> list[str]:
    """`count` articles of 400 to 700 words."""
    if found := news():
        return [text for text in found if 400 <= len(text.split()) <= 700][:count]
    bodies = samples()
    return [
        "\n\n".join(f"{part} ({number})" for part in bodies[number % len(bodies)].split("\n") if part)
        for number in range(count)
    ]


def _bare(model: str, share: Sequence[str], start: Barrier, out: Any) -> None:
    loaded = load_model(model)
    list(loaded.pipeline.pipe(share[:4]))
    start.wait()
    began = time.perf_counter()
    with loaded.pipeline.memory_zone():
        found = sum(len(document.ents) for document in loaded.pipeline.pipe(share, batch_size=16))
    out.put((time.perf_counter() - began, found))


def bare(articles: Sequence[str], processes: int) -> float:
    """Articles a second of the bare loop."""
    context = multiprocessing.get_context("spawn")
    start, out = context.Barrier(processes), context.SimpleQueue()
    model = TaggerSettings(kafka_bootstrap_servers="-").model[0]
    shares = [articles[number::processes] for number in range(processes)]
    workers = [context.Process(target=_bare, args=(model, share, start, out)) for share in shares]
    for worker in workers:
        worker.start()
    seconds: float = max(out.get()[0] for _ in workers)
    for worker in workers:
        worker.join()
    return len(articles) / seconds


def whole(articles: Sequence[str], processes: int) -> float:
    """Articles a second of the pipeline, from the first searchable document to the last, all waiting in Kafka."""
    with tempfile.TemporaryDirectory() as folder:
        ports = choose_ports(["kafka", "controller", "elasticsearch", "transport"], {})
        kafka = KafkaServer(Path(folder) / "kafka", ports["kafka"], ports["controller"])
        elasticsearch = ElasticsearchServer(Path(folder) / "es", ports["elasticsearch"], ports["transport"])
        pipeline = Pipeline(kafka.address, elasticsearch.address, "", Path(folder))
        try:
            kafka.start()
            elasticsearch.start()
            pipeline.set_up()
            pipeline.start(*SERVICES, TAGGER_PROCESSES=str(processes))
            pipeline.send([_record(text, f"warm-{number}") for number, text in enumerate(articles[:WARM_UP])])
            pipeline.wait_idle(120)
            # The sending is not measured: the first stage is stopped until all is there.
            pipeline.terminate("cleaner")
            pipeline.send([_record(text, f"{number}") for number, text in enumerate(articles)], codec="lz4")
            pipeline.start("cleaner")
            with Elasticsearch(elasticsearch.address) as client:
                query = {"prefix": {"producer": "bench"}}

                def searchable() -> int:
                    count: int = client.count(index=INDEX_ALIAS, query=query)["count"]
                    return count

                wait_until(lambda: searchable() > 0, 120, pipeline.tails, every=0.05)
                first, began = searchable(), time.perf_counter()
                wait_until(lambda: searchable() == len(articles), 1200, pipeline.tails, every=0.25)
                return (len(articles) - first) / (time.perf_counter() - began)
        finally:
            pipeline.stop()
            kafka.stop()
            elasticsearch.stop()


def _record(text: str, name: str) -> RawArticle:
    producer = "warm" if name.startswith("warm") else "bench"
    return RawArticle(publisher="bench.example", id=name, body=text, producer=producer)


def main() -> None:
    """Print the ratio, and what it is made of."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--articles", type=int, default=3000)
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    given = arguments.parse_args()
    articles = texts(given.articles)
    before = bare(articles[: len(articles) // 2], given.processes)
    pipeline = whole(articles, given.processes)
    after = bare(articles[len(articles) // 2 :], given.processes)
    loop = (before + after) / 2
    words = sum(len(text.split()) for text in articles) / len(articles)
    print(f"articles            {len(articles)}, {words:.0f} words each")
    print(f"bare loop           {loop:.1f} articles/s ({before:.1f} before, {after:.1f} after)")
    print(f"whole pipeline      {pipeline:.1f} articles/s")
    print(f"ratio               {pipeline / loop:.2f}")


if __name__ == "__main__":
    main()
