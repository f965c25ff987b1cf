from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.article import RawArticle
from schemas.reading import Refused
from services.producer.core import Found, Item, Reached, Skipped, Trouble, Unusable
from services.producer.plugins import check_source
from services.producer.source import Run
from services.producer.sources.ninjs import Ninjs, article_of

TWO: dict[str, Any] = {
    "uri": "urn:newsml:harbour-agency.example:20260131:ferry",
    "standard": {"name": "ninjs", "version": "2.1"},
    "type": "text",
    "firstcreated": "2026-01-31T08:00:00+01:00",
    "versioncreated": "2026-01-31T09:30:00.25Z",
    "contentcreated": "2026-01-30T08:00:00Z",
    "pubstatus": "usable",
    "urgency": 4,
    "copyrightholder": "Harbour Agency",
    "copyrightnotice": "© 2026 Harbour Agency",
    "usageterms": "Not for broadcast.",
    "ednote": "Adds the captain.",
    "embargoed": "2026-01-31T10:00:00Z",
    "language": "en-GB",
    "slugline": "ferry-sails",
    "by": "Ann Cole",
    "headlines": [
        {"role": "short", "value": "Ferry"},
        {"role": "main", "contenttype": "text/plain", "value": "Ferry sails again"},
    ],
    "descriptions": [{"role": "caption", "value": "A ferry."}, {"role": "summary", "value": "It sails at eight."}],
    "bodies": [
        {"role": "main", "contenttype": "text/plain", "value": "The ferry sails. At eight."},
        {"role": "html5", "contenttype": "text/html", "value": "<p>The ferry sails.</p><p>At eight.</p>"},
        {"role": "nitf", "contenttype": "application/nitf+xml", "value": "<nitf/>"},
    ],
    "subjects": [
        {"name": "Ports", "uri": "http://codes.example/1"},
        {"literal": "04011000"},
        {"name": "Ports"},
        {},
    ],
    "genres": [{"name": "Analysis"}, {"literal": "BG"}],
    "infosources": [
        {"role": "http://codes.example/role/originator", "name": "Coast Guard"},
        {"role": "isrol:publisher", "name": "Harbour Agency", "uri": "http://agency.example/"},
    ],
    "people": [{"name": "Ann Cole", "rel": "about"}],
}

CAMEL = {
    "firstcreated": "firstCreated",
    "versioncreated": "versionCreated",
    "contentcreated": "contentCreated",
    "pubstatus": "pubStatus",
    "copyrightholder": "copyrightHolder",
    "copyrightnotice": "copyrightNotice",
    "usageterms": "usageTerms",
    "ednote": "edNote",
    "embargoed": "embargoedUntil",
    "infosources": "infoSources",
    "contenttype": "contentType",
}


def in_camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {CAMEL.get(name, name): in_camel_case(each) for name, each in value.items()}
    return [in_camel_case(each) for each in value] if isinstance(value, list) else value


THREE: dict[str, Any] = {**in_camel_case(TWO), "standard": {"name": "ninjs", "version": "3.1"}}


def two(**other: Any) -> dict[str, Any]:
    """A document of version 2; a field that is None is left out."""
    return {name: value for name, value in (TWO | other).items() if value is not None}


def article(document: dict[str, Any], publisher: str | None = None) -> RawArticle:
    made = article_of(document, publisher)
    assert isinstance(made, RawArticle)
    return made


def error_of(document: dict[str, Any], publisher: str | None = None) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        article_of(document, publisher)
    return refused.value.reason, refused.value.error


def write(file: Path, found: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(found if isinstance(found, bytes) else json.dumps(found).encode())
    return file


def read(*paths: Path, checkpoints: dict[str, str] | None = None, follow: bool = False, **given: Any) -> list[Item]:
    return list(Ninjs(paths=list(paths), **given).articles(Run(checkpoints=checkpoints or {}, follow=follow)))


def reached(items: list[Item]) -> dict[str, str]:
    return {
        item.part: item.checkpoint
        for item in items
        if not isinstance(item, Trouble) and item.checkpoint is not None
    }


def ids(items: list[Item]) -> list[str | None]:
    return [item.article.id for item in items if isinstance(item, Found)]


def problems(items: list[Item]) -> list[tuple[str, str]]:
    return [(Path(item.origin).name, item.reason) for item in items if isinstance(item, Unusable)]


def test_it_is_a_source() -> None:
    assert check_source(Ninjs) == []


# ---------------------------------------------------------------- fields


@pytest.mark.parametrize("document", [TWO, THREE], ids=["2", "3"])
def test_both_versions_make_the_same_article(document: dict[str, Any]) -> None:
    assert article(document) == RawArticle.model_validate(
        {
            "publisher": "Harbour Agency",
            "id": "urn:newsml:harbour-agency.example:20260131:ferry",
            "html": "<p>The ferry sails.</p><p>At eight.</p>",
            "headline": "Ferry sails again",
            "summary": "It sails at eight.",
            "byline": "Ann Cole",
            "published": "2026-01-31T08:00:00+01:00",
            "modified": "2026-01-31T09:30:00.25Z",
            "language": "en-GB",
            "subjects": ("Ports", "04011000"),
            "copyright_notice": "© 2026 Harbour Agency",
            "revision": 1769851800250,
            "extra": {
                "urgency": "4",
                "slugline": "ferry-sails",
                "ed_note": "Adds the captain.",
                "pub_status": "usable",
                "usage_terms": "Not for broadcast.",
                "copyright_holder": "Harbour Agency",
                "embargoed_until": "2026-01-31T10:00:00Z",
                "genre": "Analysis; BG",
            },
        }
    )


def test_the_least_that_a_document_has() -> None:
    made = article({"uri": "a:1", "bodies": [{"value": "The ferry sails."}]}, "harbour-post.example")
    assert made == RawArticle(publisher="harbour-post.example", id="a:1", body="The ferry sails.")


def test_an_http_uri_is_the_url_too() -> None:
    made = article(two(uri="https://agency.example/ferry"))
    assert (made.id, made.url) == ("https://agency.example/ferry", "https://agency.example/ferry")
    for uri in ("http://[broken/", "https://", "http://a.example:99999/"):
        made = article(two(uri=uri))
        assert (made.id, made.url) == (uri, None)


def test_else_the_url_is_that_of_an_html_rendition() -> None:
    renditions = [
        {"name": "picture", "contenttype": "image/jpeg", "href": "https://agency.example/ferry.jpg"},
        {"name": "feed", "contenttype": "text/html", "href": "ftp://agency.example/ferry"},
        {"name": "web", "contenttype": "text/html", "href": "https://agency.example/ferry"},
    ]
    assert article(two(renditions=renditions)).url == "https://agency.example/ferry"


def test_html_is_told_by_media_type_role_and_looks() -> None:
    for entry in (
        {"contenttype": "application/xhtml+xml", "value": "<p>Text.</p>"},
        {"contenttype": "text/html; charset=utf-8", "value": "Text."},
        {"role": "html5", "value": "Text."},
        {"value": " <p>Text.</p>"},
    ):
        made = article(two(bodies=[entry]))
        assert (made.html, made.body) == (entry["value"], None)
    for entry in (
        {"contenttype": "text/plain", "value": "<p>Text.</p>"},
        {"contenttype": "text/plain", "role": "html", "value": "Text."},
        {"value": "5 < 6, and </ is no tag."},
    ):
        assert article(two(bodies=[entry])).body == entry["value"]


def test_of_several_texts_role_and_language_decide() -> None:
    def entry(value: str, **other: str) -> dict[str, str]:
        return {"contenttype": "text/html", "value": value, **other}

    made = article(two(bodies=[entry("a", role="rich"), entry("b", role="main"), entry("c")]))
    assert made.html == "b"
    made = article(two(bodies=[entry("a", role="main", language="cy"), entry("b", role="rich", language="EN")]))
    assert made.html == "b"
    made = article(two(headlines=[{"role": "short", "value": "a"}, {"value": " "}, {"role": "web", "value": "b"}]))
    assert made.headline == "a"


def test_a_headline_with_markup_is_plain_text() -> None:
    headline = {"contenttype": "text/html", "value": "<b>Ferry</b> sails &amp; <i>rests</i> "}
    assert article(two(headlines=[headline])).headline == "Ferry sails & rests"


def test_neither_html_nor_plain_text() -> None:
    for media_type in ("application/nitf+xml", "text/xml", "application/json"):
        reason, error = error_of(two(bodies=[{"contenttype": media_type, "value": "<nitf/>"}]))
        assert reason == "invalid_record"
        assert f"bodies: none is HTML or plain text, found {media_type}" in error
    assert "found no text at all" in error_of(two(bodies=[{"contenttype": "text/html", "value": " "}]))[1]


def test_times() -> None:
    made = article(two(firstcreated=None, versioncreated=None))
    assert made.published is not None
    assert made.published.isoformat() == "2026-01-30T08:00:00+00:00"
    assert made.revision == 1769760000000
    made = article(two(firstcreated=None, contentcreated=None, versioncreated=None, published="2026-01-29"))
    assert made.published is not None
    assert (made.published.isoformat(), made.modified) == ("2026-01-29T00:00:00", None)
    assert article(two(firstcreated=None, contentcreated=None, versioncreated=None)).revision is None
    assert article(two(versioncreated="1950-01-01T00:00:00Z")).revision == 0
    assert "modified: must be an ISO 8601 text" in error_of(two(versioncreated="yesterday"))[1]
    assert "versioncreated: must be a text" in error_of(two(versioncreated=["2026"]))[1]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"infosources": [{"role": "provider", "name": "B"}, {"role": "publisher", "name": "A"}]}, "A"),
        ({"infosources": [{"role": "provider", "name": "B"}], "publisher": "A"}, "A"),
        ({"infosources": [{"role": "provider", "name": "A"}], "provider": "B"}, "A"),
        ({"infosources": None, "provider": {"name": "A"}}, "A"),
        ({"infosources": [{"role": "originator", "name": "B"}, {"name": "A"}]}, "A"),
        ({"infosources": [{"role": "originator", "name": "B"}]}, "fallback"),
        ({"infosources": [{"role": "publisher", "literal": "A"}]}, "A"),
        ({"infosources": None}, "fallback"),
    ],
)
def test_the_publisher(other: dict[str, Any], expected: str) -> None:
    assert article(two(**other), "fallback").publisher == expected


def test_without_a_publisher_it_is_said_what_to_do() -> None:
    assert error_of(two(infosources=None)) == (
        "invalid_record",
        "infosources: none is the publisher: say --publisher NAME",
    )
    with pytest.raises(ValidationError, match="publisher"):
        Ninjs(paths=[Path()], publisher="")


def test_what_some_senders_have_beside_the_standard() -> None:
    made = article(two(by=None, byline="Ann Cole", descriptions=None, description_text="At eight.", genre="News"))
    assert (made.byline, made.summary, made.extra["genre"]) == ("Ann Cole", "At eight.", "Analysis; BG; News")
    made = article(two(by=None, bylines=[{"by": "Ann Cole"}, "Bo Dean", {"name": "Ann Cole"}], language="en_GB"))
    assert (made.byline, made.language) == ("Ann Cole, Bo Dean", "en-GB")


# ---------------------------------------------------------------- what is passed over, and what is none


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("canceled", "canceled"),
        ("withheld", "withheld"),
        ("Cancelled", "canceled"),
        ("stat:canceled", "canceled"),
        ("http://cv.example/newscodes/pubstatusg2/withheld", "withheld"),
    ],
)
def test_what_is_not_to_be_published_is_passed_over(status: str, reason: str) -> None:
    assert article_of(two(pubstatus=status)) == reason
    assert article_of({"uri": "a:1", "pubStatus": status}) == reason  # without a text too


def test_a_status_that_nobody_knows_is_not_published() -> None:
    assert error_of(two(pubstatus="draft")) == (
        "invalid_record",
        "pubstatus: 'draft' is none of usable, withheld, canceled",
    )


@pytest.mark.parametrize(
    "kind", ["picture", "video", "audio", "graphic", "composite", "component", "event", "planning"]
)
def test_what_is_no_text_is_passed_over(kind: str) -> None:
    assert article_of(two(type=kind)) == "not_text"


def test_of_another_shape_is_told_what_is_missing() -> None:
    reason, error = error_of({"uri": "a:1", "type": "text", "headline": "Ferry", "body_html": "<p>Text.</p>"})
    assert reason == "not_ninjs"
    assert (
        error
        == "bodies missing: ninjs 2 and 3 have uri, headlines, bodies; body_html is of ninjs 1, which is not read"
    )
    assert error_of({"headline": "Ferry"})[1].startswith("uri and bodies missing")
    assert error_of(two(uri=None))[1].startswith("uri missing")


def test_wrong_types_are_named() -> None:
    assert "uri: must be a text" in error_of(two(uri={"a": 1}))[1]
    assert "headlines.1: must be an object" in error_of(two(headlines=["Ferry", 4]))[1]
    assert "bodies.0.value: must be a text" in error_of(two(bodies=[{"value": ["x"]}]))[1]
    assert "subjects.0.name: must be a text" in error_of(two(subjects=[{"name": []}]))[1]
    assert "language: " in error_of(two(language="in English"))[1]


def test_a_name_in_both_ways_of_writing_is_refused() -> None:
    assert "versionCreated: is given twice" in error_of({**TWO, "versionCreated": "2026-02-01"})[1]
    assert (
        "bodies.0.contentType: is given twice"
        in error_of(two(bodies=[{"contenttype": "a", "contentType": "b"}]))[1]
    )


# ---------------------------------------------------------------- files


def test_a_file_has_a_document_or_several(tmp_path: Path) -> None:
    first, second = two(uri="a:1"), two(uri="a:2")
    one = write(tmp_path / "one.json", first)
    assert [item.origin for item in read(one) if isinstance(item, Found)] == [str(one)]
    for found in ([first, second, 4], {"items": [first, second, 4]}):
        file = write(tmp_path / "some.json", found)
        items = read(file)
        assert ids(items) == ["a:1", "a:2"]
        assert problems(items) == [("some.json#3", "invalid_record")]
        assert [item.part for item in items] == [str(file)] * 3
    for empty in (b"[]", b'{"items": []}'):
        file = write(tmp_path / "none.json", empty)
        assert [type(item) for item in read(file)] == [Reached]


def test_lines(tmp_path: Path) -> None:
    lines = [two(uri="a:1"), two(pubstatus="canceled"), two(type="picture"), {"uri": "a:2"}, two(uri="a:3")]
    file = write(tmp_path / "a.jsonl", b"".join(json.dumps(each).encode() + b"\n" for each in lines))
    items = read(file)
    assert ids(items) == ["a:1", "a:3"]
    assert [item.reason for item in items if isinstance(item, Skipped)] == ["canceled", "not_text"]
    assert problems(items) == [("a.jsonl:4", "not_ninjs")]
    file.write_bytes(file.read_bytes() + json.dumps(two(uri="a:4")).encode() + b"\n")
    assert ids(read(file, checkpoints=reached(items))) == ["a:4"]


def test_a_folder_is_read_on_where_it_was_left(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "in" / f"{number}" / "a.json", two(uri=f"a:{number}"))
    write(tmp_path / "in" / "readme.txt", b"none")
    write(tmp_path / "in" / "b.jsonl", json.dumps(two(uri="a:9")).encode())
    items = read(tmp_path / "in")
    assert ids(items) == ["a:0", "a:1", "a:2", "a:3", "a:9"]
    assert {item.part for item in items} == {str(tmp_path / "in"), str(tmp_path / "in" / "b.jsonl")}
    for at in range(4):
        assert ids(read(tmp_path / "in", checkpoints=reached(items[: at + 1]))) == ids(items)[at + 1 :]
    write(tmp_path / "in" / "1" / "a.json", two(uri="a:1", by="Bo Dean"))
    assert ids(read(tmp_path / "in", checkpoints=reached(items))) == ["a:1"]


def test_the_checkpoint_stands_behind_a_whole_file(tmp_path: Path) -> None:
    file = write(tmp_path / "some.json", [two(uri="a:1"), two(uri="a:2")])
    items = read(file)
    assert [item.checkpoint is None for item in items if isinstance(item, Found)] == [True, False]


def test_while_following_a_file_that_just_changed_waits(tmp_path: Path) -> None:
    file = write(tmp_path / "one.json", TWO)
    assert read(file, follow=True, settle_seconds=3600) == []
    assert len(read(file, follow=True, settle_seconds=0)) == 1


def test_an_absent_path_holds_up_no_other(tmp_path: Path) -> None:
    items = read(tmp_path / "absent", tmp_path / "absent.jsonl", write(tmp_path / "one.json", TWO))
    assert [type(item) for item in items] == [Trouble, Trouble, Found]


def test_an_unreadable_or_too_large_file_holds_up_no_other(tmp_path: Path) -> None:
    write(tmp_path / "a.json", two(uri="a:1", ednote="x" * 5000))
    write(tmp_path / "b.json", b"[" * 100_000)
    write(tmp_path / "c.json", b"\xff")
    write(tmp_path / "d.json", b'{"uri": "a:1", "uri": "a:2"}')
    write(tmp_path / "e.json", two(uri="a:5"))
    (tmp_path / "f.json").symlink_to("/proc/self/mem")
    items = read(tmp_path, max_file_bytes=4000)
    assert sorted(problems(items)) == [
        ("a.json", "too_large"),
        ("b.json", "too_large"),
        ("c.json", "not_utf8"),
        ("d.json", "invalid_record"),
        ("f.json", "unreadable"),
    ]
    assert ids(items) == ["a:5"]
    assert ("b.json", "too_deep") in problems(read(tmp_path))


def test_a_file_whose_name_is_no_text(tmp_path: Path) -> None:
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.json")), TWO)
    assert [item.origin for item in read(tmp_path) if isinstance(item, Found)] == [f"{tmp_path}/caf\\xe9.json"]


def test_how_far_it_is_is_told_in_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a.json", TWO)
    write(tmp_path / "b.json", THREE)
    write(tmp_path / "c.jsonl", json.dumps(TWO).encode())
    sizes = [(tmp_path / name).stat().st_size for name in ("a.json", "b.json", "c.jsonl")]
    run = Run()
    seen = [(run.done, run.total) for _ in Ninjs(paths=[tmp_path]).articles(run)]
    assert seen == [(sum(sizes[:number]), sum(sizes)) for number in (1, 2, 3, 3)]


# ---------------------------------------------------------------- whatever the bytes

NAMES = st.sampled_from(
    [*TWO, *THREE, "items", "value", "role", "name", "\ud800", "body_text", "bylines", "provider"]
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["2026-01-31", "text", "<p>"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)

DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5).map(lambda other: {**TWO, **other})

SHARED_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@SHARED_FIXTURES
@given(found=DOCUMENTS | VALUES | st.lists(DOCUMENTS, max_size=3), ending=st.sampled_from(["json", "jsonl"]))
def test_it_never_raises_whatever_the_document(tmp_path: Path, found: Any, ending: str) -> None:
    items = read(write(tmp_path / f"a.{ending}", found), publisher="harbour-post.example")
    assert all(isinstance(item, Item) for item in items)
    json.dumps([getattr(item, "error", "") for item in items], ensure_ascii=False).encode()
    assert not any(isinstance(item, Trouble) for item in items)


@SHARED_FIXTURES
@given(data=st.binary(max_size=60), ending=st.sampled_from(["json", "jsonl", "jsonl.gz"]))
def test_it_never_raises_whatever_the_bytes(tmp_path: Path, data: bytes, ending: str) -> None:
    read(write(tmp_path / f"a.{ending}", data))
