"""How well the cleaner finds the article in saved web pages: F1 over segments, held to what it was when measured.

Of each of 300 pages (a sample of trafilatura's evaluation set, Apache-2.0) a few segments of text are known that
belong to the article, and a few that do not. A segment is found where it stands in the kept paragraphs, both
repaired in the same way, so that spaces and soft hyphens do not count.
"""

from __future__ import annotations

import json
import multiprocessing
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

import trafilatura
from pebble import ProcessPool

from schemas.article import RawArticle
from services.cleaner.boilerplate import rule_for
from services.cleaner.core import NothingLeft, clean_article
from services.cleaner.settings import CleanerSettings
from services.cleaner.text import repair
from tests.quality.data import data_file, rows

# Measured: precision 0.9268, recall 0.9711, F1 0.9484; trafilatura alone has 0.9109, 0.9210 and 0.9159.
LOWER_BOUNDS = {"precision": 0.924, "recall": 0.968, "f1": 0.945}
BETTER_THAN_BARE = 0.01
"""How far F1 is to be above that of `trafilatura.extract(html, fast=True)` on the same pages in the same run."""
RECEIVED = datetime(2026, 1, 31, tzinfo=UTC)


class Score(NamedTuple):
    """Shares of 1. Precision: found segments that belong; recall: belonging segments that are found."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Their harmonic mean."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)


class Page(NamedTuple):
    """A page and its segments."""

    html: str
    belonging: list[str]
    foreign: list[str]


def pages(archive: tarfile.TarFile) -> Iterator[Page]:
    segments: dict[str, dict[str, Any]] = json.load(content(archive, "evaldata.json"))
    for page in segments.values():
        html = content(archive, f"html/{page['file']}").read()
        yield Page(decoded(html), page["with"], page["without"])


def content(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    assert file is not None
    return file


def decoded(html: bytes) -> str:
    """A producer sends text, so the encoding is not the cleaner's task: all but a few pages are UTF-8."""
    try:
        return html.decode()
    except UnicodeDecodeError:
        return html.decode("cp1252", errors="replace")


def kept_text(html: str) -> str:
    try:
        return repair(clean_article(RawArticle(publisher="example.org", html=html), RECEIVED).body)
    except NothingLeft:
        return ""


def bare_text(html: str) -> str:
    return repair(trafilatura.extract(html, fast=True, include_comments=False) or "")


def score(found: list[tuple[Page, str]]) -> Score:
    right = sum(repair(segment) in text for page, text in found for segment in page.belonging)
    wrong = sum(repair(segment) in text for page, text in found for segment in page.foreign)
    return Score(right / (right + wrong), right / sum(len(page.belonging) for page, _ in found))


def test_the_score_counts_segments() -> None:
    page = Page("", ["The  plan", "The vote"], ["Share this", "Po\xadli\xadtics"])

    assert score([(page, "The plan and Politics")]) == Score(precision=0.5, recall=0.5)
    assert Score(precision=0.5, recall=1.0).f1 == 2 / 3


def test_finds_the_article_in_web_pages() -> None:
    with tarfile.open(data_file("extract/pages.tar.gz")) as archive:
        every = list(pages(archive))
    limit = CleanerSettings(kafka_bootstrap_servers="not needed here").document_limit_seconds
    with ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn")) as pool:
        # A page that takes longer than a document may raises here.
        kept = list(pool.map(kept_text, [page.html for page in every], timeout=limit).result())
    result = score(list(zip(every, kept, strict=True)))
    bare = score([(page, bare_text(page.html)) for page in every])
    for name, shares in (("trafilatura", bare), ("cleaner", result)):
        print(f"{name}: precision {shares.precision:.4f}, recall {shares.recall:.4f}, F1 {shares.f1:.4f}")

    assert len(every) == 300
    assert result.f1 >= bare.f1 + BETTER_THAN_BARE
    assert result.precision >= LOWER_BOUNDS["precision"]
    assert result.recall >= LOWER_BOUNDS["recall"]
    assert result.f1 >= LOWER_BOUNDS["f1"]


def test_no_paragraph_of_the_news_is_taken_for_boilerplate() -> None:
    """5,000 agency articles with 87,859 paragraphs, without boilerplate but for one line."""
    paragraphs = [paragraph for row in rows("corpus/c50.jsonl.gz") for paragraph in row["text"].split("\n\n")]

    # The address of who wrote it, alone in brackets.
    assert [paragraph for paragraph in paragraphs if rule_for(paragraph)] == ["(sam.perry@reuters.com)"]


def test_finds_the_boilerplate_that_publishers_share() -> None:
    """Of the lines that 20 publishers put into 1,335 articles, the kinds that all publishers use are taken.

    The others (“… is a member of the Press Council”) are one publisher's own and no task of general rules.
    """
    shared = ("Sign up for", "Follow ", "Scan the QR code", "Have you seen", "More from", "Comments are closed")
    missed, taken = set(), set()
    for row in rows("dedup/boilerplate.jsonl.gz"):
        for text, kind in row["paragraphs"]:
            if kind == "text" and rule_for(text):
                taken.add(text)
            elif kind == "boilerplate" and text.startswith(shared) and not rule_for(text):
                missed.add(text)

    assert (missed, taken) == (set(), set())
