"""Texts cut into paragraphs, each with the words beside it that have a say in what a model finds in it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

_BLANK_LINE = re.compile(r"\n{2,}")
_WORD = re.compile(r"\S+")
_CUTS = (("\n", 1), (". ", 1), (" ", 0))
"""Where a paragraph that is too long is cut, the best first, and how much of the mark stays before the cut."""

LONGEST_REACH = 400
"""Characters beside a paragraph that are looked at, however long its neighbour's words are."""


class Part(NamedTuple):
    """A paragraph of a text, or a piece of one that is too long: `text[start:end]`."""

    start: int
    end: int
    before: int
    """Where the words before it begin that have a say."""
    after: int
    """Where the words behind it end that have a say."""
    key: bytes | None
    """The same wherever the same paragraph stands between the same words; None for a piece of one."""


def parts_of(text: str, reach: int, longest: int) -> list[Part]:
    """The paragraphs of a text that are not blank, each of at most `longest` characters and with `reach` words
    before and behind it.
    """
    words = [match.span() for match in _WORD.finditer(text)]
    starts, ends = [start for start, _ in words], [end for _, end in words]
    parts = []
    for start, end, whole in _cut(text, longest):
        first, behind = bisect_right(ends, start), bisect_left(starts, end)
        if first == behind:
            continue
        before = max(min(start, starts[max(0, first - reach)]), start - LONGEST_REACH)
        after = min(max(end, ends[min(behind + reach, len(words)) - 1]), end + LONGEST_REACH)
        key = None
        if whole:
            place = f"{start - before} {end - before} "
            key = blake2b((place + text[before:after]).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        parts.append(Part(start, end, before, after, key))
    return parts


def _cut(text: str, longest: int) -> Iterator[tuple[int, int, bool]]:
    """Start and end of each paragraph, and whether it is a whole one."""
    start = 0
    for blank in [*_BLANK_LINE.finditer(text), None]:
        end = blank.start() if blank else len(text)
        whole = end - start <= longest
        while end - start > longest:
            limit = start + longest
            cuts = (text.rfind(mark, start, limit) + kept for mark, kept in _CUTS)
            cut = next((cut for cut in cuts if cut > start), limit)
            yield start, cut, False
            start = cut
        if start < end:
            yield start, end, whole
        start = blank.end() if blank else end


class Piece(NamedTuple):
    """Parts of a text that are read at once: `parts[first:behind]`."""

    text: int
    first: int
    behind: int


def pieces_of(text: int, parts: Sequence[Part], known: Sequence[object | None], longest: int) -> Iterator[Piece]:
    """Runs of parts that are not known (None), each of at most `longest` characters and of at least one part."""
    first = 0
    for i, part in enumerate(parts):
        if first < i and (known[i] is not None or part.end - parts[first].start > longest):
            yield Piece(text, first, i)
            first = i
        if known[i] is not None:
            first = i + 1
    if first < len(parts):
        yield Piece(text, first, len(parts))
