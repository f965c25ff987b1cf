from __future__ import annotations

import re
from re import _constants as opcodes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, cast

import pytest

from services.cleaner import boilerplate
from services.cleaner.boilerplate import LONGEST, RULES, Rule, rule_for

EACH_RULE = pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
REPEATS = {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT, opcodes.POSSESSIVE_REPEAT}


@EACH_RULE
def test_takes_its_examples(rule: Rule) -> None:
    assert {example: rule_for(example) for example in rule.examples} == dict.fromkeys(rule.examples, rule.name)


@EACH_RULE
def test_leaves_sentences_of_reporting(rule: Rule) -> None:
    assert {sentence: rule_for(sentence) for sentence in rule.reporting} == dict.fromkeys(rule.reporting)


@EACH_RULE
def test_has_examples_for_and_against(rule: Rule) -> None:
    assert rule.examples
    assert rule.reporting


def test_rules_have_names_of_their_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("decoration", ["► {}", "[{}]", "👉 {} »", "* {} *", "{}!"])
def test_sees_through_decoration(decoration: str) -> None:
    assert rule_for(decoration.format("Follow us on Facebook")) == "follow-en"


def test_a_quotation_is_no_boilerplate() -> None:
    assert rule_for("“Subscribe now!”") is None


@EACH_RULE
def test_looks_at_no_more_than_the_longest_boilerplate(rule: Rule) -> None:
    for example in rule.examples:
        assert rule_for(example + " " * (LONGEST - len(example))) == rule.name
        assert rule_for(example + " " * (LONGEST + 1 - len(example))) is None


def test_no_pattern_sees_a_hostile_text(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Pattern:
        def match(self, text: str) -> None:
            seen.append(len(text))

    monkeypatch.setattr(boilerplate, "RULES", (Rule("any", cast("re.Pattern[str]", Pattern()), (), ()),))
    for text in ("a", "©", " ", "follow ", "newsletter ", "Read more: "):
        assert rule_for(text * 1_000_000) is None
    assert seen == []

    assert rule_for("a" * LONGEST) is None
    assert seen == [LONGEST]


@EACH_RULE
def test_patterns_take_linear_time(rule: Rule) -> None:
    """No quantifier stands inside another one, so that no text can be matched in exponentially many ways."""
    assert not nested_repeat(_parser.parse(rule.pattern.pattern, rule.pattern.flags & re.IGNORECASE), inside=False)


@EACH_RULE
def test_patterns_are_anchored_at_both_ends(rule: Rule) -> None:
    assert rule.pattern.pattern.endswith("$")
    assert rule_for(f"Officials said. {rule.examples[0]}") is None or rule.name == "rights-reserved"


def nested_repeat(node: Any, *, inside: bool) -> bool:
    """Whether a syntax tree of `re` has a repeat of more than one inside another."""
    if isinstance(node, tuple) and node and node[0] in REPEATS:
        _, most, repeated = node[1]
        many = most > 1
        return (many and inside) or nested_repeat(repeated, inside=inside or many)
    if isinstance(node, (tuple, list, _parser.SubPattern)):
        return any(nested_repeat(part, inside=inside) for part in node)
    return False


def test_the_nested_repeat_check_finds_one() -> None:
    assert nested_repeat(_parser.parse("(?:a+b)+"), inside=False)
    assert not nested_repeat(_parser.parse("(?:a+b)?c{1,9}"), inside=False)
