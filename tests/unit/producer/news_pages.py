"""Pages as news sites write them, with far more around the article than there is in it."""

from __future__ import annotations

import base64
import json

ENGLISH = [
    "The ferry between Aldmouth and the islands sailed again on Monday, twelve days after a storm had torn away "
    "the ramp of its northern pier.",
    "“We had fresh milk for the first time in a week,” said Moira Tennant, who runs the only shop on Sanday. "
    "“People were waiting on the quay before it was light.”",
    "Engineers from the harbour board had worked in shifts under floodlights; the repair cost 1.4 million pounds, "
    "a third more than was planned.",
    "A second ramp, of steel and not of timber, is to be built by the autumn of next year, the board said.",
]
GERMAN = [
    "Der Stadtrat hat am Montagabend beschlossen, die alte Brücke über die Größe für zwei Jahre zu sperren. Für "
    "den Antrag stimmten 31 von 48 Mitgliedern.",
    "„Wir haben lange gezögert“, sagte Baudezernentin Änne Köhler nach der Sitzung, „aber das Gutachten lässt uns "
    "keine andere Wahl.“",
    "Die Umleitung führt über die Nordbrücke; Busse und Fahrräder dürfen den Uferweg benutzen. Anwohner rechnen "
    "mit deutlich mehr Verkehr in der Lindenstraße.",
    "Die Kosten von 9,2 Millionen Euro teilen sich Stadt und Land. Ein Ersatzbau war im Frühjahr gescheitert.",
]

_DATA = base64.b64encode(bytes(range(256)) * 8).decode()
_SCRIPT = "(function(w){w.dataLayer=w.dataLayer||[];w.dataLayer.push({'event':'</p>'});})(window);" * 20
_STYLE = ".teaser > p::before { content: '<p>'; color: #345 } " * 30
_DRAWING = f'<svg viewBox="0 0 24 24"><title>Menu</title><path d="{"M3 6h18v2H3z " * 40}"/></svg>'


def _whole(language: str, headline: str, paragraphs: list[str]) -> str:
    described = json.dumps({"@type": "NewsArticle", "headline": headline, "articleBody": "<p>&amp;</p>"})
    menu = "".join(f'<li><a href="/{name}">{name.title()}</a></li>' for name in ("news", "sport", "culture"))
    # A drawing and a script amid the text, which goes on behind them.
    shown = [paragraph.replace(", ", f",{_DRAWING}<script>{_SCRIPT}</script> ", 1) for paragraph in paragraphs]
    body = "\n".join(f'<p class="text" style="margin:0">{paragraph}</p>' for paragraph in shown)
    related = "".join(f'<li><a href="/{number}">More on this subject {number}</a></li>' for number in range(6))
    return f"""<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8">
<title>{headline} | The Post</title>
<link rel="preload" href="/a.woff2"><style>{_STYLE}</style><script>{_SCRIPT}</script>
<script type="application/ld+json">{described}</script></head>
<body class="page"><!-- header: <p>not shown</p> --><header>{_DRAWING}<nav><ul>{menu}</ul></nav></header>
<main><article><h1>{headline}</h1><figure><img alt="The pier" src="data:image/png;base64,{_DATA}">
<figcaption>The pier on Sunday. Photo: Ines Vale</figcaption></figure>
{body}
<iframe src="https://player.example/7"><p>Your browser shows no frames.</p></iframe>
<noscript><img src="https://count.example/p.gif" alt=""></noscript></article>
<aside><h2>Related</h2><ul>{related}</ul></aside></main>
<footer><p>© The Post</p><script async>{_SCRIPT}</script></footer></body></html>"""


def _untidy(headline: str, paragraphs: list[str]) -> str:
    """Without a doctype, with tags that nobody closed, attributes without quotes, and characters by name."""
    body = "<br><br>".join(paragraphs[:2]).replace("“", "&ldquo;").replace("”", "&rdquo;")
    rest = "".join(f"<p align=left>{paragraph}" for paragraph in paragraphs[2:])
    return (
        f"<title>{headline}</title><script language=javascript>{_SCRIPT}</script><style>{_STYLE}</style>"
        f"<table width=100%><tr><td>{_DRAWING}<td><h1>{headline}</h1><div id=content><p>{body}{rest}</div>"
        f"<td background='data:image/gif;base64,{_DATA}'>&nbsp;</table><!-- <p>count</p> --><script>{_SCRIPT}"
    )


NEWS_PAGES = [
    _whole("en", "Ferry to the islands sails again", ENGLISH),
    _whole("de", "Alte Brücke wird gesperrt", GERMAN),
    _untidy("Ferry to the islands sails again", ENGLISH),
    _untidy("Alte Brücke wird gesperrt", GERMAN),
]
