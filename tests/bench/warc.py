"""A backfill from a WARC file: pages a second, and what extraction costs against bare trafilatura.

(1) The source alone (its items taken and written as records), and with `--kafka` sent to a real broker, each record
confirmed. (2) From WARC to clean article: two readers, and the cleaner's work in two more processes, against
`trafilatura.extract` over the same decoded pages in a pool of two; in turns, each first every other time. No clock
runs before all processes are up. Printed are the rates and their ratio; no absolute figure of a shared machine
means anything.

Pages: `load_texts` of articles.py, 300 of them, repeated under other URLs with no paragraph twice the same.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import trafilatura
from pebble import ProcessPool

from schemas.reading import write_record
from services.cleaner.app import STAGE
from services.cleaner.settings import CleanerSettings
from services.embedded.ports import choose_ports
from services.embedded.servers import KafkaServer
from services.producer.app import Report, SourceRun
from services.producer.core import Found, to_record
from services.producer.settings import ProducerSettings
from services.producer.source import Run
from services.producer.sources.warc import Warc
from services.runtime.step import Failure, Task, run_chunk, start_child
from services.setup.app import set_up_topics
from services.setup.settings import SetupSettings
from tests.bench.articles import load_texts
from tests.bench.cleaner import PAGES, STORED, _varied

PROCESSES = 2
CHUNK = 16
"""Pages that are handed to a process at a time, in both ways."""
AHEAD = 8
"""Chunks that are under way."""


@dataclass(frozen=True)
class Rate:
    """Pages, and the seconds that they took."""

    pages: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.pages / self.seconds:.1f} pages/s"


def write_warc(path: Path, texts: Sequence[str], count: int) -> int:
    """A .warc.gz of `count` pages; returns how many bytes of HTML they have."""
    size = 0
    with path.open("wb") as file:
        for number, text in enumerate(islice(_varied(texts), count)):
            page = text.encode(errors="replace")
            size += len(page)
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
                f"WARC-Target-URI: https://www.paper{number % 50}.example/{number}\r\n"
                f"WARC-Date: 2026-01-31T08:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(answer)}\r\n\r\n"
            )
            file.write(gzip.compress(head.encode() + answer + b"\r\n\r\n", 6))
    return size


def read(path: Path) -> Iterator[Found]:
    """The articles of a file, read by two processes, which are up when this returns."""
    items = iter(Warc(paths=[path], processes=PROCESSES).articles(Run()))
    first = next(items)
    return (item for item in chain([first], items) if isinstance(item, Found))


def source_alone(path: Path) -> Rate:
    """Read, and written as records."""
    items = read(path)
    began = time.perf_counter()
    count = sum(1 for item in items if to_record(item.article).value)
    return Rate(count, time.perf_counter() - began)


def with_kafka(path: Path) -> Rate:
    """Read, sent, and confirmed by a real broker."""
    with tempfile.TemporaryDirectory() as folder:
        ports = choose_ports(["kafka", "controller"], {})
        kafka = KafkaServer(Path(folder) / "kafka", ports["kafka"], ports["controller"])
        kafka.start()
        try:
            settings = ProducerSettings(kafka_bootstrap_servers=kafka.address)
            set_up_topics(SetupSettings(kafka_bootstrap_servers=kafka.address, elasticsearch_url="-"))
            began = 0.0

            def begin(report: Report) -> None:
                nonlocal began
                began = began or time.perf_counter()

            source = Warc(paths=[path], processes=PROCESSES)
            report = SourceRun(settings, "warc", source, Run()).deliver(begin)
            return Rate(report.confirmed - 1, time.perf_counter() - began)
        finally:
            kafka.stop()


# ---------------------------------------------------------------- extraction


def _clean(tasks: Sequence[Task]) -> int:
    """The cleaner's work on a chunk, as its stage has it; returns how many became dead letters."""
    return sum(isinstance(each, Failure) for each in run_chunk(tasks))


def _extract(texts: Sequence[str]) -> int:
    return sum(trafilatura.extract(text, fast=True, include_comments=False) is None for text in texts)


def _start_bare() -> None:
    trafilatura.extract("<html><body><p>loaded</p></body></html>", fast=True)


def _through(pool: ProcessPool, function: Any, chunks: Iterator[list[Any]]) -> int:
    """Hand each chunk to a process of the pool, `AHEAD` of them at a time; returns the sum of what they say."""
    under_way: deque[Future[int]] = deque()
    total = 0
    for chunk in chunks:
        under_way.append(pool.schedule(function, args=[chunk]))
        if len(under_way) >= AHEAD:
            total += under_way.popleft().result()
    return total + sum(each.result() for each in under_way)


def _chunks(items: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(items, CHUNK)):
        yield chunk


def _pool(initializer: Any, *arguments: Any) -> ProcessPool:
    """Two processes that have loaded what they need."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPool(max_workers=PROCESSES, initializer=initializer, initargs=arguments, context=context)
    for each in [pool.schedule(time.sleep, args=[2.0]) for _ in range(PROCESSES)]:
        each.result()
    return pool


def compare(path: Path, rounds: int) -> None:
    """Print both rates, and their ratio."""
    decoded = [item.article.html or "" for item in read(path)]
    cleaner = _pool(start_child, STAGE, CleanerSettings(kafka_bootstrap_servers="-"))
    bare = _pool(_start_bare)
    spent = {"bare": 0.0, "ours": 0.0}
    dead = 0
    for turn in range(rounds):
        for way in ("bare", "ours") if turn % 2 else ("ours", "bare"):
            items = read(path) if way == "ours" else iter(())
            began = time.perf_counter()
            if way == "bare":
                _through(bare, _extract, _chunks(iter(decoded)))
            else:
                tasks = ((write_record(item.article), STORED) for item in items)
                dead += _through(cleaner, _clean, _chunks(tasks))
            seconds = time.perf_counter() - began
            spent[way] += seconds
            print(f"  {way:<5} {Rate(len(decoded), seconds)}", flush=True)
    for pool in (cleaner, bare):
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()
    total = rounds * len(decoded)
    print(f"bare trafilatura      {Rate(total, spent['bare'])}, {PROCESSES} processes")
    print(f"WARC to clean article {Rate(total, spent['ours'])}, {PROCESSES} processes and {PROCESSES} readers")
    print(f"ratio                 {spent['bare'] / spent['ours']:.2f} ({dead // rounds} dead letters)", flush=True)


def main() -> None:
    """Print the figures that the options ask for."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--size", type=int, default=3_000, help="pages in the WARC (default 3000)")
    arguments.add_argument("--rounds", type=int, default=2, help="times that extraction is compared")
    arguments.add_argument("--kafka", action="store_true", help="also send to a real broker")
    arguments.add_argument("--only", choices=["source", "extraction"], help="one of the two parts")
    given = arguments.parse_args()
    texts = load_texts("pages", min(PAGES, given.size))
    print(texts.source, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pages.warc.gz"
        size = write_warc(path, texts.contents, given.size) / 2**20
        packed = path.stat().st_size / 2**20
        print(f"{given.size} pages, {size:.0f} MiB of HTML in {packed:.0f} MiB, {os.cpu_count()} cores", flush=True)
        if given.only != "extraction":
            for _ in range(given.rounds):
                print(f"source alone          {source_alone(path)}", flush=True)
        if given.kafka and given.only != "extraction":
            print(f"source to Kafka       {with_kafka(path)}", flush=True)
        if given.only != "source":
            compare(path, given.rounds)


if __name__ == "__main__":
    main()
