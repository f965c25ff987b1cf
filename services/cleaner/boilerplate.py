"""Boilerplate: paragraphs that belong to the website and not to the article, sign-offs and datelines.

The rules are data, one file a language in `services/cleaner/rules`. No rule may take a sentence of reporting: each
names examples for and against it, and the tests hold it to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schemas.article import PLAIN_SPACES
from services.cleaner.toml_file import read_toml

LONGEST = 300
"""Characters; a longer paragraph is never boilerplate, and no rule looks at it. An ending or a dateline is looked
for in the last or the first so many characters. The longest lines of this kind (cookie and redistribution notices)
stay below it, and it bounds what a hostile text can cost."""

LONGEST_DATELINE = 100
"""Characters: a place, a date, an agency."""

LONGEST_PLACE = 60
"""Characters: what is longer in front of an agency is no place."""

ANY_LANGUAGE = "und"
"""The language of `any.toml`: its rules are in no language, and its words serve all files."""

_PLAIN = {ord("’"): "'"} | PLAIN_SPACES
"""An apostrophe and spaces as the rules write them, a character for a character."""

_DECORATION = (
    " \t*•·▪◾■□●○◆►▶▸‣→➡➜➤»›>⬇⬆👇☞✔✅|/#_~=–—-[](){}【】〔〕《》.:…👉📲📱🔔✉️📩📧📰🔴🔗📢📣📺🎧🎥📷📸💬❤️👍⏩▶️\ufe0f"
)
"""Off both ends of a paragraph before a rule sees it. Quotation marks are not: they make it somebody's words."""

_OPENING_BRACKETS = "([（【"
_DASHES = "-–—"
_LONGEST_SENTENCE_END = 8
_SENTENCE_END = r"[.!?…。！？।؟۔](?:\s?[\"'“”»«)\]」』]){0,3}"
_ENDING_START = re.compile(r"(?<=[.!?…。！？।؟۔\"'“”»«)\]」』])\s*(?=[^\s.!?…\"'”»)\]」』])")
_AFTER_SENTENCE = re.compile(rf"{_SENTENCE_END}$")
_ABBREVIATION = re.compile(
    r"\b(?:[a-z]{1,2}|art|bzw|col|corp|etc|gen|gov|inc|ltd|mrs|prof|rep|sen|vgl)\.$", re.IGNORECASE
)
_BRACKETS_CLOSED_IN_SENTENCE = re.compile(r"[)\]）】][.!?。]\s*$")

_NO_PLACE = re.compile(
    r"agen[cz]|agentur|agentsch|press|news|nachrichten|associat|corp|group|агентств", re.IGNORECASE
)

_WORD = re.compile(r"\{([a-z_]+)\}")


class RuleFileError(ValueError):
    """A file of rules is broken; the text names the file, the rule, and what is wrong with it."""


@dataclass(frozen=True)
class Credit:
    """Who is credited, as printed: who wrote it, the news agency, the place it was reported from."""

    byline: str | None = None
    agency: str | None = None
    located: str | None = None


@dataclass(frozen=True)
class Match:
    """A paragraph is boilerplate: the name of the rule that takes it, and whom it credits."""

    rule: str
    credit: Credit


@dataclass(frozen=True)
class Ending:
    """A paragraph ends in a sign-off: the rule's name, the text without it, what is cut off, whom it credits."""

    rule: str
    kept: str
    removed: str
    credit: Credit


@dataclass(frozen=True)
class Pattern:
    """A pattern of a rule: as its file writes it and with the words put in. Compiled when it is first needed."""

    written: str
    whole: str
    where: str
    starts: frozenset[str]
    """What the texts that it matches start with, see `starts_of`."""
    literals: frozenset[str]
    """Where that can be anything: one of these is in each of them, in folded case; empty where there are none."""

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """It, case ignored.

        Raises:
            RuleFileError: it cannot be compiled, or has other groups than `byline`, `agency` and `located`.
        """
        compiled = _compile(self.whole, self.written, self.where)
        if compiled.groups > len(compiled.groupindex) or not compiled.groupindex.keys() <= _CREDITED:
            raise RuleFileError(f"{self.where}: only byline, agency and located can be groups, in {self.written}")
        return compiled


@dataclass(frozen=True)
class Rule:
    """A kind of boilerplate in one language: what it takes (`examples`) and what it must leave (`reporting`).

    An example is the paragraph; of an ending the paragraph and what is kept of it; of a dateline the paragraph,
    the place and the agency.
    """

    name: str
    language: str
    patterns: tuple[Pattern, ...]
    examples: tuple[tuple[str, ...], ...]
    reporting: tuple[str, ...]


_CREDITED = frozenset({"byline", "agency", "located"})


class RuleBook(NamedTuple):
    """The rules of all files, in order: the first that matches gives its name."""

    rules: tuple[Rule, ...]
    endings: tuple[Rule, ...]
    datelines: tuple[Rule, ...]
    reported: re.Pattern[str] | None
    """Somebody's words are reported: then it is the article's, whatever a rule says."""


def match_rule(paragraph: str) -> Match | None:
    """The first rule that takes this paragraph, `None` where it is the article's.

    Looks at no more than `LONGEST` characters.
    """
    if len(paragraph) > LONGEST:
        return None
    text = paragraph.translate(_PLAIN).strip(_DECORATION)
    if not text:
        return None
    found = _RULES.first(text)
    if found is None or (BOOK.reported and BOOK.reported.search(text)):
        return None
    rule, match = found
    return Match(rule.name, _credit(match))


def match_ending(paragraph: str) -> Ending | None:
    """What a sign-off behind the last sentence of this paragraph leaves of it, `None` where there is none.

    Looks at no more than the last `LONGEST` characters. Something is always kept.
    """
    start = max(0, len(paragraph) - LONGEST)
    tail = paragraph[start:].translate(_PLAIN)
    for place in _ENDING_START.finditer(tail):
        begin = place.end()
        if not _can_end(tail, place.start(), begin):
            continue
        found = _ENDINGS.first(tail[begin:])
        if found is None or (BOOK.reported and BOOK.reported.search(tail, begin)):
            continue
        kept = paragraph[: start + place.start()].rstrip()
        if any(map(str.isalnum, kept)):
            rule, match = found
            return Ending(rule.name, kept, paragraph[start + begin :], _credit(match))
    return None


def _can_end(text: str, sentence_end: int, begin: int) -> bool:
    """Whether a sign-off can begin here: in brackets, behind a dash or as a sentence, and after a sentence."""
    before = text[max(0, sentence_end - _LONGEST_SENTENCE_END) : sentence_end]
    if not _AFTER_SENTENCE.search(before):
        return False
    if text[begin] in _OPENING_BRACKETS:
        # “… of Example Inc. (AP).” is a sentence that goes on in its brackets.
        return not _BRACKETS_CLOSED_IN_SENTENCE.search(text)
    # Without a space only scripts that use none go on: “U.S.-led” does not.
    if sentence_end == begin and text[begin] < "\u0900":
        return False
    return text[begin] in _DASHES or not _ABBREVIATION.search(before)


def match_dateline(paragraph: str) -> Credit | None:
    """The place and the agency that this paragraph opens with, `None` where it opens with neither.

    Looks at no more than the first `LONGEST_DATELINE` characters.
    """
    found = _DATELINES.first(paragraph[:LONGEST_DATELINE].translate(_PLAIN))
    credit = _credit(found[1]) if found else Credit()
    located = credit.located or ""
    # “Agence France-Presse (AFP) – …” opens with an agency and its own short name.
    return None if credit == Credit() or len(located) > LONGEST_PLACE or _NO_PLACE.search(located) else credit


def rule_for(paragraph: str) -> str | None:
    """The name of the rule that takes this paragraph, `None` where it is the article's: `match_rule` in short."""
    match = match_rule(paragraph)
    return match.rule if match else None


def read_rules(folder: Traversable, *, check_words: bool = True) -> RuleBook:
    """All files `<language>.toml` of the folder: `any.toml` first, the others by name.

    To compile each word by itself, which only shows whether it is a pattern, takes as long as all the rest.

    Raises:
        RuleFileError: a file is no TOML, says what it may not, or has a pattern that cannot be compiled.
    """
    files = {file.name: _read(file) for file in folder.iterdir() if file.name.endswith(".toml")}
    names = sorted(files, key=lambda name: (name != "any.toml", name))
    shared = _Words(check_words)
    rules: list[Rule] = []
    endings: list[Rule] = []
    datelines: list[Rule] = []
    reported: list[str] = []
    for name in names:
        file = files[name]
        words = shared.with_words(file.words, name)
        if file.language == ANY_LANGUAGE:
            shared = words
        rules += (_rule(each, words, r"\W*$", name, file.language) for each in file.rules)
        endings += (_rule(each, words, r"\W*$", name, file.language) for each in file.endings)
        datelines += (_rule(each, words, "", name, file.language) for each in file.datelines)
        if file.reported:
            where = f"{name}, reported"
            reported.append(words.checked(file.reported, where))
    for kind, all_of_kind in (("rules", rules), ("endings", endings), ("datelines", datelines)):
        seen: set[str] = set()
        for rule in all_of_kind:
            if rule.name in seen:
                raise RuleFileError(f"{kind}: two are named {rule.name}")
            seen.add(rule.name)
    return RuleBook(
        rules=tuple(rules),
        endings=tuple(endings),
        datelines=tuple(datelines),
        reported=re.compile("|".join(f"(?:{each})" for each in reported), re.IGNORECASE) if reported else None,
    )


Line = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)*$")]
    patterns: Annotated[tuple[Line, ...], Field(min_length=1)]
    reporting: Annotated[tuple[Line, ...], Field(min_length=1)]


class _RuleEntry(_Entry):
    examples: Annotated[tuple[Line, ...], Field(min_length=1)]


class _EndingEntry(_Entry):
    examples: Annotated[tuple[tuple[Line, Line], ...], Field(min_length=1)]


class _DatelineEntry(_Entry):
    examples: Annotated[tuple[tuple[Line, str, str], ...], Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
    reported: Line | None = None
    words: dict[Annotated[str, Field(pattern=r"^[a-z_]+$")], Line] = {}
    rules: tuple[_RuleEntry, ...] = ()
    endings: tuple[_EndingEntry, ...] = ()
    datelines: tuple[_DatelineEntry, ...] = ()


def _read(file: Traversable) -> _File:
    parsed = read_toml(file, _File, RuleFileError)
    expected = "any" if parsed.language == ANY_LANGUAGE else parsed.language
    if file.name != f"{expected}.toml":
        raise RuleFileError(f"{file.name}: its language is {parsed.language}, which is {expected}.toml's")
    for entry in (*parsed.rules, *parsed.endings, *parsed.datelines):
        if parsed.language != ANY_LANGUAGE and not entry.name.endswith(f"-{parsed.language}"):
            raise RuleFileError(f"{file.name}, {entry.name}: a rule's name ends in -{parsed.language} here")
    return parsed


class _Words:
    """The words that patterns of a file can use, and what each of them starts with and contains."""

    def __init__(self, check: bool) -> None:
        self._check = check
        self._whole: dict[str, str] = {}
        self.starts: dict[str, frozenset[str]] = {}
        self.literals: dict[str, frozenset[str]] = {}

    def with_words(self, words: Mapping[str, str], file: str) -> _Words:
        """These words and more; a word may use those before it."""
        more = _Words(self._check)
        more._whole = dict(self._whole)
        more.starts = dict(self.starts)
        more.literals = dict(self.literals)
        for name, written in words.items():
            where = f"{file}, words {name}"
            more._whole[name] = more.checked(written, where)
            more.starts[name] = starts_of(written, more.starts)
            more.literals[name] = literals_of(written, more.literals)
        return more

    def checked(self, pattern: str, where: str) -> str:
        """The pattern with each word for its name, which can be compiled."""
        whole = self.put_into(pattern, where)
        if self._check:
            _compile(whole, pattern, where)
        return whole

    def put_into(self, pattern: str, where: str) -> str:
        """The pattern with each word for its name."""

        def word(match: re.Match[str]) -> str:
            if match[1] not in self._whole:
                raise RuleFileError(f"{where}: there is no word {match[1]} for {pattern}")
            return f"(?:{self._whole[match[1]]})"

        return _WORD.sub(word, pattern)


def _compile(whole: str, written: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(whole, re.IGNORECASE)
    except re.error as error:
        raise RuleFileError(f"{where}: {error.msg} in {written}") from error


def _rule(
    entry: _RuleEntry | _EndingEntry | _DatelineEntry, words: _Words, end: str, file: str, language: str
) -> Rule:
    where = f"{file}, {entry.name}"
    examples = tuple((each,) if isinstance(each, str) else each for each in entry.examples)
    patterns: list[Pattern] = []
    for written in entry.patterns:
        whole = f"(?:{words.put_into(written, where)}){end}"
        starts = starts_of(written, words.starts)
        literals = literals_of(written, words.literals) if ANYTHING in starts else frozenset()
        patterns.append(Pattern(written, whole, where, starts, literals))
    return Rule(entry.name, language, tuple(patterns), examples, entry.reporting)


_Choices = tuple[tuple[Rule, Pattern, tuple[str, ...]], ...]
"""Each with its literals; the empty one, which is in every text, where it has none."""


class _Index:
    """Rules by the characters that a text of theirs starts with, so that most texts meet few patterns."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        patterns = [(rule, pattern) for rule in rules for pattern in rule.patterns]
        # A text in Latin letters holds no literal of another script, and so cannot be what has no other.
        self._every: dict[bool, _Choices] = {
            is_latin: tuple(
                (
                    rule,
                    pattern,
                    tuple(each for each in pattern.literals or ("",) if _is_latin(each) or not is_latin),
                )
                for rule, pattern in patterns
            )
            for is_latin in (False, True)
        }
        self._places: dict[str, list[int]] = {}
        for place, (_, pattern) in enumerate(patterns):
            for start in pattern.starts:
                open_start = start if len(start) == _START or start.endswith(ANYTHING) else start + ANYTHING
                self._places.setdefault(open_start, []).append(place)
        # A text that differs from all starts behind its first characters is looked up by these.
        self._known = {start[:end] for start in self._places for end in range(len(start.rstrip(ANYTHING)) + 1)}
        self._choices: dict[tuple[str, bool], _Choices] = {}

    def first(self, text: str) -> tuple[Rule, re.Match[str]] | None:
        """The first rule one of whose patterns matches at the start of this text."""
        in_folded_case = fold(text)
        start = _DIGITS.sub(_DIGIT, in_folded_case[:_START])
        for rule, pattern, literals in self._choices_for(start, _is_latin(in_folded_case)):
            for literal in literals:
                if literal in in_folded_case:
                    match = pattern.compiled.match(text)
                    if match:
                        return rule, match
                    break
        return None

    def _choices_for(self, start: str, is_latin: bool) -> _Choices:
        choices = self._choices.get((start, is_latin))
        if choices is not None:
            return choices
        # Only starts that some pattern names are remembered, so that foreign texts cost no memory.
        while start not in self._known:
            start = start[:-1]
        choices = self._choices.get((start, is_latin))
        if choices is None:
            starts = {start, *(start[:end] + ANYTHING for end in range(len(start) + 1))}
            places = sorted(set().union(*(self._places.get(each, ()) for each in starts)))
            every = self._every[is_latin]
            choices = self._choices[start, is_latin] = tuple(every[place] for place in places if every[place][2])
        return choices


def _is_latin(text: str) -> bool:
    """No letter of the text is of another script; punctuation may be any that European texts have."""
    return max(text, default="") < "\u0250" or not _OTHER_SCRIPTS.search(text)


_OTHER_SCRIPTS = re.compile("[\u0370-\u1dff\u2c00-\ufaff\ufb1d-\uffff\U00010000-\U0010ffff]")


def fold(text: str) -> str:
    """The text in folded case: what `re` takes for the same where case is ignored, is the same."""
    return text.upper().casefold().replace("\u0307", "")


ANYTHING = "\0"
"""In a start: from here on a text can go on in any way."""

_DIGIT = "0"
"""Stands for all digits in a start."""
_DIGITS = re.compile(r"\d")
_START = 3
"""Characters. With 2 a paragraph of news meets twice as many patterns; 4 would save little more."""
_GROUP = re.compile(r"\((?:\?(?:(?P<around><?[=!])|P<\w+>|[a-zA-Z]*(?:-[a-zA-Z]+)?:|>))?")
_QUANTIFIER = re.compile(r"(?:(?P<optional>(?P<once>\?)|\*|\{0?,\d*\}|\{0\})|\+|\{\d+(?:,\d*)?\})[?+]?")
_CLASS = re.compile(r"\[(?P<negated>\^?)(?P<members>\]?(?:\\.|[^\]\\])*)\]")
_RANGE_OR_KIND = re.compile(r"\\\w|[^\\]-.")
_ZERO_WIDTH = frozenset("bBAZ")


def starts_of(pattern: str, words: Mapping[str, frozenset[str]] = MappingProxyType({})) -> frozenset[str]:
    """What the texts that this pattern matches start with: three characters, in folded case, or less.

    `ANYTHING` in a start stands for all that can follow; a shorter start without it is all
    that the pattern matches. Expects a pattern that compiles, and what its words start with. It may name more
    starts than there are, and never fewer.
    """
    starts, _ = _of_alternatives(pattern, 0, words)
    return frozenset(starts)


_MOST_LITERALS = 24
"""To look for more than these takes longer than the pattern itself."""


def literals_of(pattern: str, words: Mapping[str, frozenset[str]] = MappingProxyType({})) -> frozenset[str]:
    """Texts in folded case of which each match of this pattern contains at least one; empty where none are known.

    Expects a pattern that compiles, and the same of its words.
    """
    literals, _ = _literals_of_alternatives(pattern, 0, words)
    return literals


def _literals_of_alternatives(pattern: str, at: int, words: Mapping[str, frozenset[str]]) -> _Literals:
    alternatives: list[frozenset[str]] = []
    while True:
        one, at = _literals_of_sequence(pattern, at, words)
        alternatives.append(one)
        if at >= len(pattern) or pattern[at] == ")":
            return frozenset().union(*alternatives) if all(alternatives) else frozenset(), at
        at += 1  # over the |


def _literals_of_sequence(pattern: str, at: int, words: Mapping[str, frozenset[str]]) -> _Literals:
    run = ""
    best: frozenset[str] = frozenset()
    while at < len(pattern) and pattern[at] not in "|)":
        character = pattern[at]
        word = _WORD.match(pattern, at)
        literals: frozenset[str] = frozenset()
        if word:
            literals, end = words.get(word[1], literals), word.end()
        elif character == "(":
            group = _GROUP.match(pattern, at)
            literals, end = _literals_of_alternatives(pattern, group.end() if group else at + 1, words)
            literals, end = frozenset() if group and group["around"] not in (None, "=") else literals, end + 1
        else:
            _, end = _of_part(pattern, at, {})
        quantifier = _QUANTIFIER.match(pattern, end)
        run = run + character if end == at + 1 and character not in ".^$" and not quantifier else ""
        if run:
            literals = frozenset({fold(run)})
        if len(literals) <= _MOST_LITERALS and not (quantifier and quantifier["optional"]):
            best = max(best, literals, key=_rarity)
        at = quantifier.end() if quantifier else end
    return best, at


def _rarity(literals: frozenset[str]) -> float:
    """Longer ones are rarer and fewer are looked for faster."""
    return min(map(len, literals), default=0) / max(1, len(literals))


_Literals = tuple[frozenset[str], int]
"""What a part of a pattern contains, and where in the pattern it ends."""

_WordStarts = Mapping[str, frozenset[str]]

_Part = tuple[set[str], int]
"""What a part of a pattern starts with, shorter where the part ends, and where in the pattern it ends."""


def _open_ends(starts: set[str]) -> set[str]:
    return {start for start in starts if len(start) < _START and not start.endswith(ANYTHING)}


def _joined(before: set[str], after: set[str]) -> set[str]:
    open_ends = _open_ends(before)
    return (before - open_ends) | {(start + more)[:_START] for start in open_ends for more in after}


def _of_alternatives(pattern: str, at: int, words: _WordStarts) -> _Part:
    starts: set[str] = set()
    while True:
        one, at = _of_sequence(pattern, at, words)
        starts |= one
        if at >= len(pattern) or pattern[at] == ")":
            return starts, at
        at += 1  # over the |


def _of_sequence(pattern: str, at: int, words: _WordStarts) -> _Part:
    starts = {""}
    is_open = True
    while at < len(pattern) and pattern[at] not in "|)":
        part, at = _of_part(pattern, at, words)
        quantifier = _QUANTIFIER.match(pattern, at)
        if quantifier:
            at = quantifier.end()
        if not is_open:
            continue
        if quantifier:
            for _ in range(1, 1 if quantifier["once"] else _START):
                part = part | _joined(part, part)
            if quantifier["optional"]:
                part = part | {""}
        starts = _joined(starts, part)
        is_open = bool(_open_ends(starts))
    return starts, at


def _of_part(pattern: str, at: int, words: _WordStarts) -> _Part:
    character = pattern[at]
    word = _WORD.match(pattern, at)
    if word:
        return set(words.get(word[1], ())), word.end()
    if character == "(":
        group = _GROUP.match(pattern, at)
        starts, at = _of_alternatives(pattern, group.end() if group else at + 1, words)
        return {""} if group and group["around"] else starts, at + 1
    if character == "[":
        members = _CLASS.match(pattern, at)
        if members is None:
            raise ValueError(f"no character class at {at} of {pattern}")
        unknown = members["negated"] or _RANGE_OR_KIND.search(members["members"])
        return {ANYTHING} if unknown else set(map(_folded, members["members"].replace("\\", ""))), members.end()
    if character == "\\":
        return _of_escaped(pattern[at + 1]), at + 2
    if character in "^$":
        return {""}, at + 1
    return {ANYTHING if character == "." else _folded(character)}, at + 1


@cache
def _folded(character: str) -> str:
    return _DIGITS.sub(_DIGIT, fold(character))


def _of_escaped(character: str) -> set[str]:
    if character in _ZERO_WIDTH:
        return {""}
    if character == "d":
        return {_DIGIT}
    return {ANYTHING if character.isalnum() else _folded(character)}


def _credit(match: re.Match[str]) -> Credit:
    return Credit(**dict(_said(match)))


def _said(match: re.Match[str]) -> Iterator[tuple[str, str]]:
    for name, text in match.groupdict().items():
        said = (text or "").strip(" ,;:|/–—-([")
        if said:
            yield name, said


# The tests compile every pattern of the shipped files, and so every word.
BOOK = read_rules(resources.files("services.cleaner") / "rules", check_words=False)
_RULES = _Index(BOOK.rules)
_ENDINGS = _Index(BOOK.endings)
_DATELINES = _Index(BOOK.datelines)
