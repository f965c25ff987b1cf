from __future__ import annotations

import gzip
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.producer.fetch import FetchFailed
from services.producer.sources import sitemap
from services.producer.sources.sitemap import parse_sitemap

SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
NEWS = 'xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'
STORY = (
    "<news:news><news:publication><news:name>A</news:name><news:language>pt</news:language></news:publication>"
    "<news:publication_date>2026-11-27T06:00:00+01:00</news:publication_date><news:title>Bridge</news:title>"
    "<news:keywords>traffic, town</news:keywords></news:news>"
)
WHOLE = (
    f"<urlset {SPACE} {NEWS}><url><loc>https://www.a.example/1</loc>{STORY}</url>"
    "<url><loc>https://www.a.example/about</loc><lastmod>2026-11-01</lastmod></url></urlset>"
).encode()


def test_a_news_sitemap() -> None:
    story, other = parse_sitemap(WHOLE).entries
    assert story.page == story.article["url"] == "https://www.a.example/1"
    assert story.article["publisher"] == "a.example"
    assert story.time == story.article["published"] == datetime(2026, 11, 27, 5, tzinfo=UTC)
    assert (story.article["headline"], story.article["language"]) == ("Bridge", "pt")
    assert story.article["subjects"] == ("traffic", "town")
    assert other.article["modified"] == datetime(2026, 11, 1, tzinfo=UTC)
    assert [entry.page for entry in parse_sitemap(WHOLE, news_only=True).entries] == ["https://www.a.example/1"]


def test_an_index_names_others() -> None:
    index = f"<sitemapindex {SPACE}><sitemap><loc>https://a.example/s1.xml</loc></sitemap></sitemapindex>"
    assert list(parse_sitemap(index.encode()).more) == ["https://a.example/s1.xml"]


def test_a_file_with_gzip() -> None:
    assert len(parse_sitemap(gzip.compress(WHOLE)).entries) == 2
    with pytest.raises(FetchFailed) as caught:
        parse_sitemap(gzip.compress(WHOLE)[:60])
    assert caught.value.reason == "bad_answer"


def test_what_is_cut_off_is_said_and_its_last_page_left_out() -> None:
    """Half of an address is another page."""
    listing = parse_sitemap(WHOLE[: WHOLE.index(b"/about") + 3])
    assert [entry.page for entry in listing.entries] == ["https://www.a.example/1"]
    assert "ends early" in (listing.problem or "")
    assert parse_sitemap(WHOLE).problem is None


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemap, "MOST_UNPACKED", 1_000_000)
    with pytest.raises(FetchFailed) as caught:
        parse_sitemap(gzip.compress(b" " * 5_000_000))
    assert caught.value.reason == "too_large"


def test_a_modified_page_is_another_digest() -> None:
    later = WHOLE.replace(b"2026-11-01", b"2026-11-02")
    before, after = parse_sitemap(WHOLE).entries[1], parse_sitemap(later).entries[1]
    assert before.key == after.key
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not_a_sitemap"),
        (b"   ", "not_a_sitemap"),
        (b"<html></html>", "not_a_sitemap"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + WHOLE, "dtd"),
    ],
)
def test_what_is_no_sitemap(content: bytes, reason: str) -> None:
    with pytest.raises(FetchFailed) as caught:
        parse_sitemap(content)
    assert caught.value.reason == reason


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_whatever_end_in_another_error(junk: bytes, at: int) -> None:
    try:
        parse_sitemap(WHOLE[:at] + junk + WHOLE[at:])
    except FetchFailed as failed:
        assert failed.reason in ("not_a_sitemap", "dtd", "bad_answer")  # noqa: PT017 - either way out is right
