"""What makes a text less than an article: its length, a wall in front of it, an error page, a section front.

What walls and error pages say is data: `walls.toml`. Reporting about cookies, logins or broken websites must pass,
so a phrase alone never decides: it must stand where a page says it itself, with little or no other prose around.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schemas.article import Quality
from services.cleaner.toml_file import read_toml

LONGEST_WALL = 2_500
"""Characters. A kept text above this is no login wall and no error page, whatever it says: the other prose that
they may have, and as much again for what they say of themselves. It bounds the time of a hostile text."""

LONGEST_CONSENT = 5_000
"""Characters of the kept text that are looked at for a cookie wall; consent dialogs go on for pages."""

LONGEST_SENTENCE = 300
"""Characters of a sentence, or of a headline, that are looked at."""

BESIDE_AN_ERROR = 300
"""Characters of other prose that an error page may have: a few sentences about the search and the home page. The
shortest of 5,000 agency articles has 348."""

BESIDE_A_HINT = 100
"""Characters of other prose beside a line that can also be a headline, such as “Access denied”."""

LONGEST_PREVIEW = 1_000
"""Characters of other prose in front of a login wall: two to four paragraphs, which is what publishers show."""

SHORTEST_CONSENT = 80
"""Characters about consent that make a cookie wall: a sentence."""

SHORTEST_PROSE = 100
"""Characters from which a line is prose without the mark of a sentence's end; below it is a label or a teaser."""

FIRST_PARAGRAPHS = 5
"""An error page says so in its headline or in one of so many first paragraphs."""

LAST_DROPPED = 50
"""Dropped paragraphs that are looked at for a login wall, from the end, where walls stand."""

FRONT_HEADINGS = 8
"""Linked headings from which a page can be a section front; below are articles with their related ones."""

FRONT_LINKS = 0.25
"""Share of links in the visible text from which a page can be a section front. Headlines alone are all links, and
with a teaser below each of them a third is. Of 300 public pages, nearly all articles, one has as much, with as many
linked headings and no statement that it is an article; its run of prose saves it."""

FRONT_PROSE = 600
"""Characters of neighbouring prose that are an article's own text, unless they are teasers."""

LONGEST_TEASER = 130
"""Characters of the mean paragraph up to which prose can be teasers, if there are about as many as linked headings
(from half to five fourths). The paragraphs of 1.7 % of 5,000 agency articles are as short (of 4.0 % at 140)."""


@dataclass(frozen=True)
class PageFacts:
    """What a whole HTML page shows of itself; there is none for plain text and for fragments of HTML."""

    stated_article: bool
    """Its JSON-LD has an article's type, or its `og:type` is article."""
    linked_headings: int
    """Headings that are nothing but a link (teasers), outside navigation."""
    linked_share: float
    """Share of the visible text outside navigation that is links, 0 to 1."""
    page_characters: int
    """Visible text outside navigation."""


class WallFileError(ValueError):
    """The file of walls is broken; the text names the file, the entry, and what is wrong with it."""


class Wall(NamedTuple):
    """What one kind of page says in one language."""

    quality: Quality
    language: str
    words: tuple[str, ...]
    """In small letters. Without one of them in the text no pattern is tried."""
    sure: re.Pattern[str]
    hint: re.Pattern[str] | None
    """What decides only where next to nothing else is said."""
    examples: tuple[str, ...]
    hints: tuple[str, ...]
    """Examples of what decides alone only."""
    reporting: tuple[str, ...]


def judge_quality(
    headline: str | None,
    kept: Sequence[str],
    dropped: Sequence[str],
    facts: PageFacts | None,
    shortest: int,
    longest: int,
) -> tuple[Quality, ...]:
    """What makes this text less than an article, in the order of `Quality`; nothing of an article.

    - `too_short`, `too_long`: fewer characters than `shortest`, more than `longest`, of the kept paragraphs joined
      by blank lines.
    - `section_front`: a whole page with many linked headings, and no prose but about one teaser a heading.
    - `login_wall`: a sentence asks to log in, subscribe or register to go on reading, and at most `LONGEST_PREVIEW`
      characters of other prose are kept. A preview of some sentences before the wall is a login wall too.
    - `cookie_wall`: most of the text asks for consent to cookies.
    - `error_page`: headline or first paragraphs are an error of a server or site, or a bot check, with at most
      `BESIDE_AN_ERROR` characters of other prose.

    A Chinese, Japanese or Korean character counts as three where prose is measured. Takes time linear in the number
    of paragraphs, and a bounded time for their text.

    Args:
        headline: the article's, if it has one.
        kept: the repaired paragraphs that are the article's.
        dropped: the repaired paragraphs that are boilerplate by rule; a wall's sentences can be among them.
        facts: what the page shows, if it is a whole page.
        shortest: characters below which a kept text is too short.
        longest: characters above which a kept text is too long.
    """
    characters = sum(map(len, kept)) + 2 * max(0, len(kept) - 1)
    found = set()
    if characters < shortest:
        found.add(Quality.TOO_SHORT)
    if characters > longest:
        found.add(Quality.TOO_LONG)
    if facts is not None and _is_front(kept, facts):
        found.add(Quality.SECTION_FRONT)
    if _is_cookie_wall(kept, dropped):
        found.add(Quality.COOKIE_WALL)
    if characters <= LONGEST_WALL:
        if _is_login_wall(kept, dropped):
            found.add(Quality.LOGIN_WALL)
        if _is_error_page(headline, kept, dropped):
            found.add(Quality.ERROR_PAGE)
    return tuple(quality for quality in Quality if quality in found)


def _is_front(kept: Sequence[str], facts: PageFacts) -> bool:
    if facts.stated_article or facts.linked_headings < FRONT_HEADINGS or facts.linked_share < FRONT_LINKS:
        return False
    teasers = [len(paragraph) for paragraph in kept if _is_prose(paragraph)]
    as_many = facts.linked_headings / 2 <= len(teasers) <= facts.linked_headings * 5 / 4
    if as_many and sum(teasers) <= len(teasers) * LONGEST_TEASER:
        return True
    run = 0
    for paragraph in kept:
        run = run + _weight(paragraph[:FRONT_PROSE]) if _is_prose(paragraph) else 0
        if run >= FRONT_PROSE:
            return False
    return True


def _is_error_page(headline: str | None, kept: Sequence[str], dropped: Sequence[str]) -> bool:
    first_dropped = [paragraph[:LONGEST_SENTENCE] for paragraph in dropped[:FIRST_PARAGRAPHS]]
    said = _Said(WALLS[Quality.ERROR_PAGE], [(headline or "")[:LONGEST_SENTENCE], *kept, *first_dropped])
    if not said.walls:
        return False
    title = _parts(headline) if headline else ()
    first = [*title, *_sentences(kept[:FIRST_PARAGRAPHS]), *_sentences(first_dropped)]
    other = said.other_prose(kept)
    return (other <= BESIDE_AN_ERROR and any(map(said.surely, first))) or (
        other <= BESIDE_A_HINT and any(map(said.perhaps, first))
    )


def _is_login_wall(kept: Sequence[str], dropped: Sequence[str]) -> bool:
    last_dropped = [paragraph[:LONGEST_SENTENCE] for paragraph in dropped[-LAST_DROPPED:]]
    said = _Said(WALLS[Quality.LOGIN_WALL], [*kept, *last_dropped])
    if not said.walls:
        return False
    other = said.other_prose(kept)
    # What only hints at a wall is in the frame of every page: where a rule has dropped it, it says nothing.
    return (other <= LONGEST_PREVIEW and any(map(said.surely, _sentences([*kept, *last_dropped])))) or (
        other <= BESIDE_A_HINT and any(map(said.perhaps, _sentences(kept)))
    )


def _is_cookie_wall(kept: Sequence[str], dropped: Sequence[str]) -> bool:
    looked_at = _first_characters(kept, LONGEST_CONSENT)
    said = _Said(WALLS[Quality.COOKIE_WALL], looked_at)
    consent = other = 0
    for paragraph in looked_at:
        if said.walls and any(map(said.surely, _sentences([paragraph]))):
            consent += len(paragraph)
        else:
            other += len(paragraph)
    if consent:
        return consent >= SHORTEST_CONSENT and consent > other
    # The rules took the notice, and labels of its buttons are left. A short article keeps its prose.
    if other > LONGEST_SENTENCE or any(map(_is_prose, looked_at)):
        return False
    notices = [paragraph[:LONGEST_SENTENCE] for paragraph in dropped[:FIRST_PARAGRAPHS]]
    said = _Said(WALLS[Quality.COOKIE_WALL], notices)
    consent = sum(len(notice) for notice in notices if any(map(said.surely, _sentences([notice]))))
    return consent >= SHORTEST_CONSENT and consent > other


class _Said:
    """Those walls of a kind that a text can be, and which of its sentences are theirs."""

    def __init__(self, walls: Iterable[Wall], texts: Iterable[str]) -> None:
        text = "\n".join(texts).lower()
        self.walls = [wall for wall in walls if any(word in text for word in wall.words)]

    def surely(self, sentence: str) -> bool:
        return any(wall.sure.match(sentence[:LONGEST_SENTENCE]) for wall in self.walls)

    def perhaps(self, sentence: str) -> bool:
        start = sentence[:LONGEST_SENTENCE]
        return any(wall.hint is not None and wall.hint.match(start) for wall in self.walls)

    def other_prose(self, paragraphs: Iterable[str]) -> int:
        """Characters of sentences that are not the wall's, without labels and teasers."""
        return sum(
            _weight(sentence)
            for sentence in _sentences(paragraphs)
            if _is_prose(sentence) and not self.surely(sentence) and not self.perhaps(sentence)
        )


_SENTENCE_END = re.compile(r"(?<=[.!?…؟])[\"')\]”»]{0,3}\s+|(?<=[。！？])")
_PROSE_END = re.compile(r"[.!?…؟。！？][\"')\]”’»」』]{0,3}$")
_QUOTED = re.compile(r"“[^”]{3,300}”|\"[^\"]{3,300}\"|«[^»]{3,300}»|„[^“”]{3,300}[“”]|「[^」]{3,300}」")
_SEPARATOR = re.compile(r"\s[|·•:»–—-]+\s|\s?[|｜]\s?")
_DECORATION = " \t*•·►▶→➡➜›>✔|#_~=–—-[](){}【】¡¿⚠️🔒🍪\ufe0f"
_LETTER = re.compile(r"\w")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _sentences(paragraphs: Iterable[str]) -> Iterator[str]:
    """Sentences as patterns see them, with x for each letter in quotation marks."""
    for paragraph in paragraphs:
        text = _QUOTED.sub(_masked, paragraph).replace("’", "'")
        for sentence in _SENTENCE_END.split(text):
            bare = sentence.strip(_DECORATION)
            if bare:
                yield bare


def _masked(quoted: re.Match[str]) -> str:
    """As long as it was, so that it counts as prose, but without words: somebody's are not the page's."""
    return _LETTER.sub("x", quoted[0])


def _parts(headline: str) -> list[str]:
    """The headline and its parts: site and headline stand in either order."""
    line = headline[:LONGEST_SENTENCE].replace("’", "'")
    return [part.strip(_DECORATION) for part in (line, *_SEPARATOR.split(line))]


def _is_prose(text: str) -> bool:
    return len(text) >= SHORTEST_PROSE or _PROSE_END.search(text) is not None


def _weight(text: str) -> int:
    """Characters, with those that stand for a syllable or a word as three."""
    return len(text) + 2 * len(_WIDE.findall(text))


def _first_characters(paragraphs: Sequence[str], characters: int) -> list[str]:
    first = []
    for paragraph in paragraphs:
        first.append(paragraph[:characters])
        characters -= len(paragraph)
        if characters <= 0:
            break
    return first


Line = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    quality: Literal["error_page", "cookie_wall", "login_wall"]
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
    words: Annotated[tuple[Line, ...], Field(min_length=1)]
    lines: tuple[Line, ...] = ()
    starts: tuple[Line, ...] = ()
    hints: tuple[Line, ...] = ()
    examples: Annotated[tuple[Line, ...], Field(min_length=1)]
    hint_examples: tuple[Line, ...] = ()
    reporting: Annotated[tuple[Line, ...], Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    walls: Annotated[tuple[_Entry, ...], Field(min_length=1)]


def read_walls(file: Traversable) -> dict[Quality, tuple[Wall, ...]]:
    """The walls of a file by what they are, in its order.

    Raises:
        WallFileError: it is no TOML, says what it may not, has a pattern that cannot be compiled, a word that is
            not in small letters, an example without any of its words, or two entries of the same kind and language.
    """
    content = read_toml(file, _File, WallFileError)
    walls: dict[Quality, tuple[Wall, ...]] = {
        Quality.LOGIN_WALL: (),
        Quality.COOKIE_WALL: (),
        Quality.ERROR_PAGE: (),
    }
    for entry in content.walls:
        where = f"{file.name}, {entry.quality} {entry.language}"
        wall = _wall(entry, where)
        if any(one.language == wall.language for one in walls[wall.quality]):
            raise WallFileError(f"{where}: it is there twice")
        walls[wall.quality] += (wall,)
    return walls


def _wall(entry: _Entry, where: str) -> Wall:
    sure = [*(rf"(?:{each})\W*$" for each in entry.lines), *(f"(?:{each})" for each in entry.starts)]
    if not sure:
        raise WallFileError(f"{where}: it has neither lines nor starts")
    for word in entry.words:
        if word != word.lower():
            raise WallFileError(f"{where}: the word {word} is not in small letters")
    for example in (*entry.examples, *entry.hint_examples):
        if not any(word in example.lower() for word in entry.words):
            raise WallFileError(f"{where}: none of its words is in the example {example}")
    return Wall(
        quality=Quality(entry.quality),
        language=entry.language,
        words=entry.words,
        sure=_compile(sure, where),
        hint=_compile([rf"(?:{each})\W*$" for each in entry.hints], where) if entry.hints else None,
        examples=entry.examples,
        hints=entry.hint_examples,
        reporting=entry.reporting,
    )


def _compile(patterns: Sequence[str], where: str) -> re.Pattern[str]:
    for pattern in patterns:
        try:
            re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise WallFileError(f"{where}: {error} in {pattern}") from error
    return re.compile("|".join(patterns), re.IGNORECASE)


WALLS = read_walls(resources.files(__package__) / "walls.toml")
