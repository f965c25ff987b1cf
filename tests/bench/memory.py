"""How large the processes of the tagger get: many articles through child processes, replaced as in production.

No paragraph comes twice, and in each stand two words that were never there before, which is many times what news
has of them: whatever the tagger keeps of what it has read would show. Printed is the largest resident memory since
the line before, and at the end that of the first and of the second half of the run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any

from pebble import ProcessPool

from services.runtime.step import Task, start_child
from services.tagger.app import STAGE
from services.tagger.settings import TaggerSettings
from tests.bench.articles import Text
from tests.bench.cleaner import _resident
from tests.bench.pipeline import deduped, load_articles

MAX_DISTINCT_TEXTS = 5000
"""Texts loaded at most; larger runs repeat them, with other names."""


def tasks(texts: list[Text], count: int, paragraphs: int) -> Iterator[list[Task]]:
    """Chunks of `count` articles: the same news again and again, with other names in each paragraph."""
    size = TaggerSettings(kafka_bootstrap_servers="-").chunk_records
    chunk: list[Task] = []
    for number in range(count):
        text = texts[number % len(texts)]
        parts = text.content.split("\n\n")[:paragraphs]
        body = "\n\n".join(f"{part} Mr Q{number:x}z{i} of X{i}v{number:x} said so." for i, part in enumerate(parts))
        chunk.append((deduped(Text(text.publisher, body), number), 1_767_225_600.0))
        if len(chunk) == size or number == count - 1:
            yield chunk
            chunk = []


def main() -> None:
    """Run, and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--size", type=int, default=50_000, help="articles (default 50000)")
    arguments.add_argument("--paragraphs", type=int, default=5, help="of each article, at the most")
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    arguments.add_argument("--every", type=int, default=2500, help="articles between two lines")
    given = arguments.parse_args()
    texts = load_articles(min(given.size, MAX_DISTINCT_TEXTS))
    print(texts.source, flush=True)
    settings = TaggerSettings(kafka_bootstrap_servers="-", processes=given.processes)
    children = set()
    largest: list[tuple[int, float]] = []
    with ProcessPool(
        max_workers=given.processes,
        max_tasks=settings.child_chunks,
        initializer=start_child,
        initargs=(STAGE, settings),
        context=multiprocessing.get_context("spawn"),
    ) as pool:
        done = shown = 0
        most = 0.0
        waiting: deque[tuple[int, Any]] = deque()
        for chunk in chain(tasks(texts.texts, given.size, given.paragraphs), [[]]):
            waiting.append((len(chunk), pool.schedule(_resident, args=[chunk])))
            while waiting and (len(waiting) > 2 * given.processes or not chunk):
                count, future = waiting.popleft()
                process, megabytes = future.result()
                children.add(process)
                done += count
                most = max(most, megabytes)
                if done // given.every > shown:
                    shown = done // given.every
                    largest.append((done, most))
                    print(f"{done:>7} articles  {len(children):>3} processes so far  {most:6.1f} MiB", flush=True)
                    most = 0.0
    halves = [[size for at, size in largest if (at > done / 2) is second] for second in (False, True)]
    print(f"largest: {max(halves[0]):.1f} MiB in the first half, {max(halves[1]):.1f} MiB in the second")


if __name__ == "__main__":
    main()
