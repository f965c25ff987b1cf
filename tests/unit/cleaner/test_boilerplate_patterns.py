"""The patterns of all boilerplate rules, by their syntax trees: what they cost and how they are looked up."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from re import _constants as opcodes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from services.cleaner import boilerplate
from services.cleaner.boilerplate import (
    ANYTHING,
    BOOK,
    LONGEST,
    Rule,
    fold,
    literals_of,
    match_dateline,
    match_ending,
    match_rule,
    starts_of,
)

ALL = (*BOOK.rules, *BOOK.endings, *BOOK.datelines)
LANGUAGES = sorted({rule.language for rule in ALL})
REPEATS = {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT, opcodes.POSSESSIVE_REPEAT}
LOOKAROUNDS = {opcodes.ASSERT, opcodes.ASSERT_NOT}
WIDE = 30
"""Characters: more than a word, so that what is narrower can be shared among neighbours in few ways."""
MAX_WIDE_GAPS = 6


def test_patterns_take_linear_time() -> None:
    """No quantifier stands inside another one, so that no text can be matched in exponentially many ways, and few
    wide gaps follow one another, so that their ways to share `LONGEST` characters stay few."""
    trees = {
        (rule.name, pattern.written): _parser.parse(pattern.whole, re.IGNORECASE)
        for rule in ALL
        for pattern in rule.patterns
    }

    assert [name for name, tree in trees.items() if nested_repeat(tree, inside=False)] == []
    assert [name for name, tree in trees.items() if wide_gaps(tree) > MAX_WIDE_GAPS] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_texts_are_matched_in_time(language: str) -> None:
    """The rule with the longest patterns of each language; the slow tier takes them all."""
    match_hostile_texts(max(rules_of(language), key=pattern_length))


@pytest.mark.slow
@pytest.mark.timeout(1_800)  # ten seconds of CPU for English
@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_texts_of_every_rule_are_matched_in_time(language: str) -> None:
    for rule in rules_of(language):
        match_hostile_texts(rule)


def rules_of(language: str) -> list[Rule]:
    return [rule for rule in ALL if rule.language == language]


def pattern_length(rule: Rule) -> int:
    return sum(len(pattern.whole) for pattern in rule.patterns)


def match_hostile_texts(rule: Rule) -> None:
    """Texts that begin as the rule's examples do and never end as they do; pytest's timeout is the judge."""
    for text in {text for example in rule.examples for text in hostile_texts(example[0])}:
        assert len(text) <= LONGEST
        match_rule(text)
        match_ending(text)
        match_dateline(text)


def test_rules_are_looked_up_by_what_their_patterns_start_with() -> None:
    """What the patterns' syntax trees say of the first character is among the starts they are looked up by."""
    missing = {}
    for rule in ALL:
        for pattern in rule.patterns:
            starts = {start[:1] for start in pattern.starts}
            if ANYTHING not in starts and "" not in starts:
                first = first_characters(_parser.parse(pattern.whole, re.IGNORECASE))
                missing[rule.name, pattern.written] = first - starts

    assert {pattern: first for pattern, first in missing.items() if first} == {}
    assert len(missing) > len(ALL) / 2


def test_literals_of_a_pattern_are_in_the_examples_that_it_matches() -> None:
    missing = []
    for rule in ALL:
        for example in rule.examples:
            text = example[0] if rule in BOOK.datelines else stripped(example[0])
            folded = fold(text)
            for pattern in rule.patterns:
                if not pattern.literals or any(literal in folded for literal in pattern.literals):
                    continue
                if pattern.compiled.match(text):
                    missing.append((rule.name, pattern.written, text))

    assert missing == []


def test_own_patterns_of_a_rule_match_its_examples() -> None:
    """Also where another language's rule comes first."""
    unmatched = [
        (rule.name, example)
        for rule in BOOK.rules
        for (example,) in rule.examples
        if not any(pattern.compiled.match(stripped(example)) for pattern in rule.patterns)
    ]

    assert unmatched == []


@pytest.mark.parametrize(
    ("pattern", "starts"),
    [
        ("abcd", {"abc"}),
        ("ab", {"ab"}),
        ("(?:ab|cd)e", {"abe", "cde"}),
        ("a?bcd", {"abc", "bcd"}),
        ("(?:on )?to", {"on ", "to"}),
        ("(?P<byline>[xy])ab", {"xab", "yab"}),
        ("[^a]b", {ANYTHING}),
        ("a[a-z]b", {"a" + ANYTHING}),
        (r"\bab\.c", {"ab."}),
        (r"a\s?b", {"ab", "a" + ANYTHING}),
        ("(?=ab|cd)(?!x)efg", {"efg"}),
        ("(?-i:AB)C", {"abc"}),
        ("Straße", {"str"}),
        ("aße", {"ass"}),
        (r"\d{1,2} a", {"0 a", "00 ", "000"}),
        ("4,5", {"0,0"}),
        ("(a)b", {"ab"}),
        (".a", {ANYTHING}),
    ],
)
def test_says_what_a_pattern_starts_with(pattern: str, starts: set[str]) -> None:
    assert starts_of(pattern) >= starts
    assert starts_of(pattern) - starts <= {start for start in starts_of(pattern) if "0" in start}


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        ("(?:.{0,9} )?all rights (?:are )?reserved", {"all rights "}),
        ("abc|abcdef", {"abc", "abcdef"}),
        ("abc|.*", set()),
        (".(?:abc|de{0,3}f)x?", {"abc", "d"}),
        ("abc?def", {"def"}),
        ("a{2}bc[de]fgh", {"fgh"}),
        (r".\.abc", {"abc"}),
        (".{known} x", {"known", "words"}),
        ("{unknown} said", {" said"}),
        ("(?=.* contributed)..", {" contributed"}),
        ("(?! contributed)(?<= contributed).", set()),
        ("(?: contributed)?.", set()),
        (".Straße", {"strasse"}),
        (".*", set()),
    ],
)
def test_says_what_every_match_contains(pattern: str, literals: set[str]) -> None:
    assert literals_of(pattern, {"known": frozenset({"known", "words"})}) == literals


def test_folds_what_patterns_take_for_the_same() -> None:
    letters = [chr(code) for code in range(sys.maxunicode) if chr(code).isalpha()]
    differently = []
    for letter in letters:
        others = {letter.lower(), letter.upper(), letter.title(), letter.casefold()} - {letter}
        same = (other for other in others if re.fullmatch(re.escape(letter), other, re.IGNORECASE))
        differently += [letter + other for other in same if fold(letter) != fold(other)]

    assert differently == []


def test_the_checks_of_syntax_trees_find_what_they_look_for() -> None:
    assert nested_repeat(_parser.parse("(?:a+b)+"), inside=False)
    assert not nested_repeat(_parser.parse("(?:a+b)?c{1,9}"), inside=False)
    assert wide_gaps(_parser.parse("a.*b(?:c|[^d]{0,90}.+)e{0,5}")) == 3
    assert first_characters(_parser.parse("(?:a|b)?[cd]e")) == {"a", "b", "c", "d"}


def stripped(text: str) -> str:
    return text.replace("’", "'").strip(boilerplate._DECORATION)


def hostile_texts(example: str) -> Iterator[str]:
    """At most `LONGEST` characters: its beginnings over and over, and it with a tail that fits no ending."""
    words = example.split(" ")
    for count in {1, 2, len(words) // 2 or 1, len(words)}:
        beginning = " ".join(words[:count])
        for filling in (beginning + " ", "A in ", "in A, ", "by ", "a ", " ", "-", ". (", "/A"):
            for tail in ("", "?!x y"):
                yield (f"{beginning} {filling * LONGEST}")[: LONGEST - len(tail)] + tail


def nested_repeat(node: Any, *, inside: bool) -> bool:
    """Whether a syntax tree of `re` has a repeat of more than one inside another."""
    if isinstance(node, tuple) and node and node[0] in REPEATS:
        _, highest, repeated = node[1]
        many = highest > 1
        return (many and inside) or nested_repeat(repeated, inside=inside or many)
    if isinstance(node, (tuple, list, _parser.SubPattern)):
        return any(nested_repeat(part, inside=inside) for part in node)
    return False


def wide_gaps(node: Any) -> int:
    """Of a syntax tree of `re`: the most repeats behind one another that can be of `WIDE` different lengths."""
    if isinstance(node, _parser.SubPattern):
        return sum(wide_gaps(part) for part in node)
    operation, argument = node
    if operation in REPEATS:
        lowest, highest, repeated = argument
        return 1 if highest - lowest >= WIDE else wide_gaps(repeated)
    if operation is opcodes.BRANCH:
        return max(wide_gaps(branch) for branch in argument[1])
    if operation is opcodes.SUBPATTERN:
        return wide_gaps(argument[-1])
    return 0  # a lookaround is matched once and not gone back into


def first_characters(node: Any) -> set[str]:
    """Of a syntax tree of `re`: the folded literals that a match can start with, as far as they are literals."""
    first, _ = first_of_sequence(node)
    return first


def first_of_sequence(nodes: Any) -> tuple[set[str], bool]:
    first: set[str] = set()
    for node in nodes:
        some, empty = first_of(node)
        first |= some
        if not empty:
            return first, False
    return first, True


def first_of(node: Any) -> tuple[set[str], bool]:
    """The literals that this node can start with, and whether it can be empty."""
    operation, argument = node
    if operation is opcodes.LITERAL:
        return {boilerplate._folded(chr(argument))[:1]}, False
    if operation in REPEATS:
        some, empty = first_of_sequence(argument[2])
        return some, empty or argument[0] == 0
    if operation is opcodes.BRANCH:
        branches = [first_of_sequence(branch) for branch in argument[1]]
        return set().union(*(some for some, _ in branches)), any(empty for _, empty in branches)
    if operation is opcodes.SUBPATTERN:
        return first_of_sequence(argument[-1])
    if operation is opcodes.IN:
        return {boilerplate._folded(chr(value))[:1] for kind, value in argument if kind is opcodes.LITERAL}, False
    return set(), operation in LOOKAROUNDS or operation is opcodes.AT
