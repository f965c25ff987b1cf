"""What is read from a feed; the requests around it are in test_polling.py and tests/live/test_feeds.py."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.producer.core import Found, to_item
from services.producer.fetch import FetchFailed
from services.producer.polling import Entry
from services.producer.sources.rss import FULL_CHARACTERS, Rss, declares_types, listed_in, parse_feed

LONG = "<p>" + "The council met on Monday and voted. " * 30 + "</p>"

FEED = "http://news.example/feed"


def item(inner: str, channel: str = "") -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?><rss version="2.0" '
        'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<channel><title>News</title><link>https://www.news.example/</link>{channel}<item>{inner}</item>"
        "</channel></rss>"
    ).encode()


def only(content: bytes, full_text: str = "auto") -> Entry:
    (entry,) = parse_feed(content, FEED, full_text).entries
    return entry


def test_an_entry_with_its_whole_text() -> None:
    entry = only(
        item(
            "<title>Bridge &amp; pier</title><link>/bridge?utm_source=rss</link><guid isPermaLink='false'>g7</guid>"
            f"<description>Short.</description><content:encoded><![CDATA[{LONG}]]></content:encoded>"
            "<pubDate>Fri, 27 Nov 2026 06:00:00 +0100</pubDate><dc:creator>Ana Reis</dc:creator>"
            "<category>Traffic</category><category>Town</category>",
            "<language>en-GB</language>",
        )
    )
    found = to_item(entry.origin, entry.article)
    assert isinstance(found, Found)
    article = found.article
    assert article.publisher == "news.example"
    assert (article.id, article.url) == ("g7", "http://news.example/bridge?utm_source=rss")
    assert (article.headline, article.summary, article.byline) == ("Bridge & pier", "Short.", "Ana Reis")
    assert article.html == LONG
    assert article.published == entry.time == datetime(2026, 11, 27, 5, tzinfo=UTC)
    assert article.subjects == ("Traffic", "Town")
    assert article.language == "en-GB"
    assert entry.page is None


@pytest.mark.parametrize(
    ("mode", "content", "fetched"),
    [
        ("auto", LONG, False),
        ("auto", "<p>Only the beginning …</p>", True),
        ("auto", f"<p>{'<b></b>' * FULL_CHARACTERS}</p>", True),
        ("always", LONG, True),
        ("never", "<p>Only the beginning …</p>", False),
    ],
)
def test_when_the_page_is_fetched(mode: str, content: str, fetched: bool) -> None:
    link = "<link>http://news.example/1</link><description>A summary.</description>"
    entry = only(item(f"{link}<content:encoded><![CDATA[{content}]]></content:encoded>"), mode)
    assert entry.page == ("http://news.example/1" if fetched else None)
    assert ("html" in entry.article) is not fetched


def test_an_entry_without_a_link_is_its_summary() -> None:
    entry = only(item("<title>Alert</title><description>The bridge is closed.</description>"))
    assert entry.page is None
    assert entry.article["html"] == "The bridge is closed."


@pytest.mark.parametrize("change", ["title", "description", "content:encoded"])
def test_a_change_of_the_text_is_another_digest_and_the_same_key(change: str) -> None:
    fields = {"title": "T", "description": "D", "content:encoded": LONG, "guid": "g", "link": "http://a.example/1"}

    def made(**more: str) -> Entry:
        return only(
            item("".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in (fields | more).items()))
        )

    before, after = made(), made(**{change: fields[change] + " CORRECTED"})
    assert before.key == after.key
    assert before.digest != after.digest
    assert made(pubDate="Fri, 27 Nov 2026 06:00:00 GMT").digest == before.digest, "a date is no change of the text"


def test_the_oldest_comes_first() -> None:
    content = item(
        "<title>new</title><description>b</description></item><item><title>old</title><description>a</description>"
    )
    assert [entry.article["headline"] for entry in parse_feed(content, FEED, "never").entries] == ["old", "new"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "iso-8859-1"])
@pytest.mark.parametrize(
    "prolog",
    [
        "<!DOCTYPE rss>",
        '<!DOCTYPE rss [<!ENTITY a "b">]>',
        "<!-- a comment --> \n<!doctype rss SYSTEM 'http://127.0.0.1/x.dtd'>",
        "<?style x?><!-- one --><!-- two --><!DOCTYPE rss>",
    ],
)
def test_a_document_type_is_refused(encoding: str, prolog: str) -> None:
    declaration = f'<?xml version="1.0" encoding="{"utf-16" if "16" in encoding else "utf-8"}"?>'
    content = f"{declaration}{prolog}<rss version='2.0'><channel><title>x</title></channel></rss>".encode(encoding)
    with pytest.raises(FetchFailed) as caught:
        parse_feed(content, FEED, "auto")
    assert caught.value.reason == "dtd"


def test_a_page_inside_an_entry_is_no_document_type_of_the_feed() -> None:
    page = f"<![CDATA[<!DOCTYPE html><html><body>{LONG}</body></html>]]>"
    entry = only(item(f"<title>T</title><content:encoded>{page}</content:encoded>"))
    assert LONG in entry.article["html"]
    assert not declares_types(item(page))


@pytest.mark.parametrize("content", [b"", b"junk", b"\x00\xff" * 50, b"<html><body>Not found</body></html>", b"{}"])
def test_what_is_no_feed_is_refused(content: bytes) -> None:
    with pytest.raises(FetchFailed) as caught:
        parse_feed(content, FEED, "auto")
    assert caught.value.reason == "not_a_feed"


def test_a_feed_that_is_cut_off_gives_what_it_has() -> None:
    whole = item(f"<title>One</title><description>{LONG}</description></item><item><title>Two</title>")
    assert parse_feed(whole, FEED, "never").problem is None
    for end, entries in ((b"</channel>", 2), (b"<title>Two", 1), (b"wo</title>", 1)):
        listing = parse_feed(whole[: whole.index(end)], FEED, "never")
        assert len(listing.entries) == entries, "half an article is none"
        assert "ends early" in (listing.problem or "")


@given(st.binary(max_size=400), st.integers(0, 600))
def test_no_bytes_whatever_end_in_another_error(junk: bytes, at: int) -> None:
    whole = item(f"<title>One</title><link>http://a.example/1</link><description>{LONG[:300]}</description>")
    try:
        listing = parse_feed(whole[:at] + junk + whole[at:], FEED, "auto")
    except FetchFailed as failed:
        assert failed.reason in ("not_a_feed", "dtd")  # noqa: PT017 - either way out is right
        return
    for entry in listing.entries:
        to_item(entry.origin, entry.article)


def test_a_feed_may_ask_for_a_longer_pause() -> None:
    assert parse_feed(item("<title>x</title>", "<ttl>60</ttl>"), FEED, "never").least_seconds == 3600
    assert parse_feed(item("<title>x</title>", "<ttl>soon</ttl>"), FEED, "never").least_seconds == 0


def test_the_list_of_feeds(tmp_path: Path) -> None:
    file = tmp_path / "feeds.txt"
    file.write_text("# feeds\nhttp://a.example/feed\n\nhttp://b.example/feed  B Daily\nhttp://c.example/\tC\n")
    lists, troubles = listed_in(["http://x.example/"], file, "all.example")
    assert lists == [
        ("http://x.example/", "all.example"),
        ("http://a.example/feed", "all.example"),
        ("http://b.example/feed", "B Daily"),
        ("http://c.example/", "C"),
    ]
    assert not troubles
    assert listed_in([], tmp_path / "missing", None)[1][0].part.endswith("missing")
    assert "no URL" in listed_in([], None, None)[1][0].error


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="allow_network"):
        Rss(urls=["http://a.example/"], allow_network=["10.0.0.1/8"])
