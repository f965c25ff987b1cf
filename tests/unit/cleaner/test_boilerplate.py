from __future__ import annotations

from pathlib import Path

import pytest

from services.cleaner import boilerplate
from services.cleaner.boilerplate import (
    LONGEST,
    LONGEST_DATELINE,
    Credit,
    Pattern,
    RuleFileError,
    match_dateline,
    match_ending,
    match_rule,
    read_rules,
    rule_for,
)


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
