"""Generated web pages: a news article among the markup, scripts, styles and menus of a news site.

The same for the same seed. Sizes follow the 300 saved pages of trafilatura's evaluation set (Apache-2.0), most of
them news sites; figures alone were taken from it, no page.

Medians (and 0.9 quantiles), measured over the 300 pages and over 300 generated ones (seed 1):

                                    saved pages        generated
bytes                          87,449 (281,001)   89,750 (277,407)
  of scripts                    12,823 (73,541)  19,720 (114,889)
  of styles                        826 (38,142)    9,924 (61,110)
  of all other markup and text 60,858 (151,137)  59,200 (113,903)
tags                              1,302 (2,772)    1,726 (3,835)
  links                               117 (273)        159 (297)
  paragraphs                            30 (94)          23 (78)
  div                                 110 (325)        164 (350)
depth of elements                       14 (20)          14 (14)
words extracted by trafilatura      470 (1,546)      518 (2,166)
words in all                      1,024 (2,585)    1,563 (3,486)
pages that trafilatura reads a CPU second    68 to 79     80 to 88
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.bench.generated import PHRASES, WORDS, Quantiles, World, Writer, quantile, skewed

PAGE_BYTES: Quantiles = (
    (0, 6_000), (0.01, 11_747), (0.05, 25_067), (0.1, 35_380), (0.25, 56_725), (0.5, 87_449), (0.75, 159_817),
    (0.9, 281_001), (0.95, 350_989), (0.99, 480_948), (1, 600_000),
)  # fmt: skip
"""Bytes of HTML."""

PAGE_TAGS: Quantiles = (
    (0, 150), (0.01, 203), (0.05, 458), (0.1, 585), (0.25, 863), (0.5, 1302), (0.75, 1910), (0.9, 2772),
    (0.95, 3482), (0.99, 5303), (1, 7000),
)  # fmt: skip
"""Start tags, end tags and HTML comments."""

MAIN_WORDS: Quantiles = (
    (0, 60), (0.05, 67), (0.1, 113), (0.25, 260), (0.5, 470), (0.75, 888), (0.9, 1546), (0.95, 2304), (0.99, 5032),
    (1, 8000),
)  # fmt: skip
"""Words of the main text, as trafilatura extracts it."""

MIN_FILLER_SHARE = 0.1
"""Least share of scripts and styles in the bytes of a page."""
STYLE_SHARE = 0.35
"""Share of styles among scripts and styles."""
WRAPPERS = 7
"""Elements around all of a page's content."""
WITH_JSON_LD = 0.46
WITH_COMMENTS = 0.25
"""Share of pages with readers' comments below the article."""


def generate_pages(seed: int = 1) -> Iterator[str]:
    """Generate HTML pages without end. A page takes about 5 ms."""
    chance = random.Random(seed)
    world = World()
    while True:
        yield _Page(chance, world).html()


class _Page:
    def __init__(self, chance: random.Random, world: World) -> None:
        self.chance = chance
        self.writer = Writer(chance, world)
        self.publisher = skewed(chance, list(world.publishers))
        self.headline = self.writer.headline()
        self.parts: list[str] = []
        self.tags = 0

    def html(self) -> str:
        share = self.chance.random()
        size = quantile(PAGE_BYTES, share)
        tags = quantile(PAGE_TAGS, self._near(share))
        main = self._main()
        self._add(self._menu("main-navigation"))
        self._add(main)
        if self.chance.random() < WITH_COMMENTS:
            self._add(self._comments())
        while self.tags < tags:
            self._add(self._teasers())
        self._add(self._menu("footer-navigation"))
        wrapped = "".join(f'<div class="{self._class()}">' for _ in range(WRAPPERS))
        body = "\n".join([wrapped, *self.parts, "</div>" * WRAPPERS])
        filler = max(size - len(body), size * MIN_FILLER_SHARE)
        style = self._filled(self._style_rule, filler * STYLE_SHARE)
        scripts = [self._filled(self._statement, filler * (1 - STYLE_SHARE) / 4) for _ in range(4)]
        loaded = "\n".join(f'<script src="{self._url("static")}.js" async></script>' for _ in range(8))
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{self._head()}\n{loaded}\n<style>\n{style}\n</style>\n'
            f"<script>\n{scripts[0]}\n</script>\n</head>\n<body>\n<script>\n{scripts[1]}\n</script>\n{body}\n"
            f"<footer><p>Copyright {self.publisher}. All rights reserved.</p></footer>\n"
            f"<script>\n{scripts[2]}\n</script>\n<script>\n{scripts[3]}\n</script>\n</body>\n</html>\n"
        )

    def _near(self, share: float) -> float:
        """Return a share near another one: large pages have many tags, though not exactly as many."""
        return 1 - abs(1 - abs(share + self.chance.gauss(0, 0.2)))

    def _add(self, part: str) -> None:
        self.parts.append(part)
        self.tags += part.count("<")

    # ------------------------------------------------------------ the article

    def _main(self) -> str:
        target = quantile(MAIN_WORDS, self.chance.random())
        blocks: list[str] = []
        words = 0
        while words < target:
            text = self.writer.paragraph()
            words += len(text.split())
            blocks.append(self._block(text))
        byline = " ".join(self.writer.people[0])
        return (
            f'<main id="content"><div class="{self._class()}"><div class="{self._class()}">\n'
            f'<article class="article article--standard" data-id="{self.chance.getrandbits(40)}">\n'
            f"<header><h1>{self.headline}</h1>\n"
            f'<div class="article__meta"><span class="author">By {byline}</span> '
            f'<time datetime="2026-03-{self.chance.randint(1, 28):02}T08:30:00Z">March 2026</time></div></header>\n'
            f'<figure><img src="{self._url("images")}.jpg" alt="" width="1200" height="675" loading="lazy">'
            f"<figcaption>{self.writer.phrase('thing')} in {self.writer.places[0]}.</figcaption></figure>\n"
            + "\n".join(blocks)
            + "\n</article>\n</div></div></main>"
        )

    def _block(self, text: str) -> str:
        kind = self.chance.random()
        if kind < 0.04:
            return f'<h2 class="{self._class()}">{self.writer.headline()}</h2>\n<p>{text}</p>'
        if kind < 0.06:
            return f"<blockquote><p>{text}</p></blockquote>"
        if kind < 0.08:
            return f'<p>{text}</p>\n<aside class="{self._class()}">{self._teaser()}</aside>'
        if kind < 0.2:
            first, *rest = text.split(" ")
            return f'<p><a href="{self._url("topic")}" class="{self._class()}">{first}</a> {" ".join(rest)}</p>'
        return f'<p class="article__text">{text}</p>' if kind < 0.6 else f"<p>{text}</p>"

    def _comments(self) -> str:
        comments = "\n".join(
            f'<li class="comment"><div class="comment__author">{" ".join(skewed(self.chance, self.writer.people))}'
            f'</div><div class="comment__text"><p>{self.writer.paragraph()}</p></div></li>'
            for _ in range(self.chance.randint(2, 15))
        )
        return f'<section id="comments"><h3>Comments</h3><ol>{comments}</ol></section>'

    # ------------------------------------------------------------ what surrounds it

    def _menu(self, name: str) -> str:
        entries = "\n".join(
            f'<li class="{name}__item"><a href="{self._url("section")}" class="{self._class()}">{entry}</a></li>'
            for entry in PHRASES["menu"]
        )
        return (
            f'<nav class="{name}" role="navigation"><div class="{self._class()}"><ul>\n{entries}\n</ul></div></nav>'
        )

    def _teasers(self) -> str:
        teasers = "\n".join(f'<li class="{self._class()}">{self._teaser()}</li>' for _ in range(6))
        title = self.chance.choice(PHRASES["menu"])
        return (
            f'<div class="{self._class()}"><div class="{self._class()}"><h3><span>{title}'
            f"</span></h3><ul>\n{teasers}\n</ul></div></div><!-- end of block -->"
        )

    def _teaser(self) -> str:
        link = self._url("article")
        headline = " ".join(self.writer.headline().split()[:7])
        image = (
            f'<img src="{self._url("images")}.jpg" alt="" width="320" height="180" loading="lazy">'
            if self.chance.random() < 0.3
            else ""
        )
        return (
            f'<div class="teaser {self._class()}"><a href="{link}" class="{self._class()}" '
            f'data-track="{self.chance.getrandbits(48):x}">{image}'
            f'<span class="teaser__title">{headline}</span></a></div>'
        )

    def _head(self) -> str:
        description = self.writer.phrase("clause")
        properties = {
            "description": description,
            "og:title": self.headline,
            "og:type": "article",
            "viewport": "width=1",
            **{
                f"{skewed(self.chance, WORDS['prefix'])}:{number}": self.writer.phrase("thing")
                for number in range(15)
            },
        }
        metas = "\n".join(
            f'<meta name="{name}" content="{value.replace(chr(34), "")}">' for name, value in properties.items()
        )
        linked = (
            f'<script type="application/ld+json">{{"@context": "https://schema.org", "@type": "NewsArticle", '
            f'"headline": "{self.headline.replace(chr(34), "")}", '
            f'"datePublished": "2026-03-01T08:30:00Z"}}</script>'
            if self.chance.random() < WITH_JSON_LD
            else ""
        )
        return f'<meta charset="utf-8">\n<title>{self.headline} - {self.publisher}</title>\n{metas}\n{linked}'

    # ------------------------------------------------------------ attributes, scripts, styles

    def _class(self) -> str:
        return f"{self.chance.choice(WORDS['noun'])}-{self.chance.choice(WORDS['adjective'])}"

    def _url(self, folder: str) -> str:
        words = "-".join(self.chance.choices(WORDS["noun"], k=5))
        return f"https://www.{self.publisher}/{folder}/2026/03/{words}-{self.chance.getrandbits(24)}"

    def _style_rule(self) -> str:
        chance = self.chance
        return f".{self._class()}{{margin:{chance.randint(0, 40)}px auto;color:#{chance.getrandbits(24):06x}}}"

    def _statement(self) -> str:
        chance = self.chance
        names = chance.choices(WORDS["noun"], k=3)
        return (
            f"window.{names[0]}=window.{names[0]}||[];if(window.{names[0]}.length<{chance.randint(1, 99)}){{window."
            f'{names[0]}.push({{"{names[1]}":{chance.getrandbits(20)},"{names[2]}":"{chance.getrandbits(64):x}"}});}}'
        )

    @staticmethod
    def _filled(make: Callable[[], str], size: float) -> str:
        lines: list[str] = []
        filled = 0
        while filled < size:
            lines.append(make())
            filled += len(lines[-1]) + 1
        return "\n".join(lines)
