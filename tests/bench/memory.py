"""How large a process of the tagger gets: many articles through child processes that live as long as the run.

No paragraph comes twice, and in each stand words that were never there before, so that whatever the tagger keeps
of what it has read would show. Printed is the resident memory of each process on the way, and at the end by how
much it grew over the second half of the run, with the scatter around that line.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator

from pebble import ProcessPool

from services.runtime.stage import Task, _start_child
from services.tagger.app import STAGE
from services.tagger.settings import TaggerSettings
from tests.bench.cleaner import _resident
from tests.bench.pipeline import deduped, texts


def tasks(count: int) -> Iterator[list[Task]]:
    """Chunks of `count` articles: the same news again and again, with other names in each paragraph."""
    bodies = texts(5000)
    size = TaggerSettings(kafka_bootstrap_servers="-").chunk_records
    chunk: list[Task] = []
    for number in range(count):
        parts = bodies[number % len(bodies)].split("\n\n")
        body = "\n\n".join(f"{part} Mr Q{number:x}z{i} of X{i}v{number:x} said so." for i, part in enumerate(parts))
        chunk.append((deduped(body, number), 1_767_225_600.0))
        if len(chunk) == size or number == count - 1:
            yield chunk
            chunk = []


def main() -> None:
    """Run, and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--articles", type=int, default=50_000)
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    arguments.add_argument("--every", type=int, default=2500, help="articles between two lines")
    given = arguments.parse_args()
    settings = TaggerSettings(kafka_bootstrap_servers="-", processes=given.processes)
    sizes: dict[int, list[tuple[int, float]]] = defaultdict(list)
    started = time.perf_counter()
    with ProcessPool(
        max_workers=given.processes,
        initializer=_start_child,
        initargs=(STAGE, settings),
        context=multiprocessing.get_context("spawn"),
    ) as pool:
        done = shown = 0
        waiting = []
        for chunk in tasks(given.articles):
            waiting.append((len(chunk), pool.schedule(_resident, args=[chunk])))
            while len(waiting) > 2 * given.processes:
                count, future = waiting.pop(0)
                process, megabytes = future.result()
                done += count
                sizes[process].append((done, megabytes))
            if done // given.every > shown:
                shown = done // given.every
                now = "  ".join(f"{found[-1][1]:6.1f} MiB" for found in sizes.values())
                rate = done / (time.perf_counter() - started)
                print(f"{done:>7} articles  {now}  {rate:5.1f} articles/s", flush=True)
        for count, future in waiting:
            process, megabytes = future.result()
            done += count
            sizes[process].append((done, megabytes))
    for number, found in enumerate(sizes.values()):
        half = [each for each in found if each[0] > given.articles / 2]
        slope, intercept = statistics.linear_regression(*zip(*half, strict=True))
        scatter = statistics.pstdev(size - (slope * at + intercept) for at, size in half)
        last = given.articles // 2
        print(f"process {number}: {slope * last:+.1f} MiB over the last {last} articles, scatter {scatter:.1f} MiB")


if __name__ == "__main__":
    main()
