"""The tagger as a service, and the whole pipeline, against the bare model, on the same texts and cores, in one run.

The bare loop is the fastest known use of the model by spaCy alone: its NER component, OpenBLAS with one thread, a
process of its own for each core, batches of 16, every paragraph, the texts in memory. Beside it stands the model as
`spacy.load` gives it, with all its components. The tagger as a service is one worker between two topics of the real
Kafka. The whole pipeline is everything: Kafka, four services, the indexer and Elasticsearch, from the first
searchable document to the last. Printed are ratios of articles a second; the bare loop is measured before, between
and after the others, since no absolute figure of a shared machine means anything.

Texts: `load_texts` of articles.py, articles of 400 to 700 words.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from schemas.article import DedupedArticle, Paragraph, RawArticle
from schemas.document import INDEX_ALIAS
from schemas.reading import write_record
from schemas.topics import ARTICLES_DEDUPED
from services.embedded.ports import choose_ports
from services.embedded.servers import ElasticsearchServer, KafkaServer
from services.tagger.settings import TaggerSettings
from services.tagger.spacy_model import load_model
from tests.bench.articles import Text, Texts, load_texts
from tests.bench.repeats import rate
from tests.live.harness import SERVICES, Pipeline, wait_until

WARM_UP = 64
"""Articles that pass before the clock starts: models are loaded, classes are compiled."""


def load_articles(count: int) -> Texts:
    """Load articles of 400 to 700 words."""
    return load_texts("articles", count, min_words=400, max_words=700)


# ---------------------------------------------------------------- the model alone


def _loop(model: str, tuned: bool, share: Sequence[str], start: Barrier, out: Any) -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    if tuned:
        pipeline = load_model(model).pipeline
    else:
        import spacy  # noqa: PLC0415 - load_model has to be the first to import it

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # W095, as in load_model
            pipeline = spacy.load(model)
    list(pipeline.pipe(share[:4]))
    start.wait()
    began = time.perf_counter()
    with pipeline.memory_zone():
        found = sum(len(doc.ents) for doc in pipeline.pipe(share, batch_size=16 if tuned else None))
    out.put((time.perf_counter() - began, found))


def model_alone(articles: Sequence[str], processes: int, *, tuned: bool = True) -> float:
    """Articles a second of spaCy's own loop, tuned or as it comes."""
    context = multiprocessing.get_context("spawn")
    start, out = context.Barrier(processes), context.SimpleQueue()
    model = TaggerSettings(kafka_bootstrap_servers="-").model[0]
    shares = [articles[number::processes] for number in range(processes)]
    workers = [context.Process(target=_loop, args=(model, tuned, share, start, out)) for share in shares]
    for worker in workers:
        worker.start()
    seconds: float = max(out.get()[0] for _ in workers)
    for worker in workers:
        worker.join()
    return len(articles) / seconds


# ---------------------------------------------------------------- as users have it


@contextmanager
def servers() -> Iterator[Pipeline]:
    """A pipeline with nothing started, on servers of its own."""
    with tempfile.TemporaryDirectory() as folder:
        ports = choose_ports(["kafka", "controller", "elasticsearch", "transport"], {})
        kafka = KafkaServer(Path(folder) / "kafka", ports["kafka"], ports["controller"])
        elasticsearch = ElasticsearchServer(Path(folder) / "es", ports["elasticsearch"], ports["transport"])
        pipeline = Pipeline(kafka.address, elasticsearch.address, "", Path(folder))
        try:
            kafka.start()
            elasticsearch.start()
            pipeline.set_up()
            yield pipeline
        finally:
            pipeline.stop()
            kafka.stop()
            elasticsearch.stop()


def tagger(articles: Sequence[Text], processes: int) -> float:
    """Articles a second of the tagger alone, all waiting in Kafka."""
    with servers() as pipeline:
        pipeline.send([deduped(text, number) for number, text in enumerate(articles)], ARTICLES_DEDUPED.name)
        pipeline.environment["TAGGER_PROCESSES"] = str(processes)
        return rate(pipeline, ["tagger"], len(articles))


def whole(articles: Sequence[Text], processes: int) -> float:
    """Articles a second of the pipeline, from the first searchable document to the last, all waiting in Kafka."""
    with servers() as pipeline:
        pipeline.start(*SERVICES, TAGGER_PROCESSES=str(processes))
        pipeline.send([_record(text, f"warm-{number}") for number, text in enumerate(articles[:WARM_UP])])
        pipeline.wait_idle(120)
        # The sending is not measured: the first stage is stopped until all is there.
        pipeline.terminate("cleaner")
        pipeline.send([_record(text, f"{number}") for number, text in enumerate(articles)], codec="lz4")
        pipeline.start("cleaner")
        with Elasticsearch(pipeline.elasticsearch) as client:
            query = {"prefix": {"producer": "bench"}}

            def searchable() -> int:
                count: int = client.count(index=INDEX_ALIAS, query=query)["count"]
                return count

            wait_until(lambda: searchable() > 0, 120, pipeline.tails, every=0.05)
            first, began = searchable(), time.perf_counter()
            wait_until(lambda: searchable() == len(articles), 1200, pipeline.tails, every=0.25)
            return (len(articles) - first) / (time.perf_counter() - began)


def deduped(text: Text, number: int) -> bytes:
    """A record of `articles-deduped`."""
    parts = [part for part in text.content.split("\n") if part.strip()]
    return write_record(
        DedupedArticle(
            id=f"{number:032x}",
            revision=1,
            received=datetime(2026, 3, 1, tzinfo=UTC),
            publisher=text.publisher,
            language="en",
            language_confidence=1,
            kept=tuple(Paragraph(index=index, text=part) for index, part in enumerate(parts)),
        )
    )


def _record(text: Text, name: str) -> RawArticle:
    producer = "warm" if name.startswith("warm") else "bench"
    return RawArticle(publisher=text.publisher, id=name, body=text.content, producer=producer)


def main() -> None:
    """Print the ratios, and what they are made of."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--size", type=int, default=2000, help="articles (default 2000)")
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    given = arguments.parse_args()
    texts, processes = load_articles(given.size), given.processes
    print(texts.source, flush=True)
    contents = texts.contents
    words = sum(len(content.split()) for content in contents) / len(contents)
    third = len(contents) // 3
    before = model_alone(contents[:third], processes)
    service = tagger(texts.texts, processes)
    between = model_alone(contents[third : 2 * third], processes)
    pipeline = whole(texts.texts, processes)
    after = model_alone(contents[2 * third :], processes)
    default = model_alone(contents[: third // 2], processes, tuned=False)
    print(f"articles            {len(contents)}, {words:.0f} words each, {processes} processes")
    print(f"spaCy as it comes   {default:.1f} articles/s")
    print(f"bare loop           {before:.1f}, {between:.1f}, {after:.1f} articles/s")
    print(f"tagger as a service {service:.1f} articles/s")
    print(f"  to the bare loop  {service / ((before + between) / 2):.2f}")
    print(f"  to spaCy's own    {service / default:.2f}")
    print(f"whole pipeline      {pipeline:.1f} articles/s")
    print(f"  to the bare loop  {pipeline / ((between + after) / 2):.2f}")


if __name__ == "__main__":
    main()
