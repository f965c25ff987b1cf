from __future__ import annotations

import base64
import encodings.aliases
import random
import re
import unicodedata

import pytest
import trafilatura
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree
from lxml.html import HTMLParser, document_fromstring

from services.producer.decoding import decode_page, page_bytes, slim_page
from tests.unit.producer.news_pages import NEWS_PAGES

GERMAN = "Über die Größe des Flusses wird in der Stadt seit Jahren heftig gestritten."
RUSSIAN = "Привет, мир: это проверка кодировки страницы, и она довольно длинная."
JAPANESE = "日本語のテキストです。これは文字コードの判定のためのテストです。"


def page(text: str, head: str = "") -> str:
    return f"<html><head>{head}<title>t</title></head><body><p>{text}</p></body></html>"


@pytest.mark.parametrize(
    ("text", "codec", "label"),
    [
        (GERMAN, "utf-8", "utf-8"),
        (GERMAN, "cp1252", "ISO-8859-1"),
        ("“Curly” – quotes", "cp1252", "latin1"),
        (RUSSIAN, "koi8-r", "KOI8-R"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (JAPANESE, "cp932", "Shift_JIS"),
        (JAPANESE, "euc-jp", "euc-jp"),
        ("한국어 문장입니다. 똠방각하", "cp949", "euc-kr"),
        ("简体中文 联通", "gb18030", "gb2312"),
        ("ภาษาไทย…", "cp874", "windows-874"),
        (GERMAN, "utf-16-le", "utf-16"),
    ],
)
def test_the_header_names_the_encoding(text: str, codec: str, label: str) -> None:
    html = page(text)

    assert decode_page(html.encode(codec), f'text/html; Charset="{label}"') == html


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        ('<meta charset="koi8-r">', "koi8-r"),
        ("<meta charset=KOI8-R>", "koi8-r"),
        ("<META http-equiv='Content-Type' content='text/html; charset=windows-1251'>", "cp1251"),
        ('<meta name="a" content="' + "x" * 400 + '"><meta charset="koi8-r">', "koi8-r"),
        ('<meta charset="utf-16">', "utf-8"),
    ],
)
def test_without_a_header_the_page_does(head: str, codec: str) -> None:
    html = page(RUSSIAN, head)

    assert decode_page(html.encode(codec), "text/html") == html


def test_an_xml_declaration_counts_too() -> None:
    html = '<?xml version="1.0" encoding="ISO-8859-15"?><html><body>12 € für Größe</body></html>'

    assert decode_page(html.encode("iso8859-15")) == html


@pytest.mark.parametrize(("mark", "codec"), [("utf-8-sig", "utf-8"), ("utf-16", "utf-16-le")])
def test_a_byte_order_mark_beats_the_header_and_is_no_text(mark: str, codec: str) -> None:
    assert decode_page(page(GERMAN).encode(mark), "text/html; charset=windows-1251") == page(GERMAN)


@pytest.mark.parametrize(
    ("text", "codec"), [(RUSSIAN, "cp1251"), (JAPANESE, "cp932"), (GERMAN, "utf-8"), (GERMAN, "cp1252")]
)
def test_without_any_statement_it_is_told_by_its_looks(text: str, codec: str) -> None:
    html = page(text * 3)

    assert decode_page(html.encode(codec)) == html


def test_a_wrong_header_is_not_believed() -> None:
    html = page(GERMAN, '<meta charset="windows-1252">')

    assert decode_page(html.encode("cp1252"), "text/html; charset=utf-8") == html
    assert decode_page(page(GERMAN).encode("cp1252"), "text/html; charset=utf-8") == page(GERMAN)
    assert decode_page(page("caf\u00e9").encode("cp1252"), "text/html; charset=utf-8") == page("caf\u00e9")
    assert decode_page(page(GERMAN).encode(), "text/html; charset=utf-16") == page(GERMAN)


def test_a_page_with_some_foreign_bytes_keeps_its_encoding() -> None:
    html = page(GERMAN * 20, '<meta charset="windows-1252">')
    content = html.encode().replace(b"</body>", b"<!-- \xe9 --></body>")

    assert decode_page(content, "text/html; charset=utf-8") == html.replace("</body>", "<!-- \ufffd --></body>")


def test_a_page_cut_within_a_character_keeps_its_encoding() -> None:
    html = page("Caf\u00e9 \u2019", '<meta charset="windows-1252">')

    assert decode_page(html.encode() + b"\xe2\x80", "text/html; charset=utf-8") == html + "\ufffd"


def test_names_of_python_codecs_that_no_browser_knows_are_no_encodings() -> None:
    for label in ("zip", "rot13", "idna", "punycode", "unicode_escape", "utf-7", "undefined", "base64", "mbcs"):
        html = page(r"\ud800 +ADw-script+AD4- xn--a")
        assert decode_page(html.encode(), f"text/html; charset={label}") == html


def test_whatever_the_bytes_are_text_comes_without_nul_or_half_a_pair() -> None:
    labels = sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values(), "utf-16", "utf-8", "gbk"})
    random_ = random.Random(5)
    for label in labels:
        for mark in (b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"):
            text = decode_page(mark + random_.randbytes(300) + b"\0\xd8\0\xd8\0", f"text/html;charset={label}")
            text.encode()
            assert "\0" not in text
    assert decode_page(b"") == ""
    assert decode_page(b"<p>a\0b</p>", "\udcff; charset=\udcff") == "<p>ab</p>"


# ---------------------------------------------------------------- slim pages


CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f]")


def visible(html: str) -> str:
    """All text but that of scripts, styles, drawings and frames, without control characters and double spaces."""
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = document_fromstring(CONTROLS.sub("", html).encode(errors="replace"), parser=parser)
    etree.strip_elements(root, "script", "style", "svg", "iframe", with_tail=False)
    return " ".join(CONTROLS.sub("", root.text_content()).split())


def test_a_page_within_the_limit_is_left_as_it_is() -> None:
    html = "<p>a<script>x</script><!-- c -->"

    assert slim_page(html, page_bytes(html)) == html
    assert slim_page(html, page_bytes(html) - 1) != html


def test_page_bytes_are_those_of_the_record() -> None:
    assert page_bytes('<p class="a">\n\x01é𝄞') == len(r'"<p class=\"a\">\n\u0001') + 2 + 4 + 1


def test_what_no_text_is_in_goes() -> None:
    data = base64.b64encode(bytes(range(256)) * 4).decode()
    html = (
        f"<!DOCTYPE html><html><head><title>Title</title><style>{'p {} ' * 100}</style>"
        f"<script>{'var a = 1;' * 100}</script>"
        '<script type="application/ld+json">{"headline": "Kept &amp; whole", "x": "</p>"}</script></head><body>'
        f"<p>One <svg><title>Icon</title><path d='{'M1 1' * 99}'/></svg>two<!-- comment --> three</p>"
        f'<img alt="A river" src="data:image/png;base64,{data}">'
        f"<div style=\"background: url('data:image/png;base64,{data}') no-repeat\">In a box</div>"
        f'<img srcset="data:image/png;base64,{data} 1x, /b.png 2x" alt="data: {"words " * 60}">'
        "<noscript><p>Kept too</p></noscript></body></html>"
    )

    slim = slim_page(html, 1_000)

    assert visible(slim) == visible(html)
    assert "Kept &amp; whole" in slim
    for kept in ("<!DOCTYPE html>", "Kept too", 'alt="A river"', "/b.png 2x", "no-repeat", "words words"):
        assert kept in slim, kept
    for gone in ("var a", "p {}", "<svg", "comment", data):
        assert gone not in slim, gone


def test_a_drawing_that_nobody_closed_does_not_take_the_article_with_it() -> None:
    html = f"<body><svg class='a'><p>{GERMAN}</p><script>{'x' * 500}</script></body>"

    slim = slim_page(html, 100)

    assert GERMAN in slim
    assert "xxx" not in slim


def test_a_page_that_is_nested_too_deep_is_not_cut() -> None:
    html = "<div>" * 5_000 + GERMAN + "</div>" * 5_000 + "<script>" + "x" * 1_000 + "</script>"

    assert GERMAN in slim_page(html, 100)


def test_a_page_without_anything_is_no_error() -> None:
    assert slim_page("<!-- " + "x" * 100 + " -->", 10) == "<!-- " + "x" * 100 + " -->"


MARKUP = """<p>|</p>|<div class=a>|</div>|<b>|</b>|<a href='x?a=1&b=2'>|</a>|<table><tr><td>|</table>|<ul><li>|</ul>
    |<br>|<br/>|<script>var a='<p>no</p>';</script>|<style>p{}</style>|<svg><path d='M1'/></svg>|<svg/>|&amp;|&nbsp;
    |<!-- <p>no</p> -->|<!--|-->|<script>|</script>|<svg>|</svg>|<noscript>|</noscript>|&lt;p&gt;|&#8212;|&#1;|<|>|&
    |"|'|<title>|</title>|<textarea>|</textarea>|<body>|<html>|<head>|<?php echo ?>|<![CDATA[|]]>|<template>
    |</template>|<iframe>|</iframe>|<form>|<button>|<p/>|<xmp>|</xmp>|<noframes>|</noframes>|<math><mi>|</math>
    |<select><option>|</select>|<plaintext>"""
PIECES = st.sampled_from(MARKUP.split("|"))


@example(["<\x1f?"])
@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=30))
def test_no_text_is_lost(pieces: list[str]) -> None:
    html = "<p>start</p>" + "".join(pieces).replace("\0", "")

    assert visible(slim_page(html, 0)) == visible(html)


def test_the_article_that_is_found_in_a_slim_page_is_the_same() -> None:
    """Pages as news sites write them: with and without HTML that is well-formed."""
    for html in NEWS_PAGES:
        slim = slim_page(html, 0)

        assert visible(slim) == visible(html)
        assert words(slim) == words(html)
        assert len(words(html)) > 80
        assert len(slim) < len(html) / 2


def words(html: str) -> list[str]:
    """What trafilatura takes for the article."""
    found = trafilatura.extract(html, fast=True, include_comments=False) or ""
    return unicodedata.normalize("NFC", found).split()
