"""The cleaner against the bare libraries that it stands on, on the same texts and cores, in one run.

HTML: pages a second of the stage's work in a child process (the bytes of a record in, the bytes of its result out)
against bare `trafilatura.extract(html, fast=True, include_comments=False)`. Plain text: articles a second against a
bare loop of `ftfy.fix_text`, py3langid and `split("\\n\\n")`. Each process takes turns between the two every few
records, and each begins as often as the other, so that what else the machine does hits both. Printed are the
ratios; no absolute figure of a shared machine means anything.

`--rss` sends many pages through one child process and prints how large it is on the way, with and without
recycling. `--profile` prints where the cleaner's time goes.

Texts: `load_texts` of articles.py, 300 pages and 2,000 plain articles.
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import os
import pstats
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import ftfy
import trafilatura
from pebble import ProcessPool
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from schemas.article import RawArticle
from schemas.reading import write_record
from services.cleaner.app import STAGE
from services.cleaner.settings import CleanerSettings
from services.runtime.step import Failure, Task, run_chunk, start_child
from tests.bench.articles import load_texts

PAGES = 300
"""Different pages: as many as there are public ones."""

STORED = 1_767_225_600.0
"""2026-01-01, in seconds: when Kafka stored each record of the bench."""

Work = Callable[[Sequence[Task]], object]


@dataclass(frozen=True)
class Timing:
    """What one process measured: records, and the seconds that each of the two ways took for them."""

    records: int
    failures: int
    bare: float
    ours: float
    bare_processor: float
    ours_processor: float


def _task(number: int, *, html: str | None = None, body: str | None = None) -> Task:
    return write_record(RawArticle(publisher="bench.example", id=str(number), html=html, body=body)), STORED


# ---------------------------------------------------------------- the bare loops


def _bare_html(texts: Sequence[str]) -> object:
    return [trafilatura.extract(text, fast=True, include_comments=False) for text in texts]


def _bare_text() -> Callable[[Sequence[str]], object]:
    detector = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def loop(texts: Sequence[str]) -> object:
        found = []
        for text in texts:
            fixed = ftfy.fix_text(text)
            found.append((detector.classify(fixed), fixed.split("\n\n")))
        return found

    return loop


# ---------------------------------------------------------------- in a process of the bench


def _measure(kind: str, share: Sequence[str], rounds: int, start: Barrier, out: Any) -> None:
    settings = CleanerSettings(kafka_bootstrap_servers="-")
    start_child(STAGE, settings)
    bare = _bare_html if kind == "html" else _bare_text()
    size = settings.chunk_records
    chunks = [share[at : at + size] for at in range(0, len(share), size)]
    tasks = [[_task(number, **{kind: text}) for number, text in enumerate(chunk)] for chunk in chunks]
    bare(chunks[0])
    run_chunk(tasks[0])
    spent = {"bare": [0.0, 0.0], "ours": [0.0, 0.0]}
    failures = 0
    start.wait()
    for turn in range(rounds * len(chunks)):
        which = turn % len(chunks)
        # Both ways warm the same caches of the libraries; each comes first every other time.
        for way in ("bare", "ours") if (turn + turn // len(chunks)) % 2 else ("ours", "bare"):
            began, began_processor = time.perf_counter(), time.process_time()
            if way == "bare":
                bare(chunks[which])
            else:
                failures += sum(isinstance(each, Failure) for each in run_chunk(tasks[which]))
            spent[way][0] += time.perf_counter() - began
            spent[way][1] += time.process_time() - began_processor
    out.put(Timing(rounds * len(share), failures, *(spent[way][at] for at in (0, 1) for way in ("bare", "ours"))))


def compare(kind: str, texts: Sequence[str], processes: int, rounds: int) -> None:
    """Print the two rates and their ratio."""
    context = multiprocessing.get_context("spawn")
    start, out = context.Barrier(processes), context.SimpleQueue()
    shares = [texts[number::processes] for number in range(processes)]
    workers = [context.Process(target=_measure, args=(kind, share, rounds, start, out)) for share in shares]
    for worker in workers:
        worker.start()
    timings: list[Timing] = [out.get() for _ in workers]
    for worker in workers:
        worker.join()
    bare, ours = (sum(each.records / seconds(each) for each in timings) for seconds in (_bare_of, _ours_of))
    processor = sum(each.bare_processor for each in timings) / sum(each.ours_processor for each in timings)
    failures = sum(each.failures for each in timings) // rounds
    print(f"{kind}: {len(texts)} records, {rounds} times, {processes} processes, {failures} dead letters")
    print(f"  bare libraries    {bare:.1f} records/s")
    print(f"  cleaner           {ours:.1f} records/s")
    print(f"  ratio             {ours / bare:.2f} ({processor:.2f} by processor time)", flush=True)


def _bare_of(timing: Timing) -> float:
    return timing.bare


def _ours_of(timing: Timing) -> float:
    return timing.ours


def profile(kind: str, texts: Sequence[str]) -> None:
    """Print the 25 functions in which the cleaner spends most, over `texts` once."""
    settings = CleanerSettings(kafka_bootstrap_servers="-")
    start_child(STAGE, settings)
    tasks = [_task(number, **{kind: text}) for number, text in enumerate(texts)]
    run_chunk(tasks[:1])
    profiler = cProfile.Profile()
    profiler.enable()
    for at in range(0, len(tasks), settings.chunk_records):
        run_chunk(tasks[at : at + settings.chunk_records])
    profiler.disable()
    print(f"{kind}: {len(texts)} records")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


# ---------------------------------------------------------------- how large a child process gets


def _varied(texts: Sequence[str]) -> Iterator[str]:
    """The pages again and again, no paragraph twice the same: a cache must not live on the repetition."""
    number = 0
    while True:
        for text in texts:
            number += 1
            yield text.replace("</p>", f" {number}</p>")


def _resident(tasks: Sequence[Task]) -> tuple[int, float]:
    """Work on a chunk, then say which process did, and its resident memory in MiB."""
    run_chunk(tasks)
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return os.getpid(), int(Path("/proc/self/statm").read_text().split()[1]) * page_bytes / 2**20


def resident(texts: Sequence[str], count: int, settings: CleanerSettings) -> Iterator[tuple[int, int, float]]:
    """After each 1,000 of `count` pages: how many, child processes so far, and the largest size since (MiB)."""
    size = settings.chunk_records
    source = _varied(texts)
    seen: set[int] = set()
    most = 0.0
    with ProcessPool(
        max_workers=1,
        max_tasks=settings.child_chunks,
        initializer=start_child,
        initargs=(STAGE, settings),
        context=multiprocessing.get_context("spawn"),
    ) as pool:
        for at in range(0, count, size):
            chunk = [_task(at + number, html=text) for number, text in enumerate(islice(source, size))]
            process, megabytes = pool.schedule(_resident, args=[chunk]).result()
            seen.add(process)
            most = max(most, megabytes)
            if (at + size) // 1000 > at // 1000:
                yield (at + size) // 1000 * 1000, len(seen), most
                most = 0.0


def main() -> None:
    """Print the ratios, or what the options ask for."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "--size", type=int, default=2000, help=f"plain texts (default 2000); pages are at most {PAGES} of them"
    )
    arguments.add_argument("--rounds", type=int, default=2, help="times that the pages are gone through")
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    arguments.add_argument("--profile", action="store_true", help="print where the cleaner's time goes")
    arguments.add_argument("--rss", action="store_true", help="print how large a child process gets")
    arguments.add_argument("--pages", type=int, default=20_000, help="with --rss: pages to send through")
    arguments.add_argument("--only", choices=["recycled", "kept"], help="with --rss: one of the two ways")
    given = arguments.parse_args()
    loaded = load_texts("pages", min(PAGES, given.size)), load_texts("articles", given.size)
    print("; ".join(texts.source for texts in loaded), flush=True)
    pages, articles = (texts.contents for texts in loaded)
    if given.rss:
        settings = CleanerSettings(kafka_bootstrap_servers="-")
        for way, recycled in (("kept", 0), ("recycled", settings.child_max_records)):
            if given.only in (None, way):
                limits = settings.model_copy(update={"child_max_records": recycled})
                print(f"{way} (child_max_records={recycled}): pages, processes so far, largest RSS since in MiB")
                for row in resident(pages, given.pages, limits):
                    print("  {:>6} {:>4} {:>7.0f}".format(*row), flush=True)
    elif given.profile:
        profile("html", pages)
        profile("body", articles)
    else:
        compare("html", pages, given.processes, given.rounds)
        compare("body", articles, given.processes, 1)


if __name__ == "__main__":
    main()
