"""Which lines a publisher puts into its articles whatever they are about.

A line is boilerplate when three articles have it that have nothing else in common: they do not name the same
people, places and things. A quotation or a paragraph of background that comes again in each follow-up is in
articles of one story, which name the same, so that it is never learned, however often it comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import pairwise

from schemas.article import CleanArticle, Kind, in_utc
from schemas.words import find_words

SKETCH_SIZE = 24
"""Names kept of an article, those with the least hashes. In 5,000 agency articles, each author taken for a
publisher, 652 lines of six words and more come three times; with 24 names a sketch 6 of them pass for boilerplate,
5 with all names, and each of these is a byline, a telephone number or the head of a table."""

NAME_CHARACTERS = 3
"""Shorter words with a capital are initials and the like, which any two articles may share."""

FEWEST_NAMES = 5
"""An article with fewer names, or in a script without capitals, is told by its pairs of words instead."""

_HASH_BYTES = 4
_DIGIT = re.compile(r"\d")
_OPENING_QUOTES = tuple("\"'“”„«»‘‚‹「『")


@dataclass(frozen=True)
class Sighting:
    """What is remembered of an article: where it lies, when it came, what it names, and its lines."""

    publisher: str
    id: str
    revision: int
    time: datetime
    """Published, else first seen."""
    sketch: frozenset[int]
    lines: tuple[tuple[int, str], ...]
    """Index and line, for each paragraph that could be boilerplate."""


@dataclass(frozen=True)
class Carrier:
    """An article that has a line."""

    id: str
    time: datetime
    sketch: frozenset[int]


def line_of(publisher: str, text: str, *, min_words: int) -> str | None:
    """The line that a paragraph is: the fingerprint of its words for this publisher, 16 hex digits.

    Letter case, punctuation and which digits stand in it make no difference: "Printed on 3 May" is the line of
    "Printed on 4 May". None for what is no boilerplate: fewer than `min_words` words with a letter, or a quotation.
    """
    if text.startswith(_OPENING_QUOTES):
        return None
    words = [_DIGIT.sub("0", word.casefold()) for word in find_words(text)]
    if sum(any(map(str.isalpha, word)) for word in words) < min_words:
        return None
    return blake2b(f"{publisher}\0{' '.join(words)}".encode(), digest_size=8).hexdigest()


def sight(article: CleanArticle, *, min_words: int) -> Sighting:
    """What is to be remembered of an article. Its own headline, and headings, are no lines of the publisher."""
    headline = article.headline or ""
    lines = []
    for paragraph in article.kept:
        if paragraph.kind is Kind.HEADING or paragraph.text == headline:
            continue
        if line := line_of(article.publisher, paragraph.text, min_words=min_words):
            lines.append((paragraph.index, line))
    return Sighting(
        publisher=article.publisher,
        id=article.id,
        revision=article.revision,
        time=in_utc(article.published) if article.published else article.received,
        sketch=_sketch([paragraph.text for paragraph in article.kept]),
        lines=tuple(lines),
    )


def _sketch(texts: Sequence[str]) -> frozenset[int]:
    words = [find_words(text) for text in texts]
    common = {word for each in words for word in each if word.islower()}
    names = {
        word.casefold()
        for each in words
        for word in each
        if len(word) >= NAME_CHARACTERS and word[0].isupper() and word.lower() not in common
    }
    if len(names) < FEWEST_NAMES:
        names |= {" ".join(pair).casefold() for each in words for pair in pairwise(each)}
    return frozenset(sorted(map(_hash, names))[:SKETCH_SIZE])


def words_of_line(text: str) -> frozenset[int]:
    """What of a sketch may come from the line itself: it says nothing about what the article is about."""
    words = [word.casefold() for word in find_words(text)]
    return frozenset(map(_hash, [*words, *(" ".join(pair) for pair in pairwise(words))]))


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=_HASH_BYTES).digest())


def taught_by(
    carrier: Carrier,
    others: Iterable[Carrier],
    *,
    least: int,
    within: timedelta,
    likeness: float,
    line: Collection[int] = frozenset(),
) -> tuple[Carrier, ...]:
    """The carriers that make their line boilerplate now that `carrier` has it too, by time; none where it is none.

    They are `least`, lie `within` this time of each other, and no two of them have `likeness` (0 to 1) or more of
    their names in common, those of the `line` left out. Whether there are any does not depend on the order in which
    the articles came, as long as each was asked about when it came.
    """

    def unlike(one: Carrier, other: Carrier) -> bool:
        return abs(other.time - one.time) <= within and _likeness(one, other, line) < likeness

    left = sorted((each for each in others if unlike(carrier, each)), key=lambda each: (each.time, each.id))
    return tuple(sorted(_group((carrier,), left, unlike, least), key=lambda each: (each.time, each.id)))


def _group(
    chosen: tuple[Carrier, ...], left: Sequence[Carrier], unlike: Callable[[Carrier, Carrier], bool], least: int
) -> tuple[Carrier, ...]:
    """The first group of `least` carriers that are unlike each other and hold the `chosen` ones."""
    if len(chosen) >= least:
        return chosen
    for place, each in enumerate(left):
        rest = [other for other in left[place + 1 :] if unlike(each, other)]
        if len(chosen) + 1 + len(rest) >= least and (found := _group((*chosen, each), rest, unlike, least)):
            return found
    return ()


def _likeness(one: Carrier, other: Carrier, line: Collection[int]) -> float:
    """Share of names in common, estimated from the least hashes that both sketches are sure to know."""
    mine, theirs = one.sketch.difference(line), other.sketch.difference(line)
    known = min(len(mine), len(theirs))
    if not known:
        return 0.0
    least = sorted(mine | theirs)[:known]
    return sum(name in mine and name in theirs for name in least) / known
