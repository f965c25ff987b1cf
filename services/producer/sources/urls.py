"""Articles from a list of URLs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from schemas.article import Name
from services.producer.core import Item, Reached, Trouble, Unusable, to_item
from services.producer.fetch import FetchFailed
from services.producer.fetching import Fetching, FetchSettings, read_page
from services.producer.polling import PAGE_BYTES, TICK_SECONDS
from services.producer.source import Positional, Run
from services.producer.sources.rss import host_of

AHEAD = 200
"""Lines that are worked on at once: one slow host among them holds up what comes more than so many lines later."""


@dataclass
class _Line:
    number: int
    url: str
    publisher: str | None
    tries: int = 1
    item: Item | None = None


class Urls(FetchSettings):
    """Files with a URL a line: each page is fetched. A run that was ended goes on where it was.

    After the URL, and white space, a line may name its publisher. Empty lines and those with # are passed over.
    """

    paths: Positional[list[Path]] = Field(description="The files.")
    publisher: Name | None = Field(
        default=None, description="Publisher of all articles; left out: the page's host."
    )
    tries: int = Field(
        default=3, ge=1, description="How often a page is tried whose server does not answer at present."
    )

    def articles(self, run: Run) -> Iterator[Item]:
        """The pages of each file, in the order of its lines."""
        fetching = self.fetching()
        try:
            for path in self.paths:
                yield from self._file(path, fetching, run)
        finally:
            fetching.stop()

    def _file(self, path: Path, fetching: Fetching, run: Run) -> Iterator[Item]:
        part = str(path.absolute())
        try:
            content = path.read_bytes()
        except OSError as error:
            yield Trouble(part, f"it cannot be read: {error.strerror}")
            return
        # A file that was changed is another list: its lines are counted from the first one again.
        mark = hashlib.sha256(content).hexdigest()[:12]
        known, _, done = run.checkpoints.get(part, "").partition(" ")
        start = int(done) if known == mark else 0
        lines = content.decode("utf-8-sig", "replace").splitlines()
        waiting: dict[int, _Line] = {}
        following = start
        while following < len(lines) or waiting:
            while following < len(lines) and len(waiting) < AHEAD:
                following += 1
                line = self._line(following, lines[following - 1])
                if line is not None:
                    waiting[following] = line
                    fetching.ask(line, read_page, line.url, PAGE_BYTES)
            for line, result in fetching.take():
                self._answered(line, result, part, fetching)
            while waiting and (first := next(iter(waiting.values()))).item is not None:
                del waiting[first.number]
                run.progress(first.number, len(lines))
                yield first.item
                yield Reached(part, f"{mark} {first.number}")
            if not run.wait(TICK_SECONDS):
                return
        yield Reached(part, f"{mark} {len(lines)}")

    def _line(self, number: int, line: str) -> _Line | None:
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            return None
        return _Line(number, words[0], words[1].strip() if len(words) > 1 else self.publisher)

    def _answered(self, line: _Line, result: Any, part: str, fetching: Fetching) -> None:
        origin = f"{part}:{line.number} {line.url}"
        if isinstance(result, FetchFailed) and result.passes and line.tries < self.tries:
            line.tries += 1
            fetching.ask(line, read_page, line.url, PAGE_BYTES)
        elif isinstance(result, FetchFailed):
            line.item = Unusable(origin, result.error, part, reason=result.reason)
        else:
            url, page = result
            fields = {"publisher": line.publisher or host_of(url), "url": line.url, "html": page}
            line.item = to_item(origin, fields, part)
