"""Every boilerplate rule against its own examples and sentences of reporting, named in the failure."""

from __future__ import annotations

from dataclasses import replace

from services.cleaner.boilerplate import (
    BOOK,
    LONGEST,
    Credit,
    Rule,
    match_dateline,
    match_ending,
    match_rule,
    rule_for,
)

_KINDS = """advertisement app author-box comments contact cookies copyright donate follow listen login newsletter
photo-credit qr-code read-more redistribution rights-reserved share share-buttons sign-off subscribe"""
KINDS = set(_KINDS.split())
ALL = (*BOOK.rules, *BOOK.endings, *BOOK.datelines)
NAMED = {rule.name: rule for rule in (*BOOK.endings, *BOOK.rules)}


def kind_of(rule: Rule) -> str:
    return rule.name.removesuffix(f"-{rule.language}")


def is_same(found: str | None, rule: Rule) -> bool:
    """Whether it is this rule, or one of the same kind in another language: “Photo: AFP” is in several."""
    if found is None or found == rule.name:
        return found == rule.name
    other = NAMED[found]
    return other.language != rule.language and kind_of(other) == kind_of(rule)


def test_rules_match_their_examples() -> None:
    found = {(rule, example): rule_for(example) for rule in BOOK.rules for (example,) in rule.examples}

    assert {(rule.name, example): name for (rule, example), name in found.items() if not is_same(name, rule)} == {}


def test_no_rule_matches_a_sentence_of_reporting() -> None:
    """No rule of any language takes them, and no ending is cut off them."""
    matched = {
        (rule.name, sentence)
        for rule in ALL
        for sentence in rule.reporting
        if match_rule(sentence) or match_ending(sentence)
    }

    assert matched == set()


def test_endings_are_cut_off_their_examples() -> None:
    wrong = {}
    for rule in BOOK.endings:
        for paragraph, kept in rule.examples:
            ending = match_ending(paragraph)
            if (
                ending is None
                or not is_same(ending.rule, rule)
                or ending.kept != kept
                or not (paragraph.startswith(kept) and paragraph.endswith(ending.removed))
                or paragraph.removeprefix(kept).strip() != ending.removed
            ):
                wrong[rule.name, paragraph] = ending

    assert wrong == {}


def test_nothing_is_cut_off_twice() -> None:
    twice = [(rule.name, kept) for rule in BOOK.endings for _, kept in rule.examples if match_ending(kept)]

    assert twice == []


def test_datelines_are_read_from_their_examples() -> None:
    wrong = {}
    for rule in BOOK.datelines:
        for paragraph, place, agency in rule.examples:
            credit = match_dateline(paragraph)
            expected = Credit(agency=agency or None, located=place or None)
            if credit is None or replace(credit, byline=None) != expected:
                wrong[rule.name, paragraph] = credit

    assert wrong == {}


def test_no_dateline_is_read_from_reporting() -> None:
    read = [
        (rule.name, text) for rule in BOOK.datelines for text in rule.reporting if match_dateline(text) is not None
    ]

    assert read == []


def test_rules_have_examples_and_counterexamples() -> None:
    paragraphs = [rule.name for rule in BOOK.rules if len(rule.examples) < 3 or len(rule.reporting) < 2]
    others = [rule.name for rule in (*BOOK.endings, *BOOK.datelines) if not rule.examples or not rule.reporting]

    assert (paragraphs, others) == ([], [])


def test_rules_are_named_for_their_kind() -> None:
    assert [rule.name for rule in BOOK.rules if kind_of(rule) not in KINDS] == []


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


def test_paragraphs_above_the_length_limit_are_no_boilerplate() -> None:
    padded = {(rule, example): example.ljust(LONGEST) for rule in BOOK.rules for (example,) in rule.examples}

    assert [text for (rule, text), longest in padded.items() if not is_same(rule_for(longest), rule)] == []
    assert [text for (_, text), longest in padded.items() if rule_for(longest + " ") is not None] == []


def test_patterns_are_anchored_at_both_ends() -> None:
    open_ended = [
        (rule.name, pattern.written)
        for rule in BOOK.rules
        for pattern in rule.patterns
        if not pattern.whole.endswith(r"\W*$")
    ]
    behind_a_sentence = {}
    for rule in BOOK.rules:
        (example,) = rule.examples[0]
        found = rule_for(f"Officials walked. {example}")
        if found is not None and kind_of(NAMED[found]) not in {"rights-reserved", "copyright"}:
            behind_a_sentence[rule.name] = found

    assert open_ended == []
    assert behind_a_sentence == {}


def test_und_en_fr_and_de_have_rules() -> None:
    assert {"und", "en", "fr", "de"} <= {rule.language for rule in BOOK.rules}
