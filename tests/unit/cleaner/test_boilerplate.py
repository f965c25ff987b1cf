from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from re import _constants as opcodes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from services.cleaner import boilerplate
from services.cleaner.boilerplate import (
    ANYTHING,
    BOOK,
    LONGEST,
    LONGEST_DATELINE,
    Credit,
    Pattern,
    Rule,
    RuleFileError,
    fold,
    literals_of,
    match_dateline,
    match_ending,
    match_rule,
    read_rules,
    rule_for,
    starts_of,
)

_KINDS = """advertisement app author-box comments contact cookies copyright donate follow listen login newsletter
photo-credit qr-code read-more redistribution rights-reserved share share-buttons sign-off subscribe"""
KINDS = set(_KINDS.split())
ALL = (*BOOK.rules, *BOOK.endings, *BOOK.datelines)
NAMED = {rule.name: rule for rule in (*BOOK.endings, *BOOK.rules)}
REPEATS = {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT, opcodes.POSSESSIVE_REPEAT}
LOOKAROUNDS = {opcodes.ASSERT, opcodes.ASSERT_NOT}
WIDE = 30
"""Characters: more than a word, so that what is narrower can be shared among neighbours in few ways."""
MOST_WIDE_GAPS = 6


def each(rules: tuple[Rule, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rule", rules, ids=[f"{rule.language}-{rule.name}" for rule in rules])


def kind_of(rule: Rule) -> str:
    return rule.name.removesuffix(f"-{rule.language}")


def is_same(found: str | None, rule: Rule, rules: tuple[Rule, ...] = BOOK.rules) -> bool:
    """Whether it is this rule, or one of the same kind in another language: “Photo: AFP” is in several."""
    if found is None or found == rule.name:
        return found == rule.name
    other = next(each for each in rules if each.name == found)
    return other.language != rule.language and kind_of(other) == kind_of(rule)


@each(BOOK.rules)
def test_takes_its_examples(rule: Rule) -> None:
    found = {example: rule_for(example) for (example,) in rule.examples}

    assert {example: name for example, name in found.items() if not is_same(name, rule)} == {}


@each(BOOK.rules)
def test_its_own_patterns_take_its_examples(rule: Rule) -> None:
    """Also where another language's rule comes first."""
    texts = [stripped(example) for (example,) in rule.examples]

    assert [text for text in texts if not any(each.compiled.match(text) for each in rule.patterns)] == []


@each(ALL)
def test_leaves_sentences_of_reporting(rule: Rule) -> None:
    """No rule of any language takes them, and no ending is cut off them."""
    assert [sentence for sentence in rule.reporting if match_rule(sentence) or match_ending(sentence)] == []


@each(BOOK.endings)
def test_cuts_the_ending_off_its_examples(rule: Rule) -> None:
    for paragraph, kept in rule.examples:
        ending = match_ending(paragraph)

        assert ending is not None, paragraph
        assert ending.kept == kept
        assert is_same(ending.rule, rule, BOOK.endings)
        assert paragraph.startswith(ending.kept)
        assert paragraph.endswith(ending.removed)
        assert paragraph.removeprefix(ending.kept).strip() == ending.removed


@each(BOOK.endings)
def test_what_an_ending_leaves_has_no_ending(rule: Rule) -> None:
    assert [kept for _, kept in rule.examples if match_ending(kept)] == []


@each(BOOK.datelines)
def test_reads_the_datelines_of_its_examples(rule: Rule) -> None:
    expected = {
        paragraph: Credit(agency=agency or None, located=place or None)
        for paragraph, place, agency in rule.examples
    }

    found = {paragraph: match_dateline(paragraph) for paragraph in expected}
    assert {paragraph: credit and replace(credit, byline=None) for paragraph, credit in found.items()} == expected


@each(BOOK.datelines)
def test_reads_no_dateline_from_reporting(rule: Rule) -> None:
    assert [sentence for sentence in rule.reporting if match_dateline(sentence)] == []


@each(BOOK.rules)
def test_has_examples_for_and_against(rule: Rule) -> None:
    assert len(rule.examples) >= 3
    assert len(rule.reporting) >= 2


@each((*BOOK.endings, *BOOK.datelines))
def test_has_an_example_for_and_against(rule: Rule) -> None:
    assert rule.examples
    assert rule.reporting


@each(BOOK.rules)
def test_is_named_for_its_kind(rule: Rule) -> None:
    assert kind_of(rule) in KINDS


def test_english_french_and_german_have_every_kind() -> None:
    by_language = {
        language: {kind_of(rule) for rule in BOOK.rules if rule.language == language}
        for language in ("en", "fr", "de")
    }
    elsewhere = {"share-buttons", "rights-reserved"}

    assert {language: KINDS - kinds - elsewhere for language, kinds in by_language.items()} == {
        "en": set(),
        "fr": {"redistribution"},
        "de": {"redistribution"},
    }


@pytest.mark.parametrize("decoration", ["► {}", "[{}]", "👉 {} »", "* {} *", "{}!", "/{}/", "【{}】"])
def test_sees_through_decoration(decoration: str) -> None:
    assert rule_for(decoration.format("Follow us on Facebook")) == "follow-en"


@pytest.mark.parametrize("text", ["", "***", "—", "...", "\0", "\0\0\0"])
def test_takes_nothing_where_nothing_is_said(text: str) -> None:
    assert rule_for(text) is None
    assert match_ending(text) is None
    assert match_dateline(text) is None


def test_a_quotation_is_no_boilerplate() -> None:
    assert rule_for("“Subscribe now!”") is None


def test_what_somebody_said_is_no_boilerplate_in_any_language() -> None:
    promotion = "Sign up for our newsletter, {} to you"

    assert rule_for(promotion.format("open")) == "newsletter-en"
    for said in ("she said", "sagte sie", "ont dit les escrocs"):
        assert rule_for(promotion.format(said)) is None


@pytest.mark.parametrize(
    ("paragraph", "byline", "agency"),
    [
        ("(Reporting by Ada Lee in Paris; Editing by Bo Chan)", "Ada Lee", None),
        ("Reporting by Ada Lee and Cy Dunn; Editing by Bo Chan", "Ada Lee and Cy Dunn", None),
        ("(Reporting by Ada Lee in Paris and Cy Dunn in Rome)", "Ada Lee in Paris and Cy Dunn in Rome", None),
        ("Writing by Ada Lee; Editing by Bo Chan", "Ada Lee", None),
        ("Editing by Bo Chan", None, None),
        ("(Bericht von Ada Lee in Paris, redigiert von Bo Chan)", "Ada Lee", None),
        ("(Reportage de Ada Lee à Paris, édité par Bo Chan)", "Ada Lee", None),
        ("By Ada Lee, Associated Press", "Ada Lee", "Associated Press"),
        ("(AFP)", None, "AFP"),
        ("APA/dpa/Reuters", None, "APA"),
        ("With inputs from PTI", None, "PTI"),
        ("Avec AFP", None, "AFP"),
        ("Mit Material von dpa", None, "dpa"),
        ("Associated Press writer Ada Lee in Paris contributed to this report.", None, "Associated Press"),
        ("Photo: Jane Doe/AFP", None, None),
        ("Follow us on Facebook", None, None),
    ],
)
def test_says_whom_a_paragraph_credits(paragraph: str, byline: str | None, agency: str | None) -> None:
    match = match_rule(paragraph)

    assert match is not None
    assert match.credit == Credit(byline=byline, agency=agency)


def test_says_whom_an_ending_credits() -> None:
    ending = match_ending("The vote is due on Monday. (Reporting by Ada Lee in Paris; Editing by Bo Chan)")

    assert ending is not None
    assert ending.credit == Credit(byline="Ada Lee")
    assert ending.removed == "(Reporting by Ada Lee in Paris; Editing by Bo Chan)"


@pytest.mark.parametrize(
    "paragraph",
    [
        "The pictures were sold to Agence France-Presse (AFP)",
        "The pictures were sold to the agency (AFP).",
        "The studio belongs to Example Inc. (AFP).",
        "The case is Example v. Reuters",
        "She works for – AFP",
        "(AFP)",
        "... (AFP)",
        "He called it “a vote” (AFP)",
        "It ran on Example 2.Reuters",
        "The vote is due on Monday. (Reporting by Ada Lee; Editing by Bo Chan, who said no)",
        "— Reuters",
    ],
)
def test_an_ending_stands_behind_a_whole_sentence(paragraph: str) -> None:
    assert match_ending(paragraph) is None


@pytest.mark.parametrize("space", [" ", "  ", "\u00a0", ""])
def test_an_ending_in_brackets_needs_no_space(space: str) -> None:
    ending = match_ending(f"The vote is due.{space}(AFP)")

    assert ending is not None
    assert (ending.kept, ending.removed) == ("The vote is due.", "(AFP)")


def test_an_ending_is_found_behind_a_paragraph_of_any_length() -> None:
    long = "The vote is due on Monday. " * 100
    ending = match_ending(long + "(AFP)")

    assert ending is not None
    assert ending.kept == long.strip()


@pytest.mark.parametrize(
    "paragraph",
    [
        "Agence France-Presse (AFP) – an agency – is in Paris.",
        "The ferry sails again (Reuters) - or so they hope.",
        "Paris is far away, said the captain (AFP) - and laughed.",
        "“Berlin (dpa) – das war einmal”, sagte er.",
        "Villanueva de la Sierra de Arriba, Valverde del Monte de los Santos (AFP) - The ferry sails again.",
    ],
)
def test_a_dateline_is_a_place_in_front_of_an_agency(paragraph: str) -> None:
    assert match_dateline(paragraph) is None


@each(BOOK.rules)
def test_looks_at_no_more_than_the_longest_boilerplate(rule: Rule) -> None:
    for (example,) in rule.examples:
        assert is_same(rule_for(example + " " * (LONGEST - len(example))), rule)
        assert rule_for(example + " " * (LONGEST + 1 - len(example))) is None


def test_no_pattern_sees_more_of_a_hostile_text(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Index:
        def first(self, text: str) -> None:
            seen.append(len(text))

    for name in ("_RULES", "_ENDINGS", "_DATELINES"):
        monkeypatch.setattr(boilerplate, name, Index())
    for text in ("a", "©", " ", "follow ", "newsletter ", "Read more: ", "Yes. (", "(AFP) ", "Paris ", ". — "):
        seen.clear()
        hostile = text * (1_000_000 // len(text))

        assert rule_for(hostile) is None
        assert seen == []
        assert match_ending(hostile) is None
        assert len(seen) <= LONGEST
        assert all(length <= LONGEST for length in seen)
        seen.clear()
        assert match_dateline(hostile) is None
        assert seen == [LONGEST_DATELINE]

    seen.clear()
    assert rule_for("a" * LONGEST) is None
    assert seen == [LONGEST]


@each(ALL)
def test_patterns_take_linear_time(rule: Rule) -> None:
    """No quantifier stands inside another one, so that no text can be matched in exponentially many ways, and few
    wide gaps follow one another, so that their ways to share `LONGEST` characters stay few."""
    for pattern in rule.patterns:
        tree = _parser.parse(pattern.whole, re.IGNORECASE)

        assert not nested_repeat(tree, inside=False), pattern.written
        assert wide_gaps(tree) <= MOST_WIDE_GAPS, pattern.written


@each(ALL)
def test_hostile_texts_of_its_own_words_come_back(rule: Rule) -> None:
    """Texts that begin as its examples do and never come to their end; the test's own deadline is the judge."""
    for example in {example[0] for example in rule.examples}:
        for text in hostile_texts(example):
            assert len(text) <= LONGEST
            match_rule(text)
            match_ending(text)
            match_dateline(text)


@each(BOOK.rules)
def test_patterns_are_anchored_at_both_ends(rule: Rule) -> None:
    assert all(pattern.whole.endswith(r"\W*$") for pattern in rule.patterns)
    (example,) = rule.examples[0]
    found = rule_for(f"Officials walked. {example}")
    assert found is None or kind_of(NAMED[found]) in {"rights-reserved", "copyright"}


@each(ALL)
def test_is_looked_up_by_what_its_patterns_start_with(rule: Rule) -> None:
    """What the patterns' syntax trees say of the first character is among the starts they are looked up by."""
    for pattern in rule.patterns:
        starts = {start[:1] for start in pattern.starts}
        if ANYTHING in starts or "" in starts:
            continue
        first = first_characters(_parser.parse(pattern.whole, re.IGNORECASE))

        assert first <= starts, pattern.written


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


@each(ALL)
def test_the_literals_of_its_patterns_are_in_the_examples_that_they_match(rule: Rule) -> None:
    for pattern in rule.patterns:
        for example in rule.examples:
            text = example[0] if rule in BOOK.datelines else stripped(example[0])
            if pattern.literals and pattern.compiled.match(text):
                assert any(literal in fold(text) for literal in pattern.literals), pattern.written


def test_folds_what_patterns_take_for_the_same() -> None:
    letters = [chr(code) for code in range(sys.maxunicode) if chr(code).isalpha()]
    differently = []
    for letter in letters:
        others = {letter.lower(), letter.upper(), letter.title(), letter.casefold()} - {letter}
        same = (other for other in others if re.fullmatch(re.escape(letter), other, re.IGNORECASE))
        differently += [letter + other for other in same if fold(letter) != fold(other)]

    assert differently == []


@pytest.mark.parametrize(
    "text", ["FOLLOW US ON FACEBOOK", "ſubſcribe now", "subscrıbe now", "TÉLÉCHARGEZ L’APPLICATION"]
)
def test_case_does_not_matter(text: str) -> None:
    assert rule_for(text) is not None


def test_foreign_texts_cost_no_memory() -> None:
    before = len(boilerplate._RULES._choices)
    for code in range(0x13000, 0x13400):
        rule_for(chr(code) * 5)

    assert len(boilerplate._RULES._choices) <= before + 1


RULE = """
[[rules]]
name = "share-en"
patterns = ['''share''']
examples = ["Share"]
reporting = ["Shares fell."]
"""


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("en.toml", "language = ", "en.toml: Invalid value"),
        ("en.toml", "", "en.toml, language: Field required"),
        ("en.toml", 'language = "de"', "en.toml: its language is de, which is de.toml's"),
        ("any.toml", 'language = "en"', "any.toml: its language is en, which is en.toml's"),
        ("en.toml", 'language = "en"\nrule = 1', "en.toml, rule: Extra inputs are not permitted"),
        ("en.toml", 'language = "en"' + RULE + "colour = 1", "en.toml, share-en colour: Extra inputs"),
        ("en.toml", 'language = "en"' + RULE.replace("patterns", "pattern"), "en.toml, share-en patterns: Field"),
        (
            "en.toml",
            'language = "en"' + RULE.replace('["Shares fell."]', "[]"),
            "en.toml, share-en reporting: Tuple",
        ),
        ("en.toml", 'language = "en"' + RULE.replace("-en", "-fr"), "en.toml, share-fr: a rule's name ends in -en"),
        (
            "en.toml",
            'language = "en"' + RULE.replace("share'", "{thing}'"),
            "en.toml, share-en: there is no word thing",
        ),
        ("en.toml", 'language = "en"' + RULE + RULE, "rules: two are named share-en"),
        (
            "en.toml",
            'language = "en"\n[words]\nb = "(a"',
            "en.toml, words b: missing ), unterminated subpattern in (a",
        ),
        (
            "en.toml",
            'language = "en"\nreported = "(a"',
            "en.toml, reported: missing ), unterminated subpattern in (a",
        ),
    ],
)
def test_says_what_is_wrong_with_a_broken_file(tmp_path: Path, file: str, text: str, message: str) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")

    with pytest.raises(RuleFileError) as error:
        read_rules(tmp_path)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("share(", "missing ), unterminated subpattern in share("),
        ("(share)", "only byline, agency and located can be groups, in (share)"),
        ("(?P<who>share)", "only byline, agency and located can be groups, in (?P<who>share)"),
        ("(?P<byline>a)(?P<byline>b)", "redefinition of group name"),
    ],
)
def test_says_what_is_wrong_with_a_pattern_when_it_is_needed(tmp_path: Path, pattern: str, message: str) -> None:
    (tmp_path / "en.toml").write_text('language = "en"' + RULE.replace("share'", f"{pattern}'"), encoding="utf-8")
    (rule,) = read_rules(tmp_path).rules
    with pytest.raises(RuleFileError) as error:
        _ = rule.patterns[0].compiled

    assert str(error.value).startswith(f"en.toml, share-en: {message}")


def test_words_of_any_language_serve_all_files(tmp_path: Path) -> None:
    (tmp_path / "any.toml").write_text(
        "language = \"und\"\n[words]\nnet = '''alpha|beta'''\nnets = '''{net}s'''", encoding="utf-8"
    )
    (tmp_path / "en.toml").write_text(
        "language = \"en\"\n[words]\nour = '''our {nets}'''" + RULE.replace("'share'", "'share on {our}'"),
        encoding="utf-8",
    )
    (pattern,) = read_rules(tmp_path).rules[0].patterns

    assert isinstance(pattern, Pattern)
    assert pattern.compiled.match("Share on our betas!")
    assert not pattern.compiled.match("Share on our gammas!")
    assert pattern.starts == {"sha"}


def test_there_are_rules_of_the_languages_that_the_first_rules_had() -> None:
    assert {"und", "en", "fr", "de"} <= {rule.language for rule in BOOK.rules}


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
        _, most, repeated = node[1]
        many = most > 1
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
        least, most, repeated = argument
        return 1 if most - least >= WIDE else wide_gaps(repeated)
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


def test_the_checks_of_syntax_trees_find_what_they_look_for() -> None:
    assert nested_repeat(_parser.parse("(?:a+b)+"), inside=False)
    assert not nested_repeat(_parser.parse("(?:a+b)?c{1,9}"), inside=False)
    assert wide_gaps(_parser.parse("a.*b(?:c|[^d]{0,90}.+)e{0,5}")) == 3
    assert first_characters(_parser.parse("(?:a|b)?[cd]e")) == {"a", "b", "c", "d"}
