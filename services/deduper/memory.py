"""What the deduper remembers of the publishers in one partition of articles-clean.

The memory is made from that partition and from `publisher-boilerplate` alone, so that it can be made again from
them wherever it was lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.article import DedupedArticle, Dropped, Reason
from schemas.boilerplate import Line, Ruling
from services.deduper.boilerplate import Carrier, Sighting, taught_by, words_of_line
from services.store import Store

MOST_CARRIERS = 64
"""Articles remembered for one line that is not learned, the latest: a line that 64 articles of one story have, and
nothing else has, is a part of that story."""


@dataclass(frozen=True)
class Found:
    """What an article's lines are, and what follows from it for others."""

    article: DedupedArticle | None
    """The article without the paragraphs that are boilerplate; None where there are none."""
    again: tuple[int, ...]
    """Offsets of earlier articles with a line that is learned now: they are to be sent again, without it."""
    facts: tuple[Line, ...]
    """The lines learned, for all who may have this memory after us."""


class Memory:
    """The lines of the publishers of one partition.

    State: for each article of the last `within` its offset, revision, time, sketch; for each line that is not
    learned the articles that have it. Learned lines and what people said about lines are held in the process:
    a few for each publisher.
    """

    def __init__(self, store: Store, *, least: int, within: timedelta, likeness: float) -> None:
        self._store = store
        self._least, self._within, self._likeness = least, within, likeness
        self._learned: dict[str, Line] = {}
        self._said: dict[str, Line] = {}

    def told(self, line: Line) -> None:
        """Take in a record of `publisher-boilerplate`, own or foreign."""
        if line.ruling is Ruling.LEARNED:
            self._learned[line.line] = line
        elif line.ruling is Ruling.WITHDRAWN:
            self._said.pop(line.line, None)
        else:
            self._said[line.line] = line

    def take(self, note: Sighting, offset: int, read: Callable[[], DedupedArticle]) -> Found:
        """What of an article's lines is boilerplate. `read` gives the article that was noted.

        An article taken again, or a newer revision of it, counts once. An older revision is not remembered.
        """
        known = self._article(note.id)
        if known is None or note.revision >= known[0]:
            self._remember(note, offset)
        lines: dict[int, Line] = {}
        again: set[int] = set()
        learned: list[Line] = []
        texts: dict[int, str] = {}
        for index, line in note.lines:
            ruling = self._said.get(line) or self._learned.get(line)
            if ruling is None and (others := self._others(note, line)):
                texts = texts or _texts(read())
                if index in texts and (ruling := self._learn(note, line, texts[index], others)):
                    learned.append(ruling)
                    again |= {each_offset for each_offset, _ in others}
            if ruling is not None and ruling.ruling is not Ruling.ALLOWED:
                lines[index] = ruling
        return Found(drop_lines(read(), lines) if lines else None, tuple(sorted(again - {offset})), tuple(learned))

    def _others(self, note: Sighting, line: str) -> list[tuple[int, Carrier]]:
        """Count the article for the line; offset and carrier of every other article that has it."""
        key = b"l" + bytes.fromhex(line)
        stored = self._store.get(key)
        names: list[str] = json.loads(stored) if stored else []
        known = {name: found for name in names if name != note.id and (found := self._article(name)) is not None}
        if note.id not in names or len(known) + 1 < len(names):
            times = {note.id: note.time} | {name: carrier.time for name, (_, _, carrier) in known.items()}
            latest = sorted(times, key=lambda name: (times[name], name))[-MOST_CARRIERS:]
            self._store.put(key, json.dumps(latest).encode())
        return [(offset, carrier) for _, offset, carrier in known.values()]

    def _learn(self, note: Sighting, line: str, text: str, others: list[tuple[int, Carrier]]) -> Line | None:
        """The line as boilerplate, if this article makes it that."""
        teachers = taught_by(
            Carrier(note.id, note.time, note.sketch),
            [carrier for _, carrier in others],
            least=self._least,
            within=self._within,
            likeness=self._likeness,
            line=words_of_line(text),
        )
        if not teachers:
            return None
        self._store.delete(b"l" + bytes.fromhex(line))
        found = Line(
            publisher=note.publisher,
            line=line,
            text=text,
            ruling=Ruling.LEARNED,
            time=max(each.time for each in teachers),
            articles=tuple(each.id for each in teachers),
        )
        self._learned[line] = found
        return found

    def _remember(self, article: Sighting, offset: int) -> None:
        head = f"{article.revision} {offset} {article.time.timestamp()} ".encode()
        sketch = b"".join(each.to_bytes(4) for each in sorted(article.sketch))
        self._store.put(b"a" + article.id.encode(), head + sketch)

    def _article(self, name: str) -> tuple[int, int, Carrier] | None:
        stored = self._store.get(b"a" + name.encode())
        if stored is None:
            return None
        revision, offset, time, sketch = stored.split(b" ", 3)
        hashes = frozenset(int.from_bytes(sketch[at : at + 4]) for at in range(0, len(sketch), 4))
        return int(revision), int(offset), Carrier(name, datetime.fromtimestamp(float(time), UTC), hashes)


def drop_lines(article: DedupedArticle, lines: dict[int, Line]) -> DedupedArticle:
    """The article without these paragraphs; each says which article had it first."""
    if not lines:
        return article
    kept = tuple(each for each in article.kept if each.index not in lines)
    dropped = [
        Dropped(
            **paragraph.model_dump(),
            reason=Reason.BOILERPLATE,
            rule=lines[paragraph.index].ruling.value,
            seen_first=_first(lines[paragraph.index].articles),
        )
        for paragraph in article.kept
        if paragraph.index in lines
    ]
    every = sorted((*article.dropped, *dropped), key=lambda one: one.index)
    return article.model_copy(update={"kept": kept, "dropped": tuple(every)})


def _texts(article: DedupedArticle) -> dict[int, str]:
    """The kept paragraphs; one that repeats another of its article is no line of its own."""
    return {paragraph.index: paragraph.text for paragraph in article.kept}


def _first(articles: Sequence[str]) -> str | None:
    return articles[0] if articles else None
