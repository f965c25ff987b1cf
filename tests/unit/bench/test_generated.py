"""The generated texts of the benches: the same for a seed, and distributed as the public texts are."""

from __future__ import annotations

import re
from itertools import islice
from statistics import median, quantiles

import pytest

from tests.bench.articles import load_texts
from tests.bench.generated import Article, generate_articles, plural
from tests.bench.generated_pages import generate_pages


@pytest.fixture(scope="module")
def articles() -> list[Article]:
    return list(islice(generate_articles(1), 300))


@pytest.fixture(scope="module")
def pages() -> list[str]:
    return list(islice(generate_pages(1), 50))


def test_articles_are_the_same_for_a_seed(articles: list[Article]) -> None:
    assert list(islice(generate_articles(1), 20)) == articles[:20]
    assert next(generate_articles(2)) != articles[0]


def test_pages_are_the_same_for_a_seed(pages: list[str]) -> None:
    assert list(islice(generate_pages(1), 5)) == pages[:5]
    assert next(generate_pages(2)) != pages[0]


def test_article_lengths_follow_the_corpus(articles: list[Article]) -> None:
    words = [len(article.text.split()) for article in articles]
    tenths = quantiles(words, n=10)

    assert 460 < median(words) < 560
    assert 270 < tenths[0] < 420
    assert 600 < tenths[-1] < 760


def test_paragraph_lengths_follow_the_corpus(articles: list[Article]) -> None:
    words = [len(paragraph.split()) for article in articles for paragraph in article.paragraphs]
    quarters = quantiles(words, n=4)

    assert 15 < quarters[0] < 25
    assert 24 < quarters[1] < 33
    assert 32 < quarters[2] < 42


def test_capitalised_words_inside_sentences_are_as_frequent_as_in_the_corpus(articles: list[Article]) -> None:
    sentences = [re.split(r"(?<=[.!?])\s+", paragraph) for article in articles for paragraph in article.paragraphs]
    words = [word for part in sentences for sentence in part for word in sentence.split()[1:]]

    assert 0.08 < sum(word[0].isupper() for word in words) / len(words) < 0.14


def test_few_names_are_in_many_articles_and_most_in_one(articles: list[Article]) -> None:
    original = [article for article in articles if article.copy_of is None]
    names = [set(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{3,}", article.text)) for article in original]
    counts = {name: sum(name in found for found in names) for name in set().union(*names)}

    assert max(counts.values()) > len(original) / 6
    assert sum(count == 1 for count in counts.values()) / len(counts) > 0.4


def test_copies_are_among_the_articles(articles: list[Article]) -> None:
    copies = [article for article in articles if article.copy_of is not None]
    unchanged = [copy for copy in copies if set(articles[copy.copy_of or 0].paragraphs) & set(copy.paragraphs)]

    assert 0.12 < len(copies) / len(articles) < 0.28
    assert len(unchanged) > 0.8 * len(copies)
    assert all(copy.copy_of is not None and articles[copy.copy_of].copy_of is None for copy in copies)


def test_publishers_repeat_their_own_lines(articles: list[Article]) -> None:
    endings: dict[str, set[str]] = {}
    for article in articles:
        endings.setdefault(article.publisher, set()).add(article.paragraphs[-1])
    with_boilerplate = [publisher for publisher, lines in endings.items() if publisher in "".join(lines)]

    assert len(endings) > 20
    assert len(with_boilerplate) > len(endings) / 3
    assert all(len(endings[publisher]) == 1 for publisher in with_boilerplate)


def test_some_articles_repeat_a_paragraph(articles: list[Article]) -> None:
    repeating = [article for article in articles if len(set(article.paragraphs)) < len(article.paragraphs)]

    assert 1 <= len(repeating) < 0.06 * len(articles)


def test_articles_without_repeats_have_no_paragraph_twice() -> None:
    paragraphs = [
        paragraph
        for article in islice(generate_articles(1, repeats=False), 60)
        for paragraph in article.paragraphs
        if len(paragraph.split()) > 8
    ]

    assert len(paragraphs) == len(set(paragraphs))


def test_page_sizes_follow_the_saved_pages(pages: list[str]) -> None:
    sizes = [len(page.encode()) for page in pages]

    assert 65_000 < median(sizes) < 130_000
    assert max(sizes) > 3 * median(sizes)
    assert 900 < median(page.count("<") for page in pages) < 2_200
    assert all(page.count("<nav ") == 2 and "<footer>" in page and "<script>" in page for page in pages)


@pytest.mark.parametrize(("noun", "expected"), [("policy", "policies"), ("day", "days"), ("tax", "taxes")])
def test_plural_of_regular_nouns(noun: str, expected: str) -> None:
    assert plural(noun) == expected


# ---------------------------------------------------------------- the choice between public and generated texts


def test_texts_are_generated_without_public_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSFLOW_EVAL_DATA", "")

    texts = load_texts("articles", 10, min_words=400, max_words=700)

    assert texts.source == "texts: 10 articles, generated (seed 1)"
    assert all(400 <= len(content.split()) <= 700 for content in texts.contents)
    assert load_texts("pages", 2).source == "texts: 2 pages, generated (seed 1)"


def test_missing_public_data_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSFLOW_EVAL_DATA", "/nowhere")

    with pytest.raises(FileNotFoundError, match="/nowhere: there is no corpus"):
        load_texts("articles", 1)
