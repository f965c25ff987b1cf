"""What is looked for in a page beside what trafilatura finds, each on a page that it reads wrongly alone."""

from __future__ import annotations

import pytest
import trafilatura
from lxml.html import document_fromstring

from schemas.article import Kind
from services.cleaner import extraction
from services.cleaner.extraction import Block, article_blocks, page_blocks, size_of

TALK = "The ministers met for three hours on Tuesday and agreed on a plan that both parliaments must now pass."
DOUBT = "Whether they will pass it is another matter, since the opposition has promised to vote against it."
MORE = "The plan foresees four new bridges over the river, a tunnel for trains, and a fund for towns on both banks."
COST = "Its cost is put at six billion over ten years, of which the two countries would each bear one half."
LEAD = "After a night of talks two countries have a plan for their border river, and an argument about its price."
BODY = f"<p>{TALK}</p><p>{DOUBT}</p><p>{MORE}</p><p>{COST}</p>"


def taken(body: str, stated: str | None = None) -> list[Block]:
    root = document_fromstring(f"<!doctype html><html><body>{body}</body></html>")
    return article_blocks(root, page_blocks(root), stated)


def texts(body: str, stated: str | None = None) -> list[str]:
    return [block.text for block in taken(body, stated)]


def bare(body: str) -> str:
    html = f"<!doctype html><html><body>{body}</body></html>"
    return trafilatura.extract(html, fast=True, include_comments=False) or ""


def test_the_lead_between_headline_and_text() -> None:
    body = f'<main><h1>A plan</h1><div class="teaser-text"><p>{LEAD}</p></div><article>{BODY}</article></main>'

    assert LEAD not in bare(body)
    assert texts(body)[-5:] == [LEAD, TALK, DOUBT, MORE, COST]


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(f"<div><p>{LEAD}</p></div><h1>A plan</h1>", id="above-the-headline"),
        pytest.param(f'<h1>A plan</h1><div class="related"><p>{LEAD}</p></div>', id="of-another-article"),
        pytest.param(f'<h1>A plan</h1><div class="teaser"><p><a href="/x">{LEAD}</a></p></div>', id="a-link"),
        pytest.param('<h1>A plan</h1><div class="teaser"><p>Tuesday, 3 pm</p></div>', id="a-label"),
    ],
)
def test_what_is_no_lead(before: str) -> None:
    found = texts(f"<main>{before}<article>{BODY}</article></main>")

    assert LEAD not in found
    assert "Tuesday, 3 pm" not in found
    assert found[-4:] == [TALK, DOUBT, MORE, COST]


def test_a_paragraph_in_between_that_was_taken_for_something_else() -> None:
    body = f'<article><p>{TALK}</p><div class="article-teaser">{MORE}</div><p>{DOUBT}</p><p>{COST}</p></article>'

    assert MORE not in bare(body)
    assert texts(body) == [TALK, MORE, DOUBT, COST]


def test_a_side_bar_in_between_stays_out() -> None:
    aside = f'<div class="newsletter-box"><p>{LEAD}</p></div>'

    assert texts(f"<article><p>{TALK}</p>{aside}<p>{DOUBT}</p><p>{MORE}</p><p>{COST}</p></article>") == [
        TALK,
        DOUBT,
        MORE,
        COST,
    ]


def test_a_caption_says_what_a_picture_shows() -> None:
    shows = "The ministers on the bridge before their talks on Tuesday."
    figures = "<figure><img src=a><figcaption>{}</figcaption></figure>"
    shown, credit = figures.format(shows), figures.format("Photo: AP")
    body = f"<article><p>{TALK}</p>{shown}<p>{DOUBT}</p>{credit}<p>{MORE}</p></article>"

    assert [(block.text, block.kind) for block in taken(body)] == [
        (TALK, Kind.TEXT),
        (shows, Kind.CAPTION),
        (DOUBT, Kind.TEXT),
        (MORE, Kind.TEXT),
    ]


@pytest.mark.parametrize(
    ("html", "kinds"),
    [
        ("<h3>What comes next</h3>", [Kind.HEADING]),
        ("<ul><li>The first reading is on Monday</li><li>The vote is on Friday</li></ul>", [Kind.LIST_ITEM] * 2),
        ("<blockquote><p>“It was a long night,” one of them said.</p></blockquote>", [Kind.QUOTE]),
        (
            "<table><tr><th>Year</th><th>Cost</th></tr><tr><td>2027</td><td>3</td></tr></table>",
            [Kind.TABLE_ROW] * 2,
        ),
    ],
)
def test_kinds_of_paragraphs(html: str, kinds: list[Kind]) -> None:
    blocks = taken(f"<article><p>{TALK}</p><p>{DOUBT}</p>{html}<p>{MORE}</p><p>{COST}</p></article>")

    assert [block.kind for block in blocks] == [Kind.TEXT, Kind.TEXT, *kinds, Kind.TEXT, Kind.TEXT]


@pytest.mark.parametrize(
    "mark", ['class="live-blog__post live-post"', 'itemprop="liveBlogUpdate"', 'class="liveblog-entry"']
)
def test_entries_of_a_live_blog(mark: str) -> None:
    entries = "".join(
        f"<div {mark}><h2>{n}.15 pm</h2><p>{text}</p></div>" for n, text in enumerate((TALK, DOUBT, MORE))
    )

    found = {block.text: block.kind for block in taken(f"<main>{entries}</main>")}

    assert found == {
        "0.15 pm": Kind.HEADING,
        TALK: Kind.LIVE_ENTRY,
        "1.15 pm": Kind.HEADING,
        DOUBT: Kind.LIVE_ENTRY,
        "2.15 pm": Kind.HEADING,
        MORE: Kind.LIVE_ENTRY,
    }


def test_a_table_that_only_lays_out_text_is_none() -> None:
    body = f"<table><tr><td><p>{TALK}</p><p>{DOUBT}</p><p>{MORE}</p></td></tr></table>"

    assert [block.kind for block in taken(body)] == [Kind.TEXT] * 3


def test_the_links_below_an_article_and_their_heading_stay_out() -> None:
    links = '<h3>You may also like</h3><p><a href="/a">A bridge that nobody wanted to build</a></p>'

    assert texts(f"<article>{BODY}{links}</article>") == [TALK, DOUBT, MORE, COST]


def test_an_article_that_was_missed_is_the_longest_run_of_prose() -> None:
    items = "".join(
        f'<div class="item-description paywall"><p>{n}. {TALK} {DOUBT} {MORE}</p></div>' for n in range(6)
    )
    body = f"<main><h1>A plan</h1><article><p>{LEAD}</p></article>{items}</main>"

    found = texts(body)

    assert found == ["A plan", LEAD, *(f"{n}. {TALK} {DOUBT} {MORE}" for n in range(6))]


def test_a_short_article_keeps_its_place_before_a_list_of_others() -> None:
    others = "".join(f'<section><p>{n}. {DOUBT}</p><a href="/{n}">More</a></section>' for n in range(9))
    far = "<hr><p>x</p>" * 13
    body = f"<article><h1>A plan</h1><p>{TALK}</p><p>{MORE} {COST}</p></article>{far}<div>{others}</div>"

    assert texts(body)[:3] == ["A plan", TALK, f"{MORE} {COST}"]


def test_what_the_page_states_of_its_text_is_found_in_it() -> None:
    body = f'<div id="comment-wrap"><p>{LEAD}</p></div><article>{BODY}</article>'

    assert LEAD not in texts(body)
    assert texts(body, stated=f"{LEAD}\n{TALK}") == [LEAD, TALK, DOUBT, MORE, COST]


def test_a_page_that_hides_its_text_until_a_script_has_run() -> None:
    assert texts(f"<noscript><article>{BODY}</article></noscript>") == [TALK, DOUBT, MORE, COST]


def test_an_element_that_says_it_has_no_side_bar_is_none() -> None:
    body = f'<div class="main--no-sidebar"><h1>A plan</h1><div class="teaser">{LEAD}</div><div>{BODY}</div></div>'

    assert LEAD in texts(body)


def test_a_page_whose_every_part_has_such_a_name_keeps_its_text() -> None:
    parts = "".join(f'<div class="share-box"><p>{n}. {TALK} {DOUBT}</p></div>' for n in range(20))

    assert len(texts(f"<h1>A plan</h1>{parts}")) >= 20


@pytest.mark.parametrize("name", ["elementor-widget elementor-widget-text", "main with-sidebar", "showcase"])
def test_names_that_only_sound_like_noise(name: str) -> None:
    assert extraction._name_says(name) is None


@pytest.mark.parametrize("name", ["footer-widget", "post-comments", "RelatedPosts", "most-read", "left sidebar"])
def test_names_of_noise(name: str) -> None:
    assert extraction._name_says(name) is extraction._Said.NOISE


def test_names_of_elements_are_read_to_a_length_and_remembered_to_a_number() -> None:
    extraction._name_says.cache_clear()
    for n in range(5_000):
        list(
            page_blocks(
                document_fromstring(f'<body><div class="{n} {"x" * 10_000} comment"><p>{TALK}</p></div></body>')
            )
        )

    info = extraction._name_says.cache_info()
    assert info.currsize <= 4_096


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("<p>x</p>" * 30_000, id="one-label-again-and-again"),
        pytest.param(f"<p>{TALK}</p>" * 8_000, id="one-sentence-again-and-again"),
        pytest.param("".join(f"<p>{n}. {TALK}<b>{n}</b></p>" for n in range(6_000)), id="many-sentences"),
    ],
)
def test_a_hostile_page_is_looked_at_in_few_steps(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of the page is compared with what trafilatura found, and not each of its parts with each."""
    root = document_fromstring(f"<html><body>{body}</body></html>")
    page = page_blocks(root)
    compared = 0

    class Counted(str):
        __slots__ = ()

        def __contains__(self, part: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__contains__(self, part)  # type: ignore[operator]

    monkeypatch.setattr(Block, "key", property(lambda block: Counted(block.text.replace(" ", ""))))
    # Not one of these is in the page.
    main = [Block(f"{n} nothing of the kind") for n in range(2_000)]

    assert extraction._place(page, main) is None
    assert compared <= len(page) + len(main) * extraction.NEAR


def test_size_is_in_characters() -> None:
    assert size_of([Block("ab"), Block("c")]) == 3
