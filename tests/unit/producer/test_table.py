from __future__ import annotations

import csv
import gzip
import io
import json
import os
import string
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.article import RawArticle
from services.producer.core import Found, Item, Reached, Skipped, Trouble, Unusable
from services.producer.plugins import check_source
from services.producer.source import Run
from services.producer.sources.table import EDGE, UNSEEN_RECORDS, Csv, JsonLines, Table, at_path, read_json

PUBLISHER = "publisher=harbour-post.example"
OLD = 1_700_000_000
"""A time (Unix) at which a file has long been left alone."""


def csv_file(folder: Path, text: str | bytes, name: str = "archive.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def json_file(folder: Path, *records: object, name: str = "archive.jsonl") -> Path:
    return csv_file(folder, "".join(f"{json.dumps(record)}\n" for record in records), name)


def read(source: Table, checkpoints: dict[str, str] | None = None, *, follow: bool = False) -> list[Item]:
    return list(source.articles(Run(checkpoints=checkpoints or {}, follow=follow)))


def articles(items: list[Item]) -> list[RawArticle]:
    """All of them are usable."""
    assert [item for item in items if isinstance(item, Unusable | Trouble)] == []
    return [item.article for item in items if isinstance(item, Found)]


def of_csv(file: Path, **given: Any) -> list[Item]:
    return read(Csv(paths=[file], **{"set": [PUBLISHER], **given}))


def of_json(file: Path, **given: Any) -> list[Item]:
    return read(JsonLines(paths=[file], **{"set": [PUBLISHER], **given}))


def problems(items: list[Item]) -> list[tuple[int, str]]:
    """The line and the reason of each unusable row."""
    return [(int(item.origin.rpartition(":")[2]), item.reason) for item in items if isinstance(item, Unusable)]


def ids(items: list[Item]) -> list[str | None]:
    return [item.article.id for item in items if isinstance(item, Found)]


def trouble(items: list[Item]) -> str:
    (item,) = items
    assert isinstance(item, Trouble), item
    return item.error


def reached(items: list[Item]) -> dict[str, str]:
    """The checkpoint of each part at the end."""
    return {
        item.part: item.checkpoint
        for item in items
        if not isinstance(item, Trouble) and item.checkpoint is not None
    }


@pytest.mark.parametrize("source", [Csv, JsonLines])
def test_it_is_a_source(source: type[Table]) -> None:
    assert check_source(source) == []


# ---------------------------------------------------------------- fields and columns


def test_columns_with_the_contracts_names_map_themselves(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "headline,publisher,body,pages\nFerry sails,p.example,The ferry sails.,4\n")
    assert articles(of_csv(file, set=[])) == [
        RawArticle(publisher="p.example", headline="Ferry sails", body="The ferry sails.")
    ]


def test_a_map_says_where_fields_are(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "title,text,headline,desk\nFerry sails,The ferry sails.,not this,port\n")
    (article,) = articles(of_csv(file, map=["headline=title", "body=text", "extra.section=desk"]))
    assert (article.headline, article.body, article.extra) == (
        "Ferry sails",
        "The ferry sails.",
        {"section": "port"},
    )
    assert article.publisher == "harbour-post.example"


def test_a_column_can_be_looked_for_nowhere(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "body,language,\nThe ferry sails.,in English,in Welsh\n")
    assert problems(of_csv(file)) == [(2, "invalid_record")]
    assert [article.language for article in articles(of_csv(file, map=["language="]))] == [None]


def test_a_constant_wins_over_a_column_of_its_name(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "body,publisher\nThe ferry sails.,desk 4\n")
    assert [article.publisher for article in articles(of_csv(file))] == ["harbour-post.example"]


def test_what_is_mapped_nowhere_can_go_into_extra(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "body,pages,desk,\nThe ferry sails.,4,,x\n")
    assert [article.extra for article in articles(of_csv(file))] == [{}]
    assert [article.extra for article in articles(of_csv(file, extra=True))] == [{"pages": "4"}]
    record = {
        "text": "The ferry sails.",
        "pages": 4,
        "front": True,
        "price": 1.5,
        "desk": None,
        "tags": ["a"],
        "m": {},
    }
    (article,) = articles(of_json(json_file(tmp_path, record), map=["body=text"], extra=True))
    assert article.extra == {"pages": "4", "front": "true", "price": "1.5"}


def test_records_of_the_contract_keep_their_extra(tmp_path: Path) -> None:
    file = json_file(tmp_path, {"body": "The ferry sails.", "extra": {"desk": "port"}, "revision": 7})
    (article,) = articles(of_json(file))
    assert (article.extra, article.revision) == ({"desk": "port"}, 7)


def test_paths_lead_into_objects_and_lists() -> None:
    record = {"meta": {"title": "t", "authors": [{"name": "A"}, {"name": "B"}]}, "a.b": 1, "a": {"b": 2}}
    assert at_path(record, "meta.title") == "t"
    assert at_path(record, "meta.authors.1.name") == "B"
    assert at_path(record, "a.b") == 1  # a key is taken as it stands first
    for nowhere in (
        "meta.authors.2.name",
        "meta.authors.-1",
        "meta.authors.x",
        "meta.title.x",
        "no",
        "meta..",
        "²",
    ):
        assert at_path(record, nowhere) is None


def test_a_list_or_an_object_is_no_text(tmp_path: Path) -> None:
    file = json_file(tmp_path, {"body": "b", "byline": ["A. Cole"]}, {"body": "b", "byline": {"name": "A. Cole"}})
    assert problems(of_json(file)) == [(1, "invalid_record"), (2, "invalid_record")]
    assert all("byline: is" in item.error for item in of_json(file) if isinstance(item, Unusable))
    assert [each.byline for each in articles(of_json(file, map=["byline=byline.0"]))] == ["A. Cole", None]


def test_subjects_are_a_list_or_a_text_with_separators(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "body,subjects\nx,ports; ferries ;\ny,\n")
    assert [article.subjects for article in articles(of_csv(file))] == [("ports", "ferries"), ()]
    file = csv_file(tmp_path, "body,subjects\nx,ports|ferries;boats\n")
    assert [each.subjects for each in articles(of_csv(file, list_separator="|", delimiter=","))] == [
        ("ports", "ferries;boats")
    ]
    records = [{"body": "x", "subjects": ["a; b", 4, ""]}, {"body": "y", "subjects": []}]
    assert [each.subjects for each in articles(of_json(json_file(tmp_path, *records)))] == [("a; b", "4"), ()]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"map": ["hedline=title"]}, "'hedline' is no field"),
        ({"map": ["extra.=title"]}, "'extra.' is no field"),
        ({"map": ["headline"]}, "write it as FIELD="),
        ({"map": ["headline=a", "headline=b"]}, "headline is given twice"),
        ({"map": ["headline=a"], "set": ["headline=b"]}, "headline is given by --map and by --set"),
        ({"set": ["pages=4"]}, "'pages' is no field"),
        ({"set": ["language=in English"]}, "set: language"),
        ({"set": ["published=yesterday"]}, "published: must be an ISO 8601 text"),
        ({"set": ["body=a", "html=b"]}, "exactly one of body and html"),
        ({"time_format": "%Q"}, "no format for strptime"),
        ({"time_zone": "Europe/Atlantis"}, "no time zone"),
        ({"time_zone": "../../etc/passwd"}, "no time zone"),
        ({"list_separator": ""}, "at least 1 character"),
        ({"paths": []}, "at least 1 item"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_read(given: dict[str, Any], told: str) -> None:
    for source in (Csv, JsonLines):
        with pytest.raises(ValidationError, match=told.replace(".", r"\.")):
            source.model_validate({"paths": ["absent"], **given})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"delimiter": "::"}, "must be one character"),
        ({"delimiter": "\n"}, "must be one character"),
        ({"delimiter": "|", "quote": "|"}, "two of them are the same"),
        ({"escape": '"'}, "two of them are the same"),
        ({"encoding": "utf-16"}, "save the file as UTF-8"),
        ({"encoding": "base64"}, "is no encoding"),
        ({"encoding": "elvish"}, "is no encoding"),
    ],
)
def test_a_wrong_form_is_told_before_anything_is_read(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Csv.model_validate({"paths": ["absent"], **given})


def test_a_column_that_no_header_has_stops_its_file(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "title,text\nFerry sails,The ferry sails.\n")
    error = trouble(of_csv(file, map=["headline=titel", "body=text"]))
    assert error == "there is no column 'titel'; there are 'title', 'text'"


def test_a_file_without_a_publisher_or_a_text_is_not_begun(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "title,text\nFerry sails,The ferry sails.\n")
    assert "no column is the publisher" in trouble(of_csv(file, set=[], map=["body=text"]))
    assert "no column is the body or html" in trouble(of_csv(file))


def test_two_columns_of_one_name_are_no_address(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "body,desk,desk\nThe ferry sails.,a,b\n")
    assert len(articles(of_csv(file))) == 1
    assert "two columns 'desk'" in trouble(of_csv(file, extra=True))
    assert "two columns 'desk'" in trouble(of_csv(file, map=["byline=desk"]))


@pytest.mark.parametrize("records", [3, UNSEEN_RECORDS + 5])
def test_a_path_that_no_record_has_is_told_once(tmp_path: Path, records: int) -> None:
    file = json_file(tmp_path, *({"body": f"Text {number}.", "title": "t"} for number in range(records)))
    with structlog.testing.capture_logs() as logs:
        assert len(ids(of_json(file, map=["headline=titel", "byline=title"]))) == records
    assert [each["paths"] for each in logs] == [{"headline": "titel"}]
    assert logs[0]["records"] == min(records, UNSEEN_RECORDS)


# ---------------------------------------------------------------- times and revisions


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("2026-01-31T08:00:00Z", {}, "2026-01-31T08:00:00+00:00"),
        (
            "2026-01-31 08:00",
            {},
            "2026-01-31T08:00:00",
        ),  # without a zone: the pipeline takes it as UTC, and says so
        ("2026-01-31 08:00", {"time_zone": "Asia/Tokyo"}, "2026-01-31T08:00:00+09:00"),
        ("2026-01-31T08:00:00Z", {"time_zone": "Asia/Tokyo"}, "2026-01-31T08:00:00+00:00"),
        ("20260131", {}, "2026-01-31T00:00:00"),
        ("31.01.2026 08:00", {"time_format": "%d.%m.%Y %H:%M"}, "2026-01-31T08:00:00"),
        ("1769846400", {"time_format": "unix"}, "2026-01-31T08:00:00+00:00"),
        ("1769846400500", {"time_format": "unix-ms"}, "2026-01-31T08:00:00.500000+00:00"),
        ("-86400", {"time_format": "unix"}, "1969-12-31T00:00:00+00:00"),
    ],
)
def test_times(tmp_path: Path, text: str, given: dict[str, Any], expected: str) -> None:
    for items in (
        of_csv(csv_file(tmp_path, f"body,published\nThe ferry sails.,{text}\n"), **given),
        of_json(json_file(tmp_path, {"body": "The ferry sails.", "published": text}), **given),
    ):
        (article,) = articles(items)
        assert article.published is not None
        assert article.published.isoformat() == expected


@pytest.mark.parametrize(
    ("value", "given"),
    [
        ("31.01.2026", {}),
        ("1612121212345", {}),  # else the 12th of December 1612
        (1769846400, {}),
        ("0001-01-01T00:00:00+14:00", {}),
        ("2026-01-31", {"time_format": "%d.%m.%Y"}),
        ("2026-01-31", {"time_format": "unix"}),
        ("nan", {"time_format": "unix"}),
        (1e300, {"time_format": "unix-ms"}),
        (["2026-01-31"], {"time_format": "unix"}),
    ],
)
def test_what_is_no_time_of_that_form_is_refused(tmp_path: Path, value: object, given: dict[str, Any]) -> None:
    file = json_file(tmp_path, {"body": "The ferry sails.", "published": value})
    (item, _) = of_json(file, **given)
    assert isinstance(item, Unusable)
    assert item.error.startswith("published: ")
    assert item.reason == "invalid_record"


def test_the_revision_is_the_time_of_the_last_change(tmp_path: Path) -> None:
    rows = "1,2026-01-31T08:00:00Z,2026-01-31T09:00:00.25Z\n2,2026-01-31T08:00,\n3,1950-01-01,\n4,,\n"
    file = csv_file(tmp_path, "body,published,modified\n" + rows)
    assert [each.revision for each in articles(of_csv(file))] == [1769850000250, 1769846400000, 0, None]
    assert [each.revision for each in articles(of_csv(file, live=True))] == [None] * 4
    (zoned, *_) = articles(of_csv(csv_file(tmp_path, "body,published\n1,2026-01-31\n"), time_zone="Asia/Tokyo"))
    assert zoned.revision == 1769785200000


def test_a_stated_revision_stays(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "body,published,rev\nx,2026-01-31,7\ny,2026-01-31,seven\n")
    items = of_csv(file, map=["revision=rev"], live=True)
    assert [item.article.revision for item in items if isinstance(item, Found)] == [7]
    assert problems(items) == [(3, "invalid_record")]


# ---------------------------------------------------------------- CSV


def test_rows_may_have_lines_quotes_and_delimiters_in_them(tmp_path: Path) -> None:
    file = csv_file(tmp_path, 'id,body\r\n1,"One, ""two"",\r\n\r\nthree."\r\n\r\n2,Four.\r\n')
    items = of_csv(file)
    assert [each.body for each in articles(items)] == ['One, "two",\r\n\r\nthree.', "Four."]
    assert [item.origin for item in items if isinstance(item, Found)] == [f"{file}:2", f"{file}:6"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_from_the_header(tmp_path: Path, delimiter: str) -> None:
    others = "".join(other * 3 for other in ",;\t|" if other != delimiter)
    text = f'id~"head{others}line"~body\n1~"A, b; c | d"~"e, f; g | h~"\n'.replace("~", delimiter)
    (article,) = articles(of_csv(csv_file(tmp_path, text)))
    assert (article.id, article.body) == ("1", f"e, f; g | h{delimiter}")


def test_one_column_has_no_delimiter(tmp_path: Path) -> None:
    file = csv_file(tmp_path, 'body\n"The ferry, at last, sails."\nIt rains; the ferry waits.\n')
    assert [each.body for each in articles(of_csv(file))] == [
        "The ferry, at last, sails.",
        "It rains; the ferry waits.",
    ]


def test_stated_signs(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "id\tbody\n1\t'He said \\'sail\\', and\\\\or waited.'\n")
    (article,) = articles(of_csv(file, delimiter="tab", quote="'", escape="\\"))
    assert article.body == "He said 'sail', and\\or waited."
    file = csv_file(tmp_path, 'id~body\n1~"Sail" he said, 5" of it.\n')
    assert [each.body for each in articles(of_csv(file, delimiter="~", quote=""))] == ['"Sail" he said, 5" of it.']


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    for quoted in ("body", '"body"'):
        assert len(articles(of_csv(csv_file(tmp_path, f"\ufeff{quoted},id\nThe ferry sails.,1\n")))) == 1


def test_a_row_in_another_encoding_holds_up_no_other(tmp_path: Path) -> None:
    file = csv_file(tmp_path, b'id,body\n1,Caf\xe9\n2,"Caf\xc3\xa9\nand \xe9\nopen"\n3,Tea\n')
    items = of_csv(file)
    assert problems(items) == [(2, "not_utf8"), (3, "not_utf8")]
    assert ids(items) == ["3"]
    assert "line 4 is not utf-8" in [item.error for item in items if isinstance(item, Unusable)][1]
    latin = csv_file(tmp_path, "id,body\n1,Café\n".encode("cp1252"))
    assert [each.body for each in articles(of_csv(latin, encoding="CP1252"))] == ["Café"]
    assert problems(of_csv(csv_file(tmp_path, b"body\n\x81\n"), encoding="cp1252")) == [(2, "not_cp1252")]


@pytest.mark.parametrize("encoding", ["shift_jis", "gb18030", "big5", "koi8-r", "idna"])
def test_other_encodings_with_ascii_beneath(tmp_path: Path, encoding: str) -> None:
    for data in (b"id,body\n1,x\n2,\xff\xff\xff\x81\n3,y\n", b'id,body\n1,x\n2,"\x95\x5c\n\xff"\n3,y\n'):
        items = of_csv(csv_file(tmp_path, data), encoding=encoding)
        assert ids(items)[0] == "1"
        assert ids(items)[-1] == "3"


def test_ragged_rows_name_their_line_and_count(tmp_path: Path) -> None:
    items = of_csv(csv_file(tmp_path, "id,body\n1\n2,x,y\n3,z\n"))
    assert problems(items) == [(2, "ragged"), (3, "ragged")]
    assert "it has 3 cells, and the header 2" in [item.error for item in items if isinstance(item, Unusable)]
    assert ids(items) == ["3"]


def test_empty_rows_are_passed_over(tmp_path: Path) -> None:
    items = of_csv(csv_file(tmp_path, "id,body\n\n,\n \r\n1,x\n , \n"))
    assert [item.reason for item in items if isinstance(item, Skipped)] == ["empty", "empty"]
    assert problems(items) == [(4, "ragged")]
    assert ids(items) == ["1"]


def test_a_row_with_a_nul_is_refused(tmp_path: Path) -> None:
    items = of_csv(csv_file(tmp_path, b"id,body\n1,a\0b\n2,x\n"))
    assert problems(items) == [(2, "nul")]
    assert ids(items) == ["2"]


def test_a_quote_that_is_never_closed_swallows_no_row(tmp_path: Path) -> None:
    """To the end of the file, and up to each of the two caps."""
    rows = "".join(f"{number},Text {number}.\n" for number in range(2, 40))
    file = csv_file(tmp_path, 'id,body\n1,"Open.\n' + rows)
    expected = [str(number) for number in range(2, 40)]
    for caps, reason in (
        ({}, "unclosed_quote"),
        ({"max_row_lines": 5}, "too_large"),
        ({"max_record_bytes": 100}, "too_large"),
    ):
        items = of_csv(file, **caps)
        assert problems(items) == [(2, reason)]
        assert ids(items) == expected


def test_a_stray_quote_costs_its_own_lines_only(tmp_path: Path) -> None:
    file = csv_file(
        tmp_path, 'id,body,desk\n1,"He said "sail", and\nwent,x\n2,"Closed.",x\n3,"Open\n4,"Text",x\n5,y,x\n'
    )
    items = of_csv(file)
    assert ids(items) == ["2", "4", "5"]
    assert [line for line, _ in problems(items)] == [2, 3, 5]


def test_rows_behind_a_quote_that_closes_too_late_are_read(tmp_path: Path) -> None:
    """The quote of row 1 is closed by one of row 2: together they would be one row of too many cells."""
    file = csv_file(tmp_path, 'id,body\n1,"Open\n2,"",a\n3,x\n')
    items = of_csv(file)
    assert problems(items)[0] == (2, "unclosed_quote")
    assert ids(items) == ["3"]


def test_a_row_of_its_own_length_is_read_to_the_byte(tmp_path: Path) -> None:
    row = f"1,{'x' * 97}\n"
    for cap, expected in ((len(row), ["1", "2"]), (len(row) - 1, ["2"])):
        items = of_csv(csv_file(tmp_path, f"id,body\n{row}2,y\n"), max_record_bytes=cap)
        assert ids(items) == expected


def test_the_csv_modules_own_limit_is_not_in_the_way(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    try:
        body = "x" * (before + 10)
        assert [each.body for each in articles(of_csv(csv_file(tmp_path, f"body\n{body}\n")))] == [body]
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b'"id,body\n1,x\n', "its quote is not closed"),
        (b"id,b\xffdy\n1,x\n", "no column is the body"),
        (b"\n1,x\n", ""),
    ],
)
def test_a_header_that_is_none_stops_its_file(tmp_path: Path, header: bytes, told: str) -> None:
    assert told in trouble(of_csv(csv_file(tmp_path, header)))


def test_a_header_longer_than_the_cap_stops_its_file(tmp_path: Path) -> None:
    assert "line 1" in trouble(of_csv(csv_file(tmp_path, f"{'x' * 500},body\n1,y\n"), max_record_bytes=100))


def test_an_error_is_text_whatever_the_columns_are_called(tmp_path: Path) -> None:
    file = csv_file(tmp_path, b"body,\\ud800\nThe ferry sails.,x\n")
    items = of_csv(file, encoding="raw_unicode_escape", extra=True)
    assert problems(items) == [(2, "invalid_record")]
    assert [item.error.encode()[:6] for item in items if isinstance(item, Unusable)] == [b"extra."]


def test_an_empty_file_has_nothing_to_say(tmp_path: Path) -> None:
    assert of_csv(csv_file(tmp_path, "")) == [Reached(str(tmp_path / "archive.csv"))]
    assert of_json(csv_file(tmp_path, "", "archive.jsonl")) == [Reached(str(tmp_path / "archive.jsonl"))]


# ---------------------------------------------------------------- JSON lines

DEEP = 10_000

HOSTILE: list[tuple[bytes, str]] = [
    (b'{"body": ' + b"[" * DEEP + b"]" * DEEP + b"}", "too_deep"),
    (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "too_deep"),
    (b'{"body": "x", "pages": NaN}', "invalid_json"),
    (b'{"body": "x", "pages": -Infinity}', "invalid_json"),
    (b'{"body": "x", "pages": 1e999}', "invalid_json"),
    (b'{"body": "x", "pages": ' + b"9" * 10_000 + b"}", "invalid_json"),
    (b'{"body": "x", "desk": {"a": 1, "a": 2}}', "invalid_record"),
    (b'{"body": "x", "body": "y"}', "invalid_record"),
    (b'{"body": "x \\ud800"}', "invalid_json"),
    (b'{"body": "x", "\\uDFFF": 1}', "invalid_json"),
    (b'{"body": "x \xed\xa0\x80"}', "not_utf8"),
    (b'{"body": "\xff"}', "not_utf8"),
    (b'{"body": "x"', "invalid_json"),
    (b'{"body": "x"} {"body": "y"}', "invalid_json"),
    (b'{"body": "x\ty"}', "invalid_json"),
    (b'"x"', "invalid_record"),
    (b"null", "invalid_record"),
    (b"[]", "invalid_record"),
    (b"{}", "invalid_record"),
    (b'{"body": "x", "url": "ftp://p.example/"}', "invalid_record"),
    (b'{"body": "x", "id": "\\u0000"}', "invalid_record"),
]


@pytest.mark.parametrize(("line", "reason"), HOSTILE)
def test_a_hostile_line_is_refused_with_its_number(tmp_path: Path, line: bytes, reason: str) -> None:
    file = csv_file(tmp_path, b'{"id": "1", "body": "x"}\n\n' + line + b'\n{"id": "2", "body": "y"}', "a.jsonl")
    items = of_json(file, extra=True)
    assert problems(items) == [(3, reason)]
    assert ids(items) == ["1", "2"]


def test_one_key_twice_is_found_among_very_many() -> None:
    """Comparing each key with all others would take minutes: the test would run into its limit of time."""
    keys = ",".join(f'"{number}":1' for number in range(100_000))
    with pytest.raises(ValueError, match="99999: the field is given twice"):
        read_json(f'{{{keys},"99999":1}}'.encode())


def test_surrogate_pairs_are_text(tmp_path: Path) -> None:
    file = csv_file(tmp_path, b'{"body": "\\ud83d\\ude00"}\n', "a.jsonl")
    assert [each.body for each in articles(of_json(file))] == ["😀"]


def test_a_long_line_is_refused_and_never_in_memory(tmp_path: Path) -> None:
    long = b'{"body": "' + b"x" * 5_000_000 + b'"}\n'
    file = csv_file(tmp_path, b'{"id": "1", "body": "x"}\n' + long + b'{"id": "2", "body": "y"}\n', "a.jsonl")
    source = JsonLines(paths=[file], set=[PUBLISHER], max_record_bytes=100_000)
    tracemalloc.start()
    items = read(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert problems(items) == [(2, "too_large")]
    assert ids(items) == ["1", "2"]
    assert peak < 1_000_000


# ---------------------------------------------------------------- files, and where they were left


def test_folders_and_files_given_twice(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first = csv_file(tmp_path, "id,body\n1,x\n", "A.CSV")
    csv_file(tmp_path / "b", "id\tbody\n2\tx\n", "c.tsv")
    (tmp_path / "b" / "d.csv.gz").write_bytes(gzip.compress(b"id,body\n3,x\n"))
    csv_file(tmp_path, "no table", "readme.txt")
    items = read(Csv(paths=[tmp_path, first], set=[PUBLISHER]))
    assert ids(items) == ["1", "2", "3"]
    assert {item.part for item in items} == {str(tmp_path / name) for name in ("A.CSV", "b/c.tsv", "b/d.csv.gz")}


def test_an_absent_file_holds_up_no_other(tmp_path: Path) -> None:
    items = read(Csv(paths=[tmp_path / "absent.csv", csv_file(tmp_path, "id,body\n1,x\n")], set=[PUBLISHER]))
    assert isinstance(items[0], Trouble)
    assert ids(items) == ["1"]


def test_a_file_whose_name_is_no_text(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl"))
    file.write_bytes(b'{"id": "1", "body": "x"}\nno\n')
    items = of_json(file)
    assert [getattr(item, "origin", item.part) for item in items] == [
        f"{tmp_path}/caf\\xe9.jsonl{line}" for line in (":1", ":2", "")
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("at", [0, 3, 9])
def test_a_second_run_goes_on_where_the_first_was_killed(tmp_path: Path, name: str, at: int) -> None:
    data = b"".join(b'{"id": "%d", "body": "Text %d."}\n' % (number, number) for number in range(10))
    file = csv_file(tmp_path, gzip.compress(data) if name.endswith("gz") else data, name)
    first = of_json(file)
    source = JsonLines(paths=[file], set=[PUBLISHER])
    again = read(source, reached(first[: at + 1]))
    assert ids(again) == [str(number) for number in range(at + 1, 10)]
    assert [item.origin for item in again if isinstance(item, Found)] == [
        item.origin for item in first[at + 1 :] if isinstance(item, Found)
    ]
    assert read(source, reached(first)) == [Reached(str(file))]


def test_csv_goes_on_with_its_header(tmp_path: Path) -> None:
    file = csv_file(tmp_path, 'id,body\n1,"x\ny"\n2,z\n')
    first = of_csv(file)
    source = Csv(paths=[file], set=[PUBLISHER])
    again = read(source, reached(first[:1]))
    assert [item.origin for item in again if isinstance(item, Found)] == [f"{file}:4"]
    with file.open("a") as stream:
        stream.write("3,w\n4\n")
    more = read(source, reached(first))
    assert ids(more) == ["3"]
    assert problems(more) == [(6, "ragged")]


def lines_of(*numbers: int) -> bytes:
    return b"".join(b'{"id": "%d", "body": "Text %04d."}\n' % (number, number) for number in numbers)


@pytest.mark.parametrize(
    "other",
    [
        lines_of(*range(900, 999)),  # another file
        lines_of(*range(4)),  # a shorter one
        lines_of(900, *range(1, 60)),  # another beginning
        lines_of(*range(49), 900, *range(50, 60)),  # another end of what was read
        b"",
    ],
)
def test_a_file_that_was_replaced_is_read_from_its_beginning(tmp_path: Path, other: bytes) -> None:
    assert len(lines_of(*range(50))) > EDGE
    file = csv_file(tmp_path, lines_of(*range(50)), "a.jsonl")
    checkpoints = reached(of_json(file))
    file.write_bytes(other)
    again = read(JsonLines(paths=[file], set=[PUBLISHER]), checkpoints)
    assert ids(again) == ids(of_json(file))


def test_a_copy_of_the_file_is_no_other(tmp_path: Path) -> None:
    file = csv_file(tmp_path, lines_of(*range(50)), "a.jsonl")
    checkpoints = reached(of_json(file))
    file.unlink()
    csv_file(tmp_path, lines_of(*range(52)), "a.jsonl")
    assert ids(read(JsonLines(paths=[file], set=[PUBLISHER]), checkpoints)) == ["50", "51"]


@pytest.mark.parametrize("checkpoint", ["", "x", "7", "[1, 2]", "{}", '["a", 0, "", "", null]'])
def test_a_checkpoint_that_is_none_begins_anew(tmp_path: Path, checkpoint: str) -> None:
    file = csv_file(tmp_path, lines_of(0, 1), "a.jsonl")
    assert ids(read(JsonLines(paths=[file], set=[PUBLISHER]), {str(file): checkpoint})) == ["0", "1"]


# ---------------------------------------------------------------- files that grow


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_last_line_without_its_end_is_read_once(tmp_path: Path, ending: bytes) -> None:
    file = csv_file(tmp_path, b'{"id": "1", "body": "x"}', "a.jsonl")
    source = JsonLines(paths=[file], set=[PUBLISHER])
    first = read(source)
    assert ids(first) == ["1"]
    assert read(source, reached(first)) == [Reached(str(file))]
    file.write_bytes(file.read_bytes() + ending + b'{"id": "2", "body": "y"}\n')
    assert [item.origin for item in read(source, reached(first)) if isinstance(item, Found)] == [f"{file}:2"]


def test_a_last_row_that_was_cut_off_is_read_again_as_a_whole(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "id,body\n1,x\n2,The fer")
    source = Csv(paths=[file], set=[PUBLISHER])
    first = read(source)
    assert [each.body for each in articles(first)] == ["x", "The fer"]
    with file.open("a") as stream:
        stream.write("ry sails.\n3,y\n")
    again = read(source, reached(first))
    assert [(each.id, each.body) for each in articles(again)] == [("2", "The ferry sails."), ("3", "y")]
    assert [item.origin for item in again if isinstance(item, Found)] == [f"{file}:3", f"{file}:4"]


@pytest.mark.parametrize("tail", ["2,The fer", '2,"The ferry\nsails', '2,"The ferry\n'])
def test_while_following_an_unfinished_last_row_waits(tmp_path: Path, tail: str) -> None:
    file = csv_file(tmp_path, "id,body\n1,x\n" + tail)
    source = Csv(paths=[file], set=[PUBLISHER])
    first = read(source, follow=True)
    assert ids(first) == ["1"]
    assert problems(first) == []
    whole = "id,body\n1,x\n" + tail + ('"\n' if '"' in tail else "ry.\n")
    file.write_text(whole)
    assert ids(read(source, reached(first), follow=True)) == ["2"]


def test_while_following_a_file_that_is_left_alone_waits_for_nothing(tmp_path: Path) -> None:
    """Else one open quote would hold up all rows behind it."""
    file = csv_file(tmp_path, 'id,body\n1,"x\n2,y\n3,z')
    source = Csv(paths=[file], set=[PUBLISHER])
    assert ids(read(source, follow=True)) == []
    os.utime(file, (OLD, OLD))
    items = read(source, follow=True)
    assert problems(items) == [(2, "unclosed_quote")]
    assert ids(items) == ["2", "3"]


def test_while_following_json_lines(tmp_path: Path) -> None:
    file = csv_file(tmp_path, lines_of(1, 2) + b'{"id": "3", "bo', "a.jsonl")
    source = JsonLines(paths=[file], set=[PUBLISHER])
    first = read(source, follow=True)
    assert ids(first) == ["1", "2"]
    assert problems(first) == []
    file.write_bytes(lines_of(1, 2, 3, 4))
    second = read(source, reached(first), follow=True)
    assert ids(second) == ["3", "4"]
    assert read(source, reached(second), follow=True) == [Reached(str(file))]


def test_while_following_a_file_without_a_header_waits(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "id,bo")
    source = Csv(paths=[file], set=[PUBLISHER])
    assert read(source, follow=True) == [Reached(str(file))]


# ---------------------------------------------------------------- .gz


def test_a_gz_file_that_grows_is_read_on(tmp_path: Path) -> None:
    file = csv_file(tmp_path, gzip.compress(lines_of(1, 2)), "a.jsonl.gz")
    source = JsonLines(paths=[file], set=[PUBLISHER])
    first = read(source)
    file.write_bytes(file.read_bytes() + gzip.compress(lines_of(3)))
    assert ids(read(source, reached(first))) == ["3"]


@pytest.mark.parametrize("cut", [-1, -9, -40])
def test_a_gz_file_that_is_cut_off_is_trouble_behind_what_it_has(tmp_path: Path, cut: int) -> None:
    data = gzip.compress(
        b"".join(lines_of(number) + os.urandom(40).hex().encode() + b"\n" for number in range(3000))
    )
    file = csv_file(tmp_path, data[:cut], "a.jsonl.gz")
    items = of_json(file)
    assert ids(items)[:100] == [str(number) for number in range(100)]
    assert isinstance(items[-1], Trouble)
    assert "cannot be read behind line" in items[-1].error
    file.write_bytes(data)
    again = read(JsonLines(paths=[file], set=[PUBLISHER]), reached(items))
    assert len(ids(items)) + len(ids(again)) == 3000


# Named after their bytes: not with the time of day in them, which would name them otherwise in each process.
CUT = gzip.compress(b"x", mtime=0)[:4]
DAMAGED = gzip.compress(b"x" * 100, mtime=0)[:10] + b"\xff" * 20
"""A header, and what no packer writes behind it."""


@pytest.mark.parametrize("data", [b"no gzip", b"\x1f\x8b\x08garbage after that", CUT, DAMAGED])
def test_what_is_no_gz_file_is_trouble(tmp_path: Path, data: bytes) -> None:
    assert "cannot be read" in trouble(of_json(csv_file(tmp_path, data, "a.jsonl.gz")))


def test_a_line_that_unpacks_to_much_is_refused_and_never_in_memory(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as stream:
        for _ in range(50):
            stream.write(b"x" * 1_000_000)
        stream.write(b"\n" + lines_of(2))
    file = csv_file(tmp_path, packed.getvalue(), "a.jsonl.gz")
    source = JsonLines(paths=[file], set=[PUBLISHER], max_record_bytes=100_000)
    tracemalloc.start()
    items = read(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert problems(items) == [(1, "too_large")]
    assert ids(items) == ["2"]
    assert peak < 2_000_000


# ---------------------------------------------------------------- the run


def test_how_far_it_is_is_told_in_bytes(tmp_path: Path) -> None:
    first = csv_file(tmp_path, "id,body\n1,x\n2,y\n", "a.csv")
    second = csv_file(tmp_path, "id,body\n3,z\n", "b.csv")
    run = Run()
    source = Csv(paths=[first, second], set=[PUBLISHER])
    seen = [(run.done, run.total) for item in source.articles(run) if isinstance(item, Found)]
    assert seen == [(12, 28), (16, 28), (28, 28)]


def test_a_run_that_ends_leaves_a_long_line(tmp_path: Path) -> None:
    """It is not read to its end, and the next run begins it anew."""
    data = lines_of(1) + b"x" * 300_000 + b"\n" + lines_of(2)
    file = csv_file(tmp_path, data, "a.jsonl")
    source = JsonLines(paths=[file], set=[PUBLISHER], max_record_bytes=1000)
    stopped = list(source.articles(Run(stopping=lambda: True)))
    again = read(source, reached(stopped[:2]))
    assert problems(again) == [(2, "too_large")]
    assert ids(again) == ["2"]


# ---------------------------------------------------------------- whatever the bytes

SOME = (
    b"id,body\n",
    b'1,"',
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b",",
    b"x",
    b"\xff",
    b"\xef\xbb\xbf",
    b'{"body":',
    b"}",
    b"[1]",
)
MORE = (
    b'"\\ud800"',
    b"1e999",
    b"NaN",
    b'{"body": "x"}\n',
    b"\x1f\x8b\x08\x00",
    gzip.compress(b"id,body\n1,x\n", mtime=0),
)

PIECES = st.lists(
    st.sampled_from(SOME + MORE) | st.binary(max_size=8),
    max_size=30,
).map(b"".join)

SHARED_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@SHARED_FIXTURES
@given(data=PIECES, follow=st.booleans(), name=st.sampled_from(["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz"]))
def test_it_never_raises_whatever_the_bytes(tmp_path: Path, data: bytes, follow: bool, name: str) -> None:
    file = csv_file(tmp_path, data, name)
    source = (Csv if "csv" in name else JsonLines)(
        paths=[file], set=[PUBLISHER], extra=True, max_record_bytes=40, settle_seconds=60
    )
    items = read(source, follow=follow)
    json.dumps([getattr(item, "error", "") for item in items], ensure_ascii=False).encode()
    # Wherever it is killed, the next run goes on behind what came to its end.
    for at in range(len(items)):
        again = read(source, reached(items[: at + 1]), follow=follow)
        assert [item for item in again if isinstance(item, Found | Unusable | Skipped)][-1:] in (
            [],
            [item for item in items if isinstance(item, Found | Unusable | Skipped)][-1:],
        )


@SHARED_FIXTURES
@given(
    rows=st.lists(st.tuples(st.text(string.printable, max_size=30), st.text(max_size=30)), min_size=1, max_size=8)
)
def test_whatever_the_csv_module_writes_is_read(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    rows = [
        (first.replace("\0", ""), second.replace("\0", "").encode("utf-8", "replace").decode())
        for first, second in rows
    ]
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(("note", "body"))
    writer.writerows(rows)
    items = of_csv(csv_file(tmp_path, text.getvalue()), map=["extra.note=note"])
    assert [item for item in items if isinstance(item, Trouble)] == []
    expected = [second for first, second in rows if second.strip()]
    assert [item.article.body for item in items if isinstance(item, Found)] == expected


def test_an_open_quote_in_every_line_ends(tmp_path: Path) -> None:
    """Each line opens a quote that those behind it leave open: the cap on lines bounds what each one costs."""
    file = csv_file(tmp_path, "id,body\n" + 'a""","z\n' * 3000)
    assert problems(of_csv(file, max_row_lines=100)) == [
        (number, "too_large" if number < 2902 else "unclosed_quote") for number in range(2, 3002)
    ]
