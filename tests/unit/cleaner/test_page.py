from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.cleaner.page import HtmlTooDeep, read_page

TALK = "The ministers met for three hours on Tuesday and agreed on a plan that both parliaments must now pass."
DOUBT = "Whether they will pass it is another matter, since the opposition has promised to vote against it."
QUOTE = "“We have come a long way since the spring, and we shall go the rest of it,” the minister said."


def page(body: str, head: str = "", attributes: str = 'lang="en"') -> str:
    return f"<!doctype html><html {attributes}><head><title>T</title>{head}</head><body>{body}</body></html>"


ARTICLE = page(
    f"""
    <nav><ul><li><a href="/a">Home</a></li><li><a href="/b">Politics</a></li></ul></nav>
    <article><h1>Ministers agree</h1><p>{TALK}</p><p>{DOUBT}</p>
    <h2>What comes next</h2><blockquote><p>{QUOTE}</p></blockquote>
    <ul><li>Monday: the first reading</li><li>Friday: the vote</li></ul></article>
    <aside><p>Most read: a very long line about something else that nobody asked for in this place.</p></aside>
    <footer><p>Imprint and privacy and terms and contact and careers and advertising with us.</p></footer>"""
)


def test_takes_the_article_out_of_a_page_by_paragraphs() -> None:
    assert read_page(ARTICLE).paragraphs == (
        "Ministers agree",
        TALK,
        DOUBT,
        "What comes next",
        QUOTE,
        "Monday: the first reading",
        "Friday: the vote",
    )


@pytest.mark.parametrize(
    ("html", "paragraphs"),
    [
        pytest.param("<p>One.</p>", ["One."], id="one-paragraph"),
        pytest.param("<p>One.</p><p>Two.</p>", ["One.", "Two."], id="paragraphs"),
        pytest.param("<P>One.<P>Two <b>bo</b>ld.", ["One.", "Two bold."], id="unclosed"),
        pytest.param("just text", ["just text"], id="no-element"),
        pytest.param(
            "before<p>One.</p>between<p>Two.</p>after", ["before", "One.", "between", "Two.", "after"], id="loose"
        ),
        pytest.param("<div>One.<div>Two.</div>Three.</div>", ["One.", "Two.", "Three."], id="nested"),
        pytest.param("<h2>Head</h2><ul><li>a<li>b</ul>", ["Head", "a", "b"], id="headings-and-lists"),
        pytest.param("<blockquote><p>“Yes.”</p><p>“No.”</p></blockquote>", ["“Yes.”", "“No.”"], id="block-quotes"),
        pytest.param(
            "<figure><img src=a><figcaption>The bridge.</figcaption></figure>", ["The bridge."], id="captions"
        ),
        pytest.param("<table><tr><th>A<th>B<tr><td>1<td>2</table>", ["A | B", "1 | 2"], id="tables"),
        pytest.param("<table><tr><td><p>One.</p><p>Two.</p></table>", ["One.", "Two."], id="layout-tables"),
        pytest.param("<p>One.<br>Two.<br><br>Three.</p>", ["One.", "Two.", "Three."], id="line-breaks"),
        pytest.param("<p>A line<br>goes on.</p>", ["A line goes on."], id="line-break-in-a-sentence"),
        pytest.param("<p>Hard\n  wrapped\n text</p>", ["Hard wrapped text"], id="source-lines"),
        pytest.param("<pre>One goes\non.\n\nTwo.</pre>tail", ["One goes on.", "Two.", "tail"], id="preformatted"),
        pytest.param("<p>a &lt;b&gt; &amp; c</p>", ["a <b> & c"], id="entities"),
        pytest.param(
            "<p>One.</p><script>x()</script><style>p{}</style><!-- c -->", ["One."], id="code-and-comments"
        ),
        pytest.param("", [], id="empty"),
        pytest.param("<!-- only a comment -->", [], id="comment"),
    ],
)
def test_loses_nothing_of_a_fragment(html: str, paragraphs: list[str]) -> None:
    assert list(read_page(html).paragraphs) == paragraphs


def test_loses_nothing_of_a_long_fragment() -> None:
    caption, aside = "The bridge that the ministers crossed.", "Background: the talks began in March."
    html = (
        f"<p>{TALK}</p><figure><figcaption>{caption}</figcaption></figure><p>{DOUBT}</p>"
        f"<aside>{aside}</aside><p>{QUOTE}</p><footer>Ada Lee</footer>"
    )

    assert read_page(html).paragraphs == (TALK, caption, DOUBT, aside, QUOTE, "Ada Lee")


def test_keeps_the_paragraphs_of_a_page_with_little_text() -> None:
    assert read_page("<html><body><h1>Fire</h1><p>Nobody was hurt.</p></body></html>").paragraphs == (
        "Fire",
        "Nobody was hurt.",
    )


@pytest.mark.parametrize(
    "body",
    [
        "<div><p>Please switch on JavaScript.</p></div>",
        f"<article><div><p>The ministers in Vienna.<br>{' ' * 300}Photo: AP<br></p></div></article>",
    ],
)
def test_takes_the_text_that_a_page_states_where_its_layout_hides_it(body: str) -> None:
    text = "\\n\\n".join((TALK, DOUBT, QUOTE))
    head = f'<script type="application/ld+json">{{"@type": "NewsArticle", "articleBody": "{text}"}}</script>'

    assert read_page(page(body, head)).paragraphs == (TALK, DOUBT, QUOTE)


def test_line_breaks_separate_the_paragraphs_of_a_page_without_paragraph_elements() -> None:
    html = page(f"<article><h1>Ministers agree</h1><div>{TALK}<br><br>{DOUBT}<br><br>{QUOTE}</div></article>")

    assert read_page(html).paragraphs[-3:] == (TALK, DOUBT, QUOTE)


def test_refuses_html_that_the_parser_would_cut_off() -> None:
    with pytest.raises(HtmlTooDeep, match="256"):
        read_page("<div>" * 300 + "deep" + "</div>" * 300 + "<p>lost</p>")


@pytest.mark.parametrize(
    "html",
    [
        pytest.param(
            '<?xml version="1.0" encoding="ISO-8859-1"?><html><body><p>Été</p></body></html>', id="declared"
        ),
        pytest.param("<html><body><p>\x00É\x01té</p></body></html>", id="controls"),
        pytest.param('<html><head><meta charset="latin-1"></head><body><p>Été</p></body></html>', id="meta"),
    ],
)
def test_reads_text_whatever_encoding_the_page_claims(html: str) -> None:
    assert read_page(html).paragraphs == ("Été",)


def test_json_ld_goes_before_open_graph_and_meta_tags() -> None:
    head = """
        <meta property="og:title" content="Open Graph"><meta name="description" content="Meta">
        <meta name="author" content="Someone Else"><meta property="article:published_time" content="2001-01-01">
        <script type="application/ld+json">{"@graph": [{"@type": "WebSite", "name": "x"}, {"@type": ["NewsArticle"],
          "headline": "Stated", "description": "Summed up", "datePublished": "2026-01-31T08:00:00+01:00",
          "dateModified": "2026-01-31T09:00:00Z",
          "author": [{"@type": "Person", "name": "Ada Lee"}, {"@type": "Person", "name": "Bo Ek"}]}]}</script>"""

    found = read_page(page(f"<p>{TALK}</p>", head))

    assert found.headline == "Stated"
    assert found.summary == "Summed up"
    assert found.byline == "Ada Lee, Bo Ek"
    assert found.published == datetime(2026, 1, 31, 8, tzinfo=timezone(timedelta(hours=1)))
    assert found.modified == datetime(2026, 1, 31, 9, tzinfo=UTC)


def test_reads_open_graph_and_meta_tags() -> None:
    head = """
        <meta property="og:title" content="Ministers agree | The Daily">
        <meta property="og:site_name" content="The Daily">
        <meta property="og:description" content="A plan"><meta name="author" content="Ada Lee">
        <meta property="article:author" content="https://example.org/ada">
        <meta property="article:published_time" content="2026-01-31T08:00:00+0000">
        <meta name="last-modified" content="Sat, 31 Jan 2026 09:00:00 GMT">
        <meta property="og:url" content="https://example.org/x">
        <link rel="canonical" href="https://example.org/plan">"""

    found = read_page(page(f"<h1>Logo</h1><p>{TALK}</p>", head, attributes='lang="en-GB"'))

    assert found.headline == "Ministers agree"
    assert found.summary == "A plan"
    assert found.byline == "Ada Lee"
    assert found.published == datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert found.modified == datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert found.url == "https://example.org/plan"
    assert found.language == "en-GB"


def test_headline_is_the_only_first_heading_else_the_title() -> None:
    assert read_page(page(f"<h1>Heading</h1><p>{TALK}</p>")).headline == "Heading"
    assert read_page(page(f"<h1>One</h1><h1>Two</h1><p>{TALK}</p>")).headline == "T"


def test_states_nothing_that_the_page_does_not_state() -> None:
    head = '<meta name="date" content="last Tuesday"><meta name="author" content=" ">'

    found = read_page(page(f"<p>{TALK}</p>", head, attributes='lang="the queen’s"'))

    assert (found.url, found.published, found.byline, found.language, found.summary) == (None,) * 5


@pytest.mark.parametrize(
    "address",
    [
        "/plan",
        "//example.org/plan",
        "ftp://example.org/",
        "https://",
        "https://[x/",
        "https://x:99999/",
        "https://x/a b",
    ],
)
def test_an_address_that_the_contract_refuses_is_not_stated(address: str) -> None:
    head = f'<link rel="canonical" href="{address}"><meta property="og:url" content="https://example.org/good">'

    assert read_page(page(f"<p>{TALK}</p>", head)).url == "https://example.org/good"


@pytest.mark.parametrize("script", ["{not json", "[" * 100_000, "null", '{"@type": 7}', '[[], "x", {"@graph": 1}]'])
def test_broken_json_ld_is_no_obstacle(script: str) -> None:
    head = (
        f'<script type="application/ld+json">{script}</script><meta property="og:title" content="Ministers agree">'
    )

    assert read_page(page(f"<p>{TALK}</p>", head)).headline == "Ministers agree"
