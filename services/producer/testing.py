"""What every source must keep, as a pytest class: derive from it, and give it the fixture `source`.

    class TestBulletin(SourceContract):
        @pytest.fixture
        def source(self) -> Bulletin:
            return Bulletin(path=…)

The source must give at least two articles, the same ones each time, without the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.article import RawArticle
from schemas.identity import article_id
from services.producer.core import Found, Item, Trouble, to_record
from services.producer.plugins import check_settings, check_source
from services.producer.source import ArticleSource, Run

MOST_ITEMS = 10_000
"""Items after which a source that does not follow is taken for endless."""


class SourceContract:
    """The tests; each of them says what it asks of the source."""

    @pytest.fixture
    def source(self) -> ArticleSource:
        """The source, with settings that make it give at least two articles."""
        raise NotImplementedError("write a fixture `source` that returns your source")

    def test_its_class_can_be_a_plug_in(self, source: ArticleSource) -> None:
        """A docstring for its help, a description of each setting, and `articles(self, run)`."""
        problems = check_source(type(source))
        assert not problems, "; ".join(problems)

    def test_its_settings_are_options(self, source: BaseModel) -> None:
        """`newsflow produce NAME --help` can be made of its fields."""
        problems = check_settings(type(source))
        assert not problems, "; ".join(problems)

    def test_it_gives_articles_that_can_be_sent(self, source: ArticleSource) -> None:
        """Two at least, none too large, and nothing but what the protocol has."""
        found = [item for item in _items(source) if isinstance(item, Found)]
        assert len(found) > 1, "it must give two articles for this test: which settings does it need?"
        for item in found:
            to_record(item.article)

    def test_it_reads_without_trouble(self, source: ArticleSource) -> None:
        """What the fixture has set up can be read."""
        troubles = [item.error for item in _items(source) if isinstance(item, Trouble)]
        assert not troubles, "; ".join(troubles)

    def test_an_article_keeps_its_id(self, source: ArticleSource) -> None:
        """The same again at the next run: an id made of a clock or of chance would index everything twice."""
        assert _ids(_items(source)) == _ids(_items(source)), "two runs gave different ids"

    def test_no_two_articles_have_one_id(self, source: ArticleSource) -> None:
        """The second would take the first one's place in the index."""
        origins: dict[str, list[str]] = {}
        for item in _items(source):
            if isinstance(item, Found):
                origins.setdefault(article_id(item.article), []).append(item.origin)
        twice = [" and ".join(each) for each in origins.values() if len(each) > 1]
        assert not twice, f"one id for {'; '.join(twice)}"

    def test_it_goes_on_after_each_checkpoint(self, source: ArticleSource) -> None:
        """Given back a checkpoint, it gives what came after it, and nothing that came before."""
        items = _items(source)
        given = [(place, item) for place, item in enumerate(items) if item.checkpoint is not None]
        for place, item in given:
            earlier = {each.part: each.checkpoint for each in items[: place + 1] if each.checkpoint}
            rest = [each for each in items[place + 1 :] if each.part == item.part]
            again = [each for each in _items(source, earlier) if each.part == item.part]
            assert _ids(again) == _ids(rest), f"after the checkpoint {item.checkpoint!r}"

    def test_it_ends_when_it_is_asked_to(self, source: ArticleSource) -> None:
        """A source that follows gives no more than what it has in hand."""
        if getattr(source, "follows", False):
            assert len(_items(source, follow=True, stopping=True)) < MOST_ITEMS


def _items(
    source: ArticleSource,
    checkpoints: Mapping[str, Any] | None = None,
    *,
    follow: bool = False,
    stopping: bool = False,
) -> list[Item]:
    run = Run(checkpoints=checkpoints or {}, follow=follow, stopping=lambda: stopping)
    items: list[Item] = []
    for given in source.articles(run):
        assert isinstance(given, RawArticle | Item), f"it gave a {type(given).__name__}, which the protocol has not"
        items.append(Found("article", given) if isinstance(given, RawArticle) else given)
        assert len(items) < MOST_ITEMS, f"it gave {MOST_ITEMS} items and does not end"
    return items


def _ids(items: list[Item]) -> list[str]:
    return [article_id(item.article) for item in items if isinstance(item, Found)]
