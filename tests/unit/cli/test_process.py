from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.article import Label, RawArticle
from schemas.identity import article_id
from services.cli import process
from services.tagger import load
from services.tagger.names import Span
from services.tagger.user_files import UserFile
from tests.unit.cli.conftest import Newsflow, Said

KEYS = {
    "id", "publisher", "headline", "language", "body", "paragraphs", "people", "organisations", "places",
    "mentions", "story_id", "duplicate_of", "originality", "error",
}  # fmt: skip
NAMES = {"Ada Marsh": Label.PERSON, "Harbour Board": Label.ORGANISATION, "Porto": Label.PLACE}
REPEAT = "The ferry sails again on Monday at nine, said Ada Marsh of the Harbour Board."
TEXT = f"""{REPEAT}

Click here to subscribe to our newsletter.

In Porto nobody had waited for it longer than Ada Marsh, who lives on the other side of the river.

{REPEAT}
"""


def find_spans(texts: Sequence[str]) -> list[list[Span]]:
    return [
        [
            Span(found.start(), found.end(), label)
            for name, label in NAMES.items()
            for found in re.finditer(re.escape(name), text)
        ]
        for text in texts
    ]


@pytest.fixture(autouse=True)
def _small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Knows three names, and is there at once."""
    model = SimpleNamespace(find_spans=find_spans, version="small-1", own_names=UserFile(None, str, None))
    monkeypatch.setattr(load, "load_models", lambda *_: {"en": model})


def lines(said: Said) -> list[dict[str, Any]]:
    assert said.status == 0
    found = [json.loads(line) for line in said.out.splitlines()]
    assert all(line.keys() >= KEYS for line in found)
    return found


def record(**fields: object) -> bytes:
    return json.dumps({"publisher": "harbour-post.example"} | fields).encode() + b"\n"


def names(entities: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(each["name"], each["count"]) for each in entities]


def kept(line: dict[str, Any]) -> list[str]:
    return [each["text"] for each in line["paragraphs"] if each["kept"]]


def assert_spans_fit(line: dict[str, Any]) -> None:
    assert line["mentions"]
    for mention in line["mentions"]:
        assert line["body"][mention["start"] : mention["end"]] == mention["text"]
    entities = {each["id"] for kind in ("people", "organisations", "places") for each in line[kind]}
    assert {mention["entity_id"] for mention in line["mentions"]} == entities


# ---------------------------------------------------------------- the whole way


def test_an_article_goes_the_whole_way(newsflow: Newsflow, tmp_path: Path) -> None:
    file = tmp_path / "ferry.txt"
    file.write_text(TEXT, encoding="utf-8")
    (line,) = lines(newsflow("process", file, "--publisher", "harbour-post.example", "--json"))
    raw = RawArticle(publisher="harbour-post.example", id="ferry.txt", body=TEXT)
    assert (line["id"], line["publisher"], line["language"]) == (article_id(raw), "harbour-post.example", "en")
    assert line["error"] is line["duplicate_of"] is None
    assert (line["story_id"], line["originality"]) == (line["id"], 1.0)
    what = [(each["index"], each["kept"], each["reason"], each["repeats"]) for each in line["paragraphs"]]
    assert what == [
        (0, True, None, None),
        (1, False, "boilerplate", None),
        (2, True, None, None),
        (3, False, "exact_duplicate", 0),
    ]
    assert [each["text"] for each in line["paragraphs"]] == TEXT.strip().split("\n\n")
    assert line["body"] == "\n\n".join(kept(line))
    assert names(line["people"]) == [("Ada Marsh", 2)]
    assert names(line["organisations"]) == [("Harbour Board", 1)]
    assert names(line["places"]) == [("Porto", 1)]
    assert line["places"][0].keys() >= {"id", "name", "country_iso_code", "location", "count"}
    assert [(each["text"], each["label"]) for each in line["mentions"]] == [
        ("Ada Marsh", "person"),
        ("Harbour Board", "organisation"),
        ("Porto", "place"),
        ("Ada Marsh", "person"),
    ]
    assert_spans_fit(line)


def test_an_unusable_line_says_why_and_the_others_go_on(newsflow: Newsflow) -> None:
    stdin = (
        record(id="1", body=REPEAT)
        + b"{cut\n"
        + record(id="2", body=REPEAT, pages=3)
        + record(id="3", body="Click here to subscribe to our newsletter.")
        + record(id="4", body=TEXT)
    )
    found = lines(newsflow("process", "-", "--json", stdin=stdin))
    assert [bool(line["error"]) for line in found] == [False, True, True, True, False]
    assert "pages" in found[2]["error"]
    for line in found[1:4]:
        assert line["id"] is line["body"] is None
        assert line["paragraphs"] == line["people"] == line["mentions"] == []
    assert_spans_fit(found[4])


def test_articles_come_out_in_the_order_of_arrival(newsflow: Newsflow) -> None:
    count = 2 * process.ARTICLES_AT_ONCE + 3
    stdin = b"".join(
        b"{cut\n" if number % 7 == 5 else record(headline=f"Ferry {number}", body=f"{REPEAT} {number}")
        for number in range(count)
    )
    found = lines(newsflow("process", "-", "--json", stdin=stdin))
    expected = [None if number % 7 == 5 else f"Ferry {number}" for number in range(count)]
    assert [line["headline"] for line in found] == expected


def test_a_folder_is_read_as_produce_reads_it(newsflow: Newsflow, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text(REPEAT, encoding="utf-8")
    (tmp_path / "a.jsonl").write_bytes(
        record(headline="First", body=REPEAT) + record(headline="Second", body=REPEAT)
    )
    (tmp_path / "a.expected.json").write_text("{}", encoding="utf-8")
    found = lines(newsflow("process", tmp_path, "--json"))
    assert [line["headline"] for line in found] == ["First", "Second", None]
    assert found[2]["publisher"] == "local-files"


def test_nothing_to_read_is_nothing_to_say(newsflow: Newsflow) -> None:
    assert lines(newsflow("process", "-", "--json", stdin=b"\n\n")) == []


def test_other_scripts_come_through_unchanged(newsflow: Newsflow) -> None:
    text = "Паром снова ходит. 渡し船が再開した。 Die Fähre fährt „wieder“ – 🚢."
    (line,) = lines(newsflow("process", "-", "--json", stdin=record(body=text, headline="渡し船")))
    assert (line["body"], line["headline"]) == (text, "渡し船")


def test_an_article_that_the_model_fails_on_holds_up_no_other(
    newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage tries such a chunk record by record."""

    def fail(texts: Sequence[str]) -> list[list[Span]]:
        if any("poison" in text for text in texts):
            raise ValueError("[E088] too long")
        return find_spans(texts)

    model = SimpleNamespace(find_spans=fail, version="small-1", own_names=UserFile(None, str, None))
    monkeypatch.setattr(load, "load_models", lambda *_: {"en": model})
    stdin = record(body=REPEAT) + record(body=f"{REPEAT} poison") + record(body=TEXT)
    found = lines(newsflow("process", "-", "--json", stdin=stdin))
    assert [bool(line["error"]) for line in found] == [False, True, False]
    assert "E088" in found[1]["error"]


def test_a_publisher_that_is_no_name_is_wrong_use(newsflow: Newsflow, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(REPEAT, encoding="utf-8")
    said = newsflow("process", tmp_path, "--publisher", " ", "--json")
    assert said.status == 2
    assert "publisher" in said.told


# ---------------------------------------------------------------- one stage alone

ODD = "  Ada Marsh\u00a0met\r\nAda Marsh.\n\n\n\tIn Porto\u2019s  harbour: Cafe\u0301 \U0001f6a2 Ada Marsh \n"


@pytest.mark.parametrize("field", ["body", "html"])
def test_only_the_tagger_takes_the_text_exactly_as_given(newsflow: Newsflow, field: str) -> None:
    (line,) = lines(newsflow("process", "-", "--only", "tagger", "--json", stdin=record(**{field: ODD})))
    assert line["body"] == ODD
    assert [(each["index"], each["text"], each["kept"]) for each in line["paragraphs"]] == [(0, ODD, True)]
    assert names(line["people"]) == [("Ada Marsh", 3)]
    assert_spans_fit(line)


def test_only_the_tagger_drops_nothing(newsflow: Newsflow) -> None:
    (line,) = lines(newsflow("process", "-", "--only", "tagger", "--json", stdin=record(body=TEXT)))
    assert line["body"] == TEXT
    assert names(line["people"]) == [("Ada Marsh", 3)]


def test_only_the_tagger_believes_the_language_that_is_stated(newsflow: Newsflow) -> None:
    stdin = record(body=TEXT, language="de") + record(body=TEXT)
    german, english = lines(newsflow("process", "-", "--only", "tagger", "--json", stdin=stdin))
    assert (german["language"], german["people"]) == ("de", [])
    assert (english["language"], names(english["people"])) == ("en", [("Ada Marsh", 3)])


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_tagger(*_: object) -> None:
        raise AssertionError("it takes a second, and nobody needs it here")

    monkeypatch.setattr(process, "load_tagger", load_tagger)


@pytest.mark.usefixtures("no_model")
def test_only_the_deduper_drops_repeats_and_no_boilerplate(newsflow: Newsflow) -> None:
    (line,) = lines(newsflow("process", "-", "--only", "deduper", "--json", stdin=record(body=TEXT.strip())))
    paragraphs = TEXT.strip().split("\n\n")
    assert [each["text"] for each in line["paragraphs"]] == paragraphs
    assert kept(line) == paragraphs[:3]
    dropped = line["paragraphs"][3]
    assert (dropped["reason"], dropped["repeats"]) == ("exact_duplicate", 0)
    assert line["body"] == "\n\n".join(paragraphs[:3])
    assert line["people"] == line["mentions"] == []


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("between", ["\n", "\r\n\r\n", "\n \n"])
def test_only_the_deduper_knows_every_break_of_the_contract(newsflow: Newsflow, between: str) -> None:
    """`body`: paragraphs apart by newlines; in a .txt file one a line, or apart by blank lines."""
    paragraphs = [REPEAT, "In Porto nobody had waited for it longer than Ada Marsh.", REPEAT]
    stdin = record(body=between.join(paragraphs))
    (line,) = lines(newsflow("process", "-", "--only", "deduper", "--json", stdin=stdin))
    assert [each["text"].strip() for each in line["paragraphs"]] == paragraphs
    assert [each["kept"] for each in line["paragraphs"]] == [True, True, False]


@pytest.mark.usefixtures("no_model")
def test_only_the_cleaner_drops_boilerplate_and_no_repeats(newsflow: Newsflow) -> None:
    (line,) = lines(newsflow("process", "-", "--only", "cleaner", "--json", stdin=record(body=TEXT)))
    what = [(each["kept"], each["reason"]) for each in line["paragraphs"]]
    assert what == [(True, None), (False, "boilerplate"), (True, None), (True, None)]
    assert line["people"] == line["mentions"] == []


# ---------------------------------------------------------------- for people


def test_people_read_a_table(newsflow: Newsflow) -> None:
    stdin = record(body=TEXT, headline="The ferry sails again") + b"{cut\n"
    said = newsflow("process", "-", stdin=stdin)
    assert said.status == 0
    for text in ("The ferry sails again", "boilerplate", "exact_duplicate of 0", "Ada Marsh (2)", "dead letter: "):
        assert text in said.out


@pytest.mark.parametrize("text", ["The [bold] ferry sails again", "The ferry [/b] sails again", "Ferry [link]"])
@pytest.mark.parametrize("field", ["headline", "body"])
def test_brackets_in_an_article_are_text(newsflow: Newsflow, field: str, text: str) -> None:
    said = newsflow("process", "-", stdin=record(**({"body": REPEAT} | {field: text})))
    assert said.status == 0
    assert text in said.out


@pytest.mark.usefixtures("no_model")
def test_what_was_changed_and_what_is_less_than_an_article_is_shown(newsflow: Newsflow) -> None:
    text = (
        "VIENNA (Reuters) - Caf&eacute;s reopen.",
        "Follow us on Facebook",
        "Nobody spoke. (Reporting by Ada Lee)",
    )
    stdin = record(body="\n\n".join(text))

    (line,) = lines(newsflow("process", "-", "--only", "cleaner", "--json", stdin=stdin))

    assert [(each["kind"], each["kept"], each["rule"]) for each in line["paragraphs"]] == [
        ("text", True, None),
        ("text", False, "follow-en"),
        ("text", True, None),
    ]
    assert line["paragraphs"][0]["changed"] == [{"reason": "entities", "rule": None, "removed": None}]
    (cut,) = line["paragraphs"][2]["changed"]
    assert (cut["reason"], cut["removed"]) == ("sign_off", "(Reporting by Ada Lee)")
    assert (line["located"], line["agency"], line["byline"]) == ("VIENNA", "Reuters", "Ada Lee")
    assert line["quality"] == ["too_short"]


@pytest.mark.usefixtures("no_model")
def test_what_the_settings_refuse_is_a_dead_letter_here_too(newsflow: Newsflow) -> None:
    html = (
        "<html><head><title>404 Not Found</title></head><body><p>Sorry, that page does not exist.</p></body></html>"
    )
    stdin = record(html=html)

    (line,) = lines(newsflow("process", "-", "--only", "cleaner", "--json", stdin=stdin))

    assert line["error"].startswith("this is no article but: error_page")
