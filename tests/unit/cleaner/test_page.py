from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas.article import Change, Kind
from services.cleaner.page import HtmlTooDeep, read_page

TALK = "The ministers met for three hours on Tuesday and agreed on a plan that both parliaments must now pass."
DOUBT = "Whether they will pass it is another matter, since the opposition has promised to vote against it."
QUOTE = "“We have come a long way since the spring, and we shall go the rest of it,” the minister said."


def page(body: str, head: str = "", attributes: str = 'lang="en"') -> str:
    return f"<!doctype html><html {attributes}><head><title>T</title>{head}</head><body>{body}</body></html>"


OG = '<meta property="og:title" content="{}">'


def texts(html: str) -> list[str]:
    return [piece.text for piece in read_page(html).paragraphs]


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
    assert [(piece.text, piece.kind) for piece in read_page(ARTICLE).paragraphs] == [
        (TALK, Kind.TEXT),
        (DOUBT, Kind.TEXT),
        ("What comes next", Kind.HEADING),
        (QUOTE, Kind.QUOTE),
        ("Monday: the first reading", Kind.LIST_ITEM),
        ("Friday: the vote", Kind.LIST_ITEM),
    ]


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
    assert texts(html) == paragraphs


def test_loses_nothing_of_a_long_fragment() -> None:
    caption, aside = "The bridge that the ministers crossed.", "Background: the talks began in March."
    html = (
        f"<p>{TALK}</p><figure><figcaption>{caption}</figcaption></figure><p>{DOUBT}</p>"
        f"<aside>{aside}</aside><p>{QUOTE}</p><footer>Ada Lee</footer>"
    )

    assert texts(html) == [TALK, caption, DOUBT, aside, QUOTE, "Ada Lee"]


def test_keeps_the_paragraphs_of_a_page_with_little_text() -> None:
    assert texts("<html><body><h1>Fire</h1><p>Nobody was hurt.</p></body></html>") == ["Nobody was hurt."]
    assert texts("<html><body><h1>Fire in the old harbour.</h1></body></html>") == ["Fire in the old harbour."]


def test_a_heading_that_is_not_the_headline_stays() -> None:
    html = page(f"<article><h1>Other words</h1><p>{TALK}</p><p>{DOUBT}</p></article>", OG.format("Ministers agree"))

    assert texts(html) == ["Other words", TALK, DOUBT]


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

    assert texts(page(body, head)) == [TALK, DOUBT, QUOTE]


def test_line_breaks_separate_the_paragraphs_of_a_page_without_paragraph_elements() -> None:
    html = page(f"<article><h1>Ministers agree</h1><div>{TALK}<br><br>{DOUBT}<br><br>{QUOTE}</div></article>")

    assert texts(html)[-3:] == [TALK, DOUBT, QUOTE]


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
    assert texts(html) == ["Été"]


def test_json_ld_goes_before_open_graph_and_meta_tags() -> None:
    head = """
        <meta property="og:title" content="Open Graph"><meta name="description" content="Meta">
        <meta name="author" content="Someone Else">
        <meta property="article:published_time" content="2001-01-01T00:00:00Z">
        <script type="application/ld+json">{"@graph": [{"@type": "WebSite", "name": "x"}, {"@type": ["NewsArticle"],
          "headline": "Stated", "description": "Summed up", "datePublished": "2026-01-31T08:00:00+01:00",
          "dateModified": "2026-01-31T09:00:00Z",
          "author": [{"@type": "Person", "name": "Ada Lee"}, {"@type": "Person", "name": "Bo Ek"}]}]}</script>"""

    found = read_page(page(f"<p>{TALK}</p>", head))

    assert found.headline == "Stated"
    assert found.summary == "Summed up"
    assert found.byline == "Ada Lee, Bo Ek"
    assert found.published == (
        datetime(2026, 1, 31, 8, tzinfo=timezone(timedelta(hours=1))),
        datetime(2001, 1, 1, tzinfo=UTC),
    )
    assert found.modified == (datetime(2026, 1, 31, 9, tzinfo=UTC),)


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
    assert found.published == (datetime(2026, 1, 31, 8, tzinfo=UTC),)
    assert found.modified == (datetime(2026, 1, 31, 9, tzinfo=UTC),)
    assert found.url == "https://example.org/plan"
    assert found.language == "en-GB"


def test_headline_is_the_only_first_heading_else_the_title() -> None:
    assert read_page(page(f"<h1>Heading</h1><p>{TALK}</p>")).headline == "Heading"
    assert read_page(page(f"<h1>One</h1><h1>Two</h1><p>{TALK}</p>")).headline == "T"


def test_states_nothing_that_the_page_does_not_state() -> None:
    head = '<meta name="date" content="last Tuesday"><meta name="author" content=" ">'

    found = read_page(page(f"<p>{TALK}</p>", head, attributes='lang="the queen’s"'))

    assert (found.url, found.byline, found.language, found.summary, found.section) == (None,) * 5
    assert (found.published, found.modified) == ((), ())


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


def test_the_article_among_several_is_the_one_with_the_pages_title() -> None:
    head = """<script type="application/ld+json">[{"@type": "NewsArticle", "headline": "Another one"},
        {"@type": "NewsArticle", "headline": "Ministers agree", "articleSection": ["Politics", "Europe"],
         "inLanguage": "en-IE"}]</script><meta property="og:title" content="Ministers agree - The Daily">"""

    found = read_page(page(f"<p>{TALK}</p>", head, attributes=""))

    assert (found.headline, found.section, found.language) == ("Ministers agree", "Politics", "en-IE")


def test_the_section_of_open_graph() -> None:
    assert read_page(page("<p>x</p>", '<meta property="article:section" content="Sport">')).section == "Sport"


def test_the_site_is_no_author_and_its_front_page_no_address() -> None:
    head = """<meta property="og:site_name" content="The Daily"><meta name="author" content="the daily">
        <link rel="canonical" href="https://example.org/"><meta property="og:url" content="https://example.org/plan">"""

    found = read_page(page(f'<p>By <a rel="author" href="/ada">Ada Lee</a></p><p>{TALK}</p>', head))

    assert (found.byline, found.url) == ("Ada Lee", "https://example.org/plan")


def test_a_marked_time_in_the_text_counts_where_it_is_the_only_one() -> None:
    mark = '<time itemprop="datePublished" datetime="2026-01-31T08:00:00Z">today</time>'

    assert read_page(page(f"{mark}<p>{TALK}</p>")).published == (datetime(2026, 1, 31, 8, tzinfo=UTC),)
    assert read_page(page(f"{mark}{mark}<p>{TALK}</p>")).published == ()


def test_says_what_was_repaired() -> None:
    pieces = read_page("<p>Plain.</p><p>Caf&amp;eacute;</p><p>so\xa0far</p>").paragraphs

    assert [(piece.text, piece.changes) for piece in pieces] == [
        ("Plain.", ()),
        ("Café", (Change.ENTITIES,)),
        ("so far", ()),
    ]


def test_facts_of_a_page() -> None:
    teasers = "".join(f'<h3><a href="/{n}">A headline of another article {n}</a></h3>' for n in range(4))
    facts = read_page(page(f"<nav><h2><a href=/>Home</a></h2></nav>{teasers}<p>{TALK}</p>")).facts

    assert facts is not None
    assert facts.linked_headings == 4
    assert facts.page_characters == 4 * len("A headline of another article 1") + len(TALK)
    assert round(facts.linked_share, 2) == round(1 - len(TALK) / facts.page_characters, 2)
    assert not facts.stated_article
    assert read_page("<p>fragment</p>").facts is None
    for head in (
        '<meta property="og:type" content="article">',
        '<script type="application/ld+json">{"@type": "NewsArticle"}</script>',
    ):
        stated = read_page(page("<p>x</p>", head)).facts
        assert stated is not None
        assert stated.stated_article
