"""Feeds and sitemaps, as their servers could send them. What is in them is parsed in a child process."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable

from tests.corpus.case import HUGE_BYTES, Case, Kind, Maker

_feed = Maker(Kind.FEED)
_map = Maker(Kind.SITEMAP)

# ---------------------------------------------------------------- feeds


def _entry(number: int) -> bytes:
    return (
        b"<item><title>Neighbour %d</title><link>http://good.example/neighbour-%d</link>"
        b"<guid>neighbour-%d</guid><description>Nothing is wrong with it.</description></item>"
    ) % (number, number, number)


_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_OPEN = b'<rss version="2.0"><channel><title>T</title><link>http://good.example/</link>'
_CLOSE = b"</channel></rss>"


def _rss(bad: bytes, head: bytes = _HEAD) -> bytes:
    """A feed with one odd part between two good entries."""
    return head + _OPEN + _entry(1) + bad + _entry(2) + _CLOSE


def _item(inside: bytes) -> bytes:
    return _rss(b"<item>" + inside + b"</item>")


def _laughs(depth: int = 9, name: bytes = b"rss") -> bytes:
    """Nine lines that are a thousand million laughs."""
    lines = [b'<!ENTITY l0 "ha">'] + [b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, depth)]
    return b"<!DOCTYPE " + name + b" [" + b"".join(lines) + b"]>"


_BOMB = _rss(b"<item><title>&l8;</title></item>", _HEAD + _laughs())
_QUADRATIC = _rss(
    b"<item><title>x</title><description>" + b"&a;" * 10_000 + b"</description></item>",
    _HEAD + b'<!DOCTYPE rss [<!ENTITY a "' + b"a" * 100_000 + b'">]>',
)


def _with_doctype(inside: bytes) -> bytes:
    return _rss(b"<item><title>&x;</title></item>", _HEAD + b"<!DOCTYPE rss " + inside + b">")


def _encoded(content: bytes, encoding: str) -> bytes:
    return content.decode().replace("UTF-8", encoding).encode(encoding)


def _many(entries: int) -> Callable[[], Iterable[bytes]]:
    return lambda: [_HEAD, _OPEN, *(_entry(number) for number in range(entries)), _CLOSE]


_ATOM = b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>x</id>'

FEEDS: tuple[Case, ...] = (
    # ------------------------------------------------------------ entities and document types
    _feed.refused("feed-billion-laughs", _BOMB, "dtd", "document type"),
    _feed.refused("feed-billion-laughs-utf-16", _encoded(_BOMB, "UTF-16"), "dtd", "document type"),
    _feed.refused("feed-billion-laughs-utf-16-without-mark", _encoded(_BOMB, "UTF-16-LE"), "dtd", "document type"),
    _feed.refused("feed-billion-laughs-utf-32", _encoded(_BOMB, "UTF-32"), "dtd", "document type"),
    _feed.refused("feed-billion-laughs-utf-7", _encoded(_BOMB, "UTF-7"), "dtd not_a_feed"),
    _feed.refused("feed-billion-laughs-ebcdic", _encoded(_BOMB, "cp037"), "dtd not_a_feed"),
    _feed.refused(
        "feed-billion-laughs-behind-a-comment", _BOMB.replace(b"?>\n", b"?><!--" + b"c" * 50_000 + b"-->", 1), "dtd"
    ),
    _feed.refused(
        "feed-billion-laughs-behind-200-kb-of-spaces", _BOMB.replace(b"?>\n", b"?>" + b" " * 200_000, 1), "dtd"
    ),
    _feed.refused(
        "feed-billion-laughs-behind-comments", _BOMB.replace(b"?>\n", b"?>" + b"<!--c-->" * 30_000, 1), "dtd"
    ),
    _feed.refused(
        "feed-billion-laughs-behind-an-instruction",
        _BOMB.replace(b"?>\n", b"?><?p " + b"i" * 5_000 + b"?>", 1),
        "dtd",
    ),
    _feed.refused("feed-quadratic-blow-up", _QUADRATIC, "dtd", "document type"),
    _feed.refused("feed-external-entity", _with_doctype(b'[<!ENTITY x SYSTEM "file:///etc/hostname">]'), "dtd"),
    _feed.refused(
        "feed-external-entity-over-http", _with_doctype(b'[<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]'), "dtd"
    ),
    _feed.refused(
        "feed-parameter-entity", _with_doctype(b'[<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]'), "dtd"
    ),
    _feed.refused("feed-external-dtd", _with_doctype(b'SYSTEM "http://127.0.0.1:9/rss.dtd"'), "dtd"),
    _feed.refused(
        "feed-public-dtd", _with_doctype(b'PUBLIC "-//N//DTD RSS 0.91//EN" "http://127.0.0.1:9/r.dtd"'), "dtd"
    ),
    _feed.refused("feed-entity-that-names-itself", _with_doctype(b'[<!ENTITY x "&x;">]'), "dtd"),
    _feed.refused("feed-doctype-never-closed", _HEAD + b"<!DOCTYPE rss [" + b"<!ENTITY a 'b'>" * 1_000, "dtd"),
    _feed.taken(
        "feed-x-include",
        _item(
            b'<guid>x</guid><description>d<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="file:///etc/hostname"/></description>'
        ),
        3,
        "nothing is included",
    ),
    _feed.taken(
        "feed-style-sheet",
        _HEAD + b'<?xml-stylesheet href="http://127.0.0.1:9/x.xsl"?>' + _OPEN + _entry(1) + _CLOSE,
        1,
        "no style sheet is fetched",
    ),
    # ------------------------------------------------------------ no feed
    _feed.refused("feed-empty", b"", "not_a_feed empty"),
    _feed.refused("feed-only-white-space", b" \n\t " * 1_000, "not_a_feed empty"),
    _feed.refused("feed-html", b"<!DOCTYPE html><html><body><p>Moved.</p></body></html>", "dtd not_a_feed"),
    _feed.refused("feed-html-without-doctype", b"<html><body><p>502 Bad Gateway</p></body></html>", "not_a_feed"),
    _feed.refused("feed-json", b'{"version": "https://jsonfeed.org/version/1.1", "items": []}', "not_a_feed"),
    _feed.refused("feed-plain-text", b"Service Unavailable", "not_a_feed"),
    _feed.refused("feed-a-picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, "not_a_feed"),
    _feed.refused("feed-nul-bytes", bytes(100_000), "not_a_feed"),
    _feed.refused("feed-gzip-without-its-header", gzip.compress(_rss(b""), mtime=0), "not_a_feed"),
    _feed.refused(
        "feed-sitemap", b'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url/></urlset>', "not_a_feed"
    ),
    _feed.refused(
        "feed-soap-fault",
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body/></s:Envelope>',
        "not_a_feed",
    ),
    _feed.refused("feed-depth-100000", _HEAD + b"<a>" * 100_000, "not_a_feed"),
    _feed.refused("feed-cut-off-before-it-begins", _HEAD + b"<rs", "not_a_feed"),
    _feed.refused(
        "feed-invalid-namespace",
        b'<feed xmlns="http://example.example/not-atom"><entry/></feed>',
        "not_a_feed invalid_record",
    ),
    # ------------------------------------------------------------ one entry of several
    _feed.mixed("feed-entry-without-anything", _item(b""), "invalid_record", "body and html"),
    _feed.mixed(
        "feed-entry-with-a-title-alone", _item(b"<title>Only this</title>"), "invalid_record", "body and html"
    ),
    _feed.mixed(
        "feed-entry-over-the-limit",
        _item(b"<guid>x</guid><description>" + b"a" * 950_000 + b"</description>"),
        "too_large",
    ),
    _feed.mixed(
        "feed-entry-url-port-99999",
        _item(b"<link>http://odd.example:99999/</link><description>d</description>"),
        "invalid_record",
        "url",
    ),
    _feed.taken(
        "feed-entry-url-without-host",
        _item(b"<link>http:///x</link><description>d</description>"),
        3,
        "joined to the feed's address, as browsers do, it is http://x",
    ),
    _feed.taken(
        "feed-entry-url-bracket-never-closed",
        _item(b"<link>http://[::1/x</link><description>d</description>"),
        3,
        "an address that is none is left out, the article stays",
    ),
    _feed.mixed(
        "feed-entry-depth-100000", _item(b"<description>" + b"<b>" * 100_000), "not_a_feed invalid_record", good=1
    ),
    # ------------------------------------------------------------ broken, and what can be read of it
    _feed.taken(
        "feed-entry-guid-of-1-mb",
        _item(b"<guid>" + b"g" * 100_000 + b"</guid><description>d</description>"),
        3,
        "an id has no limit of ours but the record's",
    ),
    _feed.taken(
        "feed-entry-url-javascript",
        _item(b"<link>javascript:alert(1)</link><guid>j</guid><description>d</description>"),
        3,
        "an address that is none is left out, the article stays",
    ),
    _feed.taken(
        "feed-date-of-year-9999",
        _item(b"<guid>x</guid><pubDate>Fri, 31 Dec 9999 23:59:59 -1200</pubDate><description>d</description>"),
        3,
        "a time that is none is left out",
    ),
    _feed.taken(
        "feed-date-of-year-minus-1",
        _item(b"<guid>x</guid><pubDate>-0001-01-01T00:00:00Z</pubDate><description>d</description>"),
        3,
        "a time that is none is left out",
    ),
    _feed.taken(
        "feed-date-garbage",
        _item(b"<guid>x</guid><pubDate>\xf0\x9f\x95\x90 soon</pubDate><description>d</description>"),
        3,
        "a time that is none is left out",
    ),
    _feed.taken(
        "feed-date-of-100000-digits",
        _item(b"<guid>x</guid><pubDate>" + b"1" * 100_000 + b"</pubDate><description>d</description>"),
        3,
        "a time that is none is left out",
    ),
    _feed.taken(
        "feed-date-month-13",
        _item(b"<guid>x</guid><pubDate>2026-13-45T99:99:99Z</pubDate><description>d</description>"),
        3,
        "a time that is none is left out",
    ),
    _feed.taken(
        "feed-language-garbage",
        _rss(b"<language>E\xc3\xb1glish!</language>"),
        2,
        "a language that is none is left out",
    ),
    _feed.taken("feed-ttl-negative", _rss(b"<ttl>-5</ttl>"), 2, "a pause that is none is left out"),
    _feed.taken("feed-ttl-of-10000-digits", _rss(b"<ttl>" + b"9" * 10_000 + b"</ttl>"), 2, "a day at the most"),
    _feed.taken(
        "feed-undeclared-prefix",
        _item(b"<guid>x</guid><dc:creator>A</dc:creator><description>d</description>"),
        3,
        "feeds often are so",
    ),
    _feed.taken(
        "feed-prefix-of-another-namespace",
        _item(
            b'<guid>x</guid><content:encoded xmlns:content="urn:x">c</content:encoded><description>d</description>'
        ),
        3,
        "what is unknown is left out",
    ),
    _feed.taken(
        "feed-entity-of-html",
        _item(b"<guid>x</guid><title>caf&eacute;&nbsp;&nosuch;</title><description>d</description>"),
        3,
        "feeds often are so",
    ),
    _feed.taken(
        "feed-ampersand-alone",
        _item(b"<guid>x</guid><title>A & B</title><description>a && b</description>"),
        3,
        "feeds often are so",
    ),
    _feed.taken(
        "feed-control-characters",
        _item(b"<guid>x</guid><title>A\x01\x0bB</title><description>d\x08</description>"),
        3,
        "feeds often are so",
    ),
    _feed.taken(
        "feed-nul-in-a-title",
        _item(b"<guid>x</guid><title>A\0B</title><description>d</description>"),
        3,
        "feeds often are so",
    ),
    _feed.taken(
        "feed-latin-1-that-says-utf-8",
        _item(b"<guid>x</guid><title>caf\xe9</title><description>d</description>"),
        3,
        "feeds often are so",
    ),
    _feed.taken(
        "feed-unknown-encoding", _rss(b"", b'<?xml version="1.0" encoding="x-no-such"?>'), 2, "the bytes tell"
    ),
    _feed.taken(
        "feed-encoding-that-is-no-charset", _rss(b"", b'<?xml version="1.0" encoding="zip"?>'), 2, "the bytes tell"
    ),
    _feed.refused("feed-utf-16-that-says-utf-8", _rss(b"").decode().encode("utf-16"), "not_a_feed"),
    _feed.taken("feed-spaces-before-the-declaration", b"\n\n  " + _rss(b""), 2, "feeds often are so"),
    _feed.taken(
        "feed-character-reference-to-a-surrogate",
        _item(b"<guid>x</guid><title>&#xD83D;x</title><description>&#55357; d</description>"),
        3,
        "what is no character is left out",
    ),
    _feed.taken(
        "feed-character-reference-to-nothing",
        _item(b"<guid>x</guid><title>&#99999999999;x</title><description>&#x0; d</description>"),
        3,
        "what is no character is left out",
    ),
    _feed.taken(
        "feed-end-tags-the-wrong-way-round",
        _item(b"<guid>x</guid><title><b>x</title></b><description>d</description>"),
        3,
        "feeds often are so",
    ),
    _feed.taken(
        "feed-attribute-of-1-mb",
        _item(b'<guid a="' + b"a" * 1_000_000 + b'">x</guid><description>d</description>'),
        3,
        "what is unknown is left out",
    ),
    _feed.taken(
        "feed-10000-attributes",
        _item(
            b"<guid " + b" ".join(b'a%d=""' % n for n in range(10_000)) + b">x</guid><description>d</description>"
        ),
        3,
        "what is unknown is left out",
    ),
    _feed.taken(
        "feed-10000-categories",
        _item(b"<guid>x</guid><description>d</description>" + b"<category>c</category>" * 10_000),
        3,
        "an article may have them",
    ),
    _feed.taken("feed-two-entries-of-one-guid", _rss(_entry(1)), 3, "the later one is a correction of the other"),
    _feed.taken(
        "feed-without-entries",
        _rss(b"").replace(_entry(1), b"").replace(_entry(2), b""),
        0,
        "nothing was published yet",
    ),
    _feed.taken("feed-20000-entries", _many(20_000), 5_000, "so many of one look are read: those behind are old"),
    _feed.refused("feed-100000-entries", _many(100_000), "too_large", "bytes allowed"),
    _feed.taken(
        "feed-atom-with-xhtml",
        _ATOM
        + b'<title type="xhtml"><div><b>T</b></div></title><content type="xhtml"><div><p>t</p></div></content>'
        + b"</entry></feed>",
        1,
        "as Atom has it",
    ),
    _feed.taken(
        "feed-atom-content-in-base64",
        _ATOM + b'<title>T</title><content type="application/octet-stream">%%%%not base64</content></entry></feed>',
        1,
        "as a text; it is no base64 either",
    ),
    # ------------------------------------------------------------ cut off: what came before is good
    _feed.mixed(
        "feed-cut-off-in-an-entry",
        _HEAD + _OPEN + _entry(1) + b"<item><title>And th",
        "invalid_record trouble",
        good=1,
    ),
    _feed.mixed(
        "feed-cdata-without-end",
        _HEAD + _OPEN + _entry(1) + b"<item><title><![CDATA[And" + _entry(2) + _CLOSE,
        "invalid_record trouble",
        good=1,
    ),
    _feed.mixed(
        "feed-comment-without-end", _HEAD + _OPEN + _entry(1) + b"<!-- " + _entry(2) + _CLOSE, "trouble", good=1
    ),
)

# ---------------------------------------------------------------- sitemaps

_SM = b'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:news="http://www.google.com/schemas/sitemap-news/0.9">'


def _page(number: int) -> bytes:
    return b"<url><loc>http://good.example/neighbour-%d</loc></url>" % number


def _sitemap(bad: bytes, head: bytes = _HEAD) -> bytes:
    return head + _SM + _page(1) + bad + _page(2) + b"</urlset>"


def _news(inside: bytes) -> bytes:
    return _sitemap(
        b"<url><loc>http://odd.example/17</loc><news:news><news:publication><news:name>N</news:name>"
        b"<news:language>en</news:language></news:publication>" + inside + b"</news:news></url>"
    )


def _index(*urls: bytes) -> bytes:
    inside = b"".join(b"<sitemap><loc>%s</loc></sitemap>" % url for url in urls)
    return (
        _HEAD + b'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">' + inside + b"</sitemapindex>"
    )


_MAP_BOMB = _sitemap(b"<url><loc>http://odd.example/&l8;</loc></url>", _HEAD + _laughs(name=b"urlset"))

SITEMAPS: tuple[Case, ...] = (
    _map.refused("sitemap-empty", b"", "not_a_sitemap empty", "empty"),
    _map.refused("sitemap-only-white-space", b"\n \t\n", "not_a_sitemap empty", "empty"),
    _map.refused("sitemap-html", b"<!DOCTYPE html><html><body>Not found</body></html>", "dtd not_a_sitemap"),
    _map.refused(
        "sitemap-html-without-doctype",
        b"<html><body><a href='http://odd.example/'>x</a></body></html>",
        "not_a_sitemap",
    ),
    _map.refused("sitemap-json", b'{"urls": ["http://odd.example/"]}', "not_a_sitemap"),
    _map.refused("sitemap-words", b"Service Unavailable, try again later", "not_a_sitemap"),
    _map.refused("sitemap-a-picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, "not_a_sitemap"),
    _map.refused("sitemap-nul-bytes", bytes(100_000), "not_a_sitemap"),
    _map.refused("sitemap-billion-laughs", _MAP_BOMB, "dtd", "document type"),
    _map.refused("sitemap-billion-laughs-utf-16", _encoded(_MAP_BOMB, "UTF-16"), "dtd", "document type"),
    _map.refused("sitemap-billion-laughs-ebcdic", _encoded(_MAP_BOMB, "cp037"), "dtd not_a_sitemap"),
    _map.refused(
        "sitemap-billion-laughs-behind-a-comment",
        _MAP_BOMB.replace(b"?>\n", b"?><!--" + b"c" * 50_000 + b"-->", 1),
        "dtd not_a_sitemap",
    ),
    _map.refused(
        "sitemap-billion-laughs-behind-200-kb-of-spaces",
        _MAP_BOMB.replace(b"?>\n", b"?>" + b" " * 200_000, 1),
        "dtd not_a_sitemap",
    ),
    _map.refused(
        "sitemap-external-entity",
        _sitemap(
            b"<url><loc>&x;</loc></url>", _HEAD + b'<!DOCTYPE urlset [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
        ),
        "dtd",
    ),
    _map.refused("sitemap-gz-bomb", lambda: [gzip.compress(bytes(HUGE_BYTES), mtime=0)], "too_large", "unpacks"),
    _map.refused(
        "sitemap-gz-of-gz",
        gzip.compress(gzip.compress(_sitemap(b""), mtime=0), mtime=0),
        "not_a_sitemap bad_answer",
    ),
    _map.refused("sitemap-gz-garbage", b"\x1f\x8b\x08\x00garbage, and more of it", "bad_answer", "gzip"),
    _map.refused(
        "sitemap-gz-cut-off",
        gzip.compress(_sitemap(b"".join(_page(n * 7919) for n in range(2_000))), mtime=0)[:-400],
        "bad_answer truncated",
        "gzip|cut",
    ),
    _map.refused(
        "sitemap-gz-wrong-checksum", gzip.compress(_sitemap(b""), mtime=0)[:-8] + bytes(8), "bad_answer", "gzip"
    ),
    _map.refused("sitemap-depth-100000", _HEAD + b"<a>" * 100_000, "not_a_sitemap"),
    _map.taken(
        "sitemap-invalid-namespace",
        b'<urlset xmlns="urn:x"><url><loc>http://odd.example/17</loc></url></urlset>',
        1,
        "the names are clear without it",
    ),
    _map.refused(
        "sitemap-of-another-root", _HEAD + b"<urls><url>http://odd.example/17</url></urls>", "not_a_sitemap"
    ),
    _map.mixed("sitemap-url-without-host", _sitemap(b"<url><loc>http:///x</loc></url>"), "invalid_record", "url"),
    _map.mixed(
        "sitemap-urls-of-other-schemes",
        _sitemap(
            b"<url><loc>ftp://odd.example/x</loc></url><url><loc>javascript:alert(1)</loc></url><url><loc>file:///etc/hostname</loc></url>"
        ),
        "invalid_record",
        "url",
    ),
    _map.taken(
        "sitemap-url-empty",
        _sitemap(b"<url><loc></loc></url><url/>"),
        2,
        "what is no address of a page is left out",
    ),
    _map.mixed(
        "sitemap-url-port-99999",
        _sitemap(b"<url><loc>http://odd.example:99999/</loc></url>"),
        "invalid_record",
        "url",
    ),
    _map.mixed(
        "sitemap-url-bracket-never-closed", _sitemap(b"<url><loc>http://[::1/</loc></url>"), "invalid_record", "url"
    ),
    _map.taken(
        "sitemap-news-language-in-words",
        _news(b"").replace(b">en<", b">English (US)<"),
        3,
        "a language that is none is left out",
    ),
    _map.mixed(
        "sitemap-url-of-1-mb",
        _sitemap(b"<url><loc>http://odd.example/" + b"a" * 1_000_000 + b"</loc></url>"),
        "too_large bad_url",
    ),
    _map.taken("sitemap-url-twice", _sitemap(_page(1)), 2, "a page is one page"),
    _map.taken(
        "sitemap-lastmod-garbage",
        _sitemap(b"<url><loc>http://odd.example/17</loc><lastmod>soon</lastmod></url>"),
        3,
        "a time that is none is left out",
    ),
    _map.taken(
        "sitemap-lastmod-year-9999",
        _sitemap(b"<url><loc>http://odd.example/17</loc><lastmod>9999-12-31T23:59:59-12:00</lastmod></url>"),
        3,
        "a time that is none is left out",
    ),
    _map.taken(
        "sitemap-lastmod-year-0",
        _sitemap(b"<url><loc>http://odd.example/17</loc><lastmod>0000-00-00</lastmod></url>"),
        3,
        "a time that is none is left out",
    ),
    _map.taken(
        "sitemap-lastmod-of-100000-digits",
        _sitemap(b"<url><loc>http://odd.example/17</loc><lastmod>" + b"1" * 100_000 + b"</lastmod></url>"),
        3,
        "a time that is none is left out",
    ),
    _map.taken(
        "sitemap-priority-not-a-number",
        _sitemap(b"<url><loc>http://odd.example/17</loc><priority>high</priority></url>"),
        3,
        "nothing here wants it",
    ),
    _map.taken(
        "sitemap-priority-nan",
        _sitemap(b"<url><loc>http://odd.example/17</loc><priority>nan</priority></url>"),
        3,
        "nothing here wants it",
    ),
    _map.taken(
        "sitemap-changefreq-unknown",
        _sitemap(b"<url><loc>http://odd.example/17</loc><changefreq>now and then</changefreq></url>"),
        3,
        "nothing here wants it",
    ),
    _map.taken(
        "sitemap-news-date-garbage",
        _news(b"<news:publication_date>soon</news:publication_date><news:title>T</news:title>"),
        3,
        "a time that is none is left out",
    ),
    _map.taken(
        "sitemap-news-date-year-9999",
        _news(
            b"<news:publication_date>9999-12-31T23:59:59-12:00</news:publication_date><news:title>T</news:title>"
        ),
        3,
        "a time that is none is left out",
    ),
    _map.taken(
        "sitemap-news-without-title",
        _news(b"<news:publication_date>2026-01-31</news:publication_date>"),
        3,
        "the page has one",
    ),
    _map.taken(
        "sitemap-news-title-of-100-kb",
        _news(
            b"<news:publication_date>2026-01-31</news:publication_date><news:title>"
            + b"t" * 100_000
            + b"</news:title>"
        ),
        3,
        "a headline has no limit of ours",
    ),
    _map.taken(
        "sitemap-index-that-names-itself", _index(b"http://good.example/sitemap.xml"), 0, "a list is looked at once"
    ),
    _map.taken(
        "sitemap-index-of-20000",
        _index(*(b"http://good.example/%d.xml" % n for n in range(20_000))),
        0,
        "a run has a limit of lists",
    ),
    _map.taken(
        "sitemap-index-of-other-schemes",
        _index(b"file:///etc/hostname", b"gopher://odd.example/"),
        0,
        "what is no http address is not fetched",
    ),
    _map.taken("sitemap-index-empty", _index(), 0, "it names nothing"),
    _map.taken("sitemap-without-pages", _HEAD + _SM + b"</urlset>", 0, "nothing was published yet"),
    _map.taken("sitemap-byte-order-mark", b"\xef\xbb\xbf" + _sitemap(b""), 2, "editors write it"),
    _map.taken("sitemap-utf-16", _encoded(_sitemap(b""), "UTF-16"), 2, "XML may be in UTF-16"),
    _map.taken(
        "sitemap-latin-1-that-says-utf-8",
        _sitemap(b"<url><loc>http://odd.example/caf\xe9</loc></url>"),
        3,
        "one address that is wrong loses no other",
    ),
    _map.taken(
        "sitemap-plain-text",
        b"http://good.example/neighbour-1\nno address\nhttp://good.example/neighbour-2\n",
        2,
        "sitemaps.org has it",
    ),
    _map.refused(
        "sitemap-1000000-urls",
        lambda: [_HEAD, _SM, *(_page(n) for n in range(1_000_000)), b"</urlset>"],
        "too_large",
        "bytes allowed",
    ),
    _map.taken(
        "sitemap-gz-300000-urls",
        lambda: [
            gzip.compress(b"".join([_HEAD, _SM, *(_page(n) for n in range(300_000)), b"</urlset>"]), 1, mtime=0)
        ],
        50_000,
        "so many a sitemap may have",
    ),
    _map.mixed("sitemap-cut-off", (_HEAD + _SM + _page(1) + _page(2) + b"<url><loc>http://od"), "trouble"),
    _map.taken(
        "sitemap-gz-of-two-members",
        gzip.compress(_sitemap(b"")[:200], mtime=0) + gzip.compress(_sitemap(b"")[200:], mtime=0),
        2,
        "a gzip file may have several",
    ),
)

CASES = FEEDS + SITEMAPS
