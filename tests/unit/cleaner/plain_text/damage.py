"""Cases for the cleaner: articles in many languages, each damaged in many ways, with the paragraphs expected.

The same files always give the same cases. What each damage does, and what may be expected of it, is in README.md.
"""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Sequence
from html.entities import codepoint2name
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unicodedata import normalize

FOLDER = Path(__file__).parent / "articles"
WIDTH = 72
"""Columns of a wrapped line, as in mail."""

TAB = 8
"""Columns of a tab at the start of a line, as terminals and mail programs count."""

SHORTEST_DIVIDED = 8
"""Letters of a word that is divided at the end of a line; at least 3 stand on either side."""

PROMOTION = ("promotion", "newsletter", "share", "read_more", "subscription", "cookies", "app")
"""The lists of lines that stand anywhere in an article."""

Damage = Callable[[Sequence[str], Random], str]


class SignOff(NamedTuple):
    """What stands at the end of an article, and what it says; `None` where that is not one name."""

    text: str
    agency: str | None = None
    byline: str | None = None


class Press(NamedTuple):
    """Of one language (BCP 47): articles by paragraphs, and what publishers put between them, by list."""

    language: str
    articles: tuple[tuple[str, ...], ...]
    boilerplate: dict[str, tuple[str, ...]]
    sign_offs: tuple[SignOff, ...]
    glued: tuple[SignOff, ...]


class Case(NamedTuple):
    """A damaged text, the exact paragraphs to keep, and the lines of boilerplate that were put in."""

    language: str
    article: int
    kind: str
    text: str
    expected: tuple[str, ...]
    boilerplate: tuple[str, ...] = ()
    sign_off: SignOff | None = None

    @property
    def name(self) -> str:
        """Such as `fr-2 wrapped`."""
        return f"{self.language}-{self.article} {self.kind}"


def presses() -> Iterator[Press]:
    """All languages in alphabetical order."""
    for path in sorted(FOLDER.glob("*.toml")):
        yield _press(tomllib.loads(path.read_text(encoding="utf-8")))


def _press(data: dict[str, Any]) -> Press:
    return Press(
        language=data["language"],
        articles=tuple(tuple(article["paragraphs"]) for article in data["articles"]),
        boilerplate={name: tuple(lines) for name, lines in data["boilerplate"].items()},
        sign_offs=tuple(SignOff(**each) for each in data["sign_offs"]),
        glued=tuple(SignOff(**each) for each in data["glued"]),
    )


def cases() -> Iterator[Case]:
    """All cases of all languages. A text that a damage leaves as it is makes none: English has no accents."""
    for press in presses():
        yield from _transported(press)
        yield from _with_promotion(press)
        yield from _with_credits(press)
        yield from _with_everything(press)


def _transported(press: Press) -> Iterator[Case]:
    for number, paragraphs in enumerate(press.articles, 1):
        for kind, damage in DAMAGES.items():
            text = damage(paragraphs, Random(f"{press.language}-{number} {kind}"))
            if kind == "untouched" or text != _spaced(paragraphs):
                yield Case(press.language, number, kind, text, paragraphs)


def _with_promotion(press: Press) -> Iterator[Case]:
    """Each line of promotion of the language is in just one of these cases."""
    lines = [line for name in PROMOTION for line in press.boilerplate[name]]
    places = ("promotion_first", "promotion_within", "promotion_last")
    for number, paragraphs in enumerate(press.articles, 1):
        for place, kind in enumerate(places):
            put_in = lines[(number - 1) * len(places) + place :: len(places) * len(press.articles)]
            random = Random(f"{press.language}-{number} {kind}")
            whole = _PLACED[kind](paragraphs, put_in, random)
            yield Case(press.language, number, kind, _spaced(whole), paragraphs, tuple(put_in))


def _with_credits(press: Press) -> Iterator[Case]:
    """Each photo credit, copyright line and sign-off of the language is in just one of these cases."""
    for number, paragraphs in enumerate(press.articles, 1):
        for kind, place in (("photo_credit", "promotion_within"), ("copyright", "promotion_last")):
            put_in = press.boilerplate[kind][number - 1 :: len(press.articles)]
            whole = _PLACED[place](paragraphs, put_in, Random(f"{press.language}-{number} {kind}"))
            yield Case(press.language, number, kind, _spaced(whole), paragraphs, put_in)
    for kind, sign_offs in (("sign_off", press.sign_offs), ("sign_off_glued", press.glued)):
        for index, sign_off in enumerate(sign_offs):
            number = index % len(press.articles) + 1
            paragraphs = press.articles[number - 1]
            between = " " if kind == "sign_off_glued" else "\n\n"
            text = _spaced(paragraphs) + between + sign_off.text
            yield Case(press.language, number, kind, text, paragraphs, (sign_off.text,), sign_off)


def _with_everything(press: Press) -> Iterator[Case]:
    """Boilerplate of all lists, then invisible characters, odd spaces, mojibake, and lines that end as in mail."""
    for number, paragraphs in enumerate(press.articles, 1):
        random = Random(f"{press.language}-{number} everything")
        first, within, last = (random.choice(press.boilerplate[name]) for name in random.sample(PROMOTION, 3))
        photo, notice = (random.choice(press.boilerplate[name]) for name in ("photo_credit", "copyright"))
        sign_off = random.choice(press.sign_offs)
        whole = list(paragraphs)
        whole.insert(random.randrange(1, len(whole)), within)
        whole.insert(1, photo)
        whole = [first, *whole, sign_off.text, last, notice]
        text = _spaced([invisible([paragraph], random) for paragraph in whole])
        text = _misread(odd_spaces(text.split("\n\n"), random))
        if random.random() < 0.5:
            text = _escaped(text, random)
        put_in = (first, photo, within, sign_off.text, last, notice)
        yield Case(press.language, number, "everything", text.replace("\n", "\r\n"), paragraphs, put_in, sign_off)


def _first(paragraphs: Sequence[str], lines: Sequence[str], _: Random) -> list[str]:
    return [*lines, *paragraphs]


def _within(paragraphs: Sequence[str], lines: Sequence[str], random: Random) -> list[str]:
    whole = list(paragraphs)
    for line in lines:
        whole.insert(random.randrange(1, len(whole)), line)
    return whole


def _last(paragraphs: Sequence[str], lines: Sequence[str], _: Random) -> list[str]:
    return [*paragraphs, *lines]


_PLACED = {"promotion_first": _first, "promotion_within": _within, "promotion_last": _last}


def untouched(paragraphs: Sequence[str], _: Random) -> str:
    """Paragraphs apart by blank lines: an article that nothing happened to must come out as it went in."""
    return _spaced(paragraphs)


def mojibake(paragraphs: Sequence[str], _: Random) -> str:
    """UTF-8 that was read as windows-1252, in the way of the web: what has no character there is a control one."""
    return _misread(_spaced(paragraphs))


def mojibake_twice(paragraphs: Sequence[str], _: Random) -> str:
    """The same, once more."""
    return _misread(_misread(_spaced(paragraphs)))


def wrapped(paragraphs: Sequence[str], _: Random) -> str:
    """Lines of at most 72 columns, paragraphs apart by blank lines."""
    return _spaced(["\n".join(_wrapped(paragraph)) for paragraph in paragraphs])


def wrapped_indented(paragraphs: Sequence[str], random: Random) -> str:
    """Lines of at most 72 columns, no blank lines, the first line of each paragraph set in."""
    indent = random.choice(["  ", "   ", "    ", "\t"])
    return "\n".join(line for paragraph in paragraphs for line in _wrapped(paragraph, indent))


def wrapped_hyphenated(paragraphs: Sequence[str], _: Random) -> str:
    """Lines of 60 to 72 columns, whichever divides most words, with a hyphen, where they do not fit."""
    texts = (
        _spaced(["\n".join(_divided(paragraph, width)) for paragraph in paragraphs])
        for width in range(WIDTH - 12, WIDTH + 1)
    )
    return max(texts, key=lambda text: text.count("-\n"))


def line_ends(paragraphs: Sequence[str], random: Random) -> str:
    """The line ends of other systems, in wrapped or unwrapped text."""
    text = random.choice([_spaced, wrapped_plainly])(paragraphs)
    return text.replace("\n", random.choice(["\r\n", "\r", "\r\r\n"]))


def wrapped_plainly(paragraphs: Sequence[str]) -> str:
    """As `wrapped`, which needs no randomness."""
    return wrapped(paragraphs, Random(0))


def entities(paragraphs: Sequence[str], random: Random) -> str:
    """HTML entities by name and by number for all that is not ASCII, for quotes and for ampersands."""
    return _escaped(_spaced(paragraphs), random)


def entities_twice(paragraphs: Sequence[str], random: Random) -> str:
    """The same, with the ampersands of the entities escaped once more."""
    return _escaped(_spaced(paragraphs), random).replace("&", "&amp;")


def invisible(paragraphs: Sequence[str], random: Random) -> str:
    """A byte order mark, zero-width spaces, soft hyphens, word joiners and bidi marks, all between two letters."""
    text = _spaced(paragraphs)
    marked = re.sub(
        r"(?<=[^\W\d_])(?=[^\W\d_])",
        lambda _: random.choice(_INVISIBLE) if random.random() < 0.04 else "",
        text,
    )
    return f"\ufeff{marked}"


def decomposed(paragraphs: Sequence[str], _: Random) -> str:
    """Form NFD: accents as characters of their own."""
    return normalize("NFD", _spaced(paragraphs))


def odd_spaces(paragraphs: Sequence[str], random: Random) -> str:
    """Runs of spaces, tabs, blanks at the ends of lines and in blank lines; the author's no-break spaces stay."""

    def widened(_: re.Match[str]) -> str:
        return random.choice(_ODD_SPACES) if random.random() < 0.15 else " "

    return "".join(
        re.sub(" ", widened, paragraph) + random.choice(_ODD_ENDS) + random.choice(_ODD_BLANK_LINES)
        for paragraph in paragraphs
    )


def one_line_each(paragraphs: Sequence[str], _: Random) -> str:
    """Each paragraph on a line, no blank lines."""
    return "\n".join(paragraphs)


def tags(paragraphs: Sequence[str], random: Random) -> str:
    """HTML tags of paragraphs or of line breaks, some words in bold, in italics or linked."""
    marked = [_marked_up(paragraph, random) for paragraph in paragraphs]
    match random.choice(["p", "p_close", "br", "br_lines"]):
        case "p":
            return "\n".join(f"<p>{paragraph}</p>" for paragraph in marked)
        case "p_close":
            return "".join(f'<p class="text">{paragraph}</p>' for paragraph in marked)
        case "br":
            return "<br><br>".join(marked)
        case _:
            return "<br />\n<br />\n".join(marked)


DAMAGES: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (
        untouched,
        mojibake,
        mojibake_twice,
        wrapped,
        wrapped_indented,
        wrapped_hyphenated,
        line_ends,
        entities,
        entities_twice,
        invisible,
        decomposed,
        odd_spaces,
        one_line_each,
        tags,
    )
}
"""What transport does to an article, by name."""

_INVISIBLE = ("\u200b", "\xad", "\u2060", "\ufeff", "\u200e", "\u200f", "\u202a\u202c", "\u2068\u2069")
_ODD_SPACES = ("  ", "   ", "\t", " \t ", "\xa0 ", " \xa0", "\xa0\xa0", "\u2009\u2009")
_ODD_ENDS = ("", " ", "   ", "\t", "\xa0", " \xa0 ")
_ODD_BLANK_LINES = ("\n\n", "\n \n", "\n\t\n", "\n\xa0\n", "\n\n  \n\n")
_VOWELS = frozenset("aeiouyаеиоуыэюя")
_WORD = re.compile(r"[^\w'’\-]*([^\W\d_]+)[^\w'’\-]*")


def _spaced(paragraphs: Sequence[str]) -> str:
    return "\n\n".join(paragraphs)


def _misread(text: str) -> str:
    def read(byte: int) -> str:
        return bytes([byte]).decode("cp1252", errors="ignore") or chr(byte)

    return "".join(map(read, text.encode()))


def _wrapped(paragraph: str, indent: str = "") -> list[str]:
    room = indent.expandtabs(TAB)
    lines = textwrap.wrap(paragraph, WIDTH, initial_indent=room, break_long_words=False, break_on_hyphens=False)
    return [indent + lines[0][len(room) :], *lines[1:]]


def _divided(paragraph: str, width: int) -> list[str]:
    lines = [""]
    for word in paragraph.split(" "):
        room = width - len(lines[-1]) - bool(lines[-1])
        if len(word) > room:
            cut = _place_to_divide(word, room)
            if cut:
                lines[-1] += f" {word[:cut]}-"
            lines.append(word[cut:])
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip(" ")
    return lines


def _place_to_divide(word: str, room: int) -> int:
    """The last place that leaves room for a hyphen, or 0: before a consonant with a vowel behind it.

    A vowel, or a vowel and a consonant, stand before the place.
    """
    core = _WORD.fullmatch(word)
    if core is None or len(core[1]) < SHORTEST_DIVIDED or not core[1][1:].islower():
        return 0
    vowels = [normalize("NFD", letter)[0].lower() in _VOWELS for letter in word]
    places = (
        place
        for place in range(min(core.end(1) - 3, room - 1), core.start(1) + 2, -1)
        if not vowels[place] and vowels[place + 1] and (vowels[place - 1] or vowels[place - 2])
    )
    return next(places, 0)


def _escaped(text: str, random: Random) -> str:
    return "".join(
        _entity(character, random) if character in "&<>\"'" or not character.isascii() else character
        for character in text
    )


def _entity(character: str, random: Random) -> str:
    code = ord(character)
    forms = [f"&#{code};", f"&#x{code:x};", f"&#x{code:X};"]
    name = codepoint2name.get(code)
    return f"&{name};" if name and random.random() < 0.6 else random.choice(forms)


def _marked_up(paragraph: str, random: Random) -> str:
    words = paragraph.split(" ")
    if len(words) < 6:
        return paragraph
    start = random.randrange(len(words) - 3)
    end = start + random.randrange(1, 4)
    before, after = random.choice(
        [("<b>", "</b>"), ("<strong>", "</strong>"), ("<i>", "</i>"), ('<a href="https://example.com/1">', "</a>")]
    )
    return " ".join([*words[:start], before + " ".join(words[start:end]) + after, *words[end:]])
