"""The texts of the benches: public data where it is there, else generated articles and pages.

`NEWSFLOW_EVAL_DATA` is the folder of the public data: `corpus/c50.jsonl.gz` has news articles, a JSON object with
`text` on each line, and `extract/pages.tar.gz` has saved web pages. Unset, it is `../shared/eval` beside the
checkout if that exists. Set to nothing, or without such a folder, all texts are generated.
"""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from tests.bench.generated import PUBLISHERS, generate_articles
from tests.bench.generated_pages import generate_pages

FILES = {"articles": "corpus/c50.jsonl.gz", "pages": "extract/pages.tar.gz"}
SEED = 1
PAGE_PUBLISHER = "bench.example"


@dataclass(frozen=True)
class Text:
    """A plain text with paragraphs on lines of their own, or an HTML page, and who published it."""

    publisher: str
    content: str


@dataclass(frozen=True)
class Texts:
    """The texts of a bench; `source` is the line that the bench prints first."""

    source: str
    texts: list[Text]

    @property
    def contents(self) -> list[str]:
        """The texts without their publishers."""
        return [text.content for text in self.texts]


def load_texts(
    kind: Literal["articles", "pages"], count: int, *, min_words: int = 0, max_words: int = 1_000_000
) -> Texts:
    """Load at most `count` public texts, or generate exactly `count`.

    Args:
        kind: News articles as plain text, or HTML pages.
        count: Number of texts.
        min_words: Articles of fewer words are left out.
        max_words: Articles of more words are left out.

    Raises:
        FileNotFoundError: `NEWSFLOW_EVAL_DATA` is set to a folder without these texts.
    """
    file = _public_file(kind)
    if file:
        found = _public_articles(file) if kind == "articles" else _public_pages(file)
    else:
        found = (
            _generated_articles()
            if kind == "articles"
            else (Text(PAGE_PUBLISHER, page) for page in generate_pages(SEED))
        )
    if kind == "articles":
        found = (text for text in found if min_words <= len(text.content.split()) <= max_words)
    texts = list(islice(found, count))
    return Texts(
        f"texts: {len(texts):,} {kind}, {f'public ({file})' if file else f'generated (seed {SEED})'}", texts
    )


def distinct_texts(count: int) -> list[str]:
    """Generate articles of which none is a copy of another, the same on every machine."""
    return [article.text for article in islice(generate_articles(SEED, repeats=False), count)]


def _public_file(kind: str) -> Path | None:
    folder = os.environ.get("NEWSFLOW_EVAL_DATA")
    if folder is None:
        file = Path(__file__).parents[3] / "shared" / "eval" / FILES[kind]
        return file if file.exists() else None
    if not folder:
        return None
    file = Path(folder) / FILES[kind]
    if not file.exists():
        raise FileNotFoundError(f"NEWSFLOW_EVAL_DATA={folder}: there is no {FILES[kind]}")
    return file


def _public_articles(file: Path) -> Iterator[Text]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            yield Text(f"paper-{number % PUBLISHERS}.example", json.loads(line)["text"])


def _public_pages(file: Path) -> Iterator[Text]:
    with tarfile.open(file) as archive:
        for name in sorted(name for name in archive.getnames() if name.endswith(".html")):
            if page := archive.extractfile(name):
                yield Text(PAGE_PUBLISHER, page.read().decode(errors="replace"))


def _generated_articles() -> Iterator[Text]:
    return (Text(article.publisher, article.text) for article in generate_articles(SEED))
