"""When lists are looked at, what of them is given, and what a checkpoint keeps; a table answers requests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from services.producer import polling
from services.producer.core import Found, Item, Reached, Skipped, Trouble, Unusable
from services.producer.fetch import FetchFailed
from services.producer.fetching import FetchSettings, read_page
from services.producer.polling import Entry, Listing, Polling, digest
from services.producer.source import Run

LIST = "http://a.example/feed"


def entry(name: str, text: str = "x", page: bool = False, time: datetime | None = None) -> Entry:
    article: dict[str, Any] = {"publisher": "a.example", "id": name}
    if not page:
        article["body"] = text
    return Entry(digest(name), digest(text), name, article, time, f"http://a.example/{name}" if page else None)


def read(url: str, etag: str | None, modified: str | None) -> Listing:
    raise AssertionError("a child would do this")


@dataclass
class Web:
    """Stands for the child processes: answers at once, and keeps what it was asked for and when."""

    clock: float = 0.0
    answers: dict[str, list[Any]] = field(default_factory=dict)
    """URL -> its answers in turn; the last one stays."""
    asked: list[tuple[float, str, tuple[Any, ...]]] = field(default_factory=list)
    ready: list[tuple[Any, Any]] = field(default_factory=list)
    stopped: bool = False

    @property
    def pending(self) -> int:
        return len(self.ready)

    def ask(self, key: Any, function: Callable[..., Any], url: str, *arguments: Any) -> None:
        assert function in (read, read_page)
        self.asked.append((self.clock, url, arguments))
        answers = self.answers[url]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.ready.append((key, (url, answer) if isinstance(answer, str) else answer))

    def take(self) -> list[tuple[Any, Any]]:
        taken, self.ready = self.ready, []
        return taken

    def stop(self) -> None:
        self.stopped = True

    def times(self, url: str) -> list[float]:
        return [time for time, asked, _ in self.asked if asked == url]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    web = Web()
    monkeypatch.setattr(FetchSettings, "fetching", lambda self: web)
    monkeypatch.setattr(time, "monotonic", lambda: web.clock)
    monkeypatch.setattr(random, "random", lambda: 0.5)  # no jitter
    return web


def run(web: Web, checkpoints: Mapping[str, str] | None = None, until: float = 0.0, **more: Any) -> list[Item]:
    """The items of a run that ends when the clock reaches `until` seconds."""
    started = Run(checkpoints=checkpoints or {}, follow=until > 0, every=100, **more)

    def wait(seconds: float) -> bool:
        web.clock += max(seconds, 1.0)
        return not started.follow or web.clock < until

    started.wait = wait  # type: ignore[method-assign]
    return list(Polling(FetchSettings(), started, read).articles([(LIST, None)]))


def names(items: list[Item]) -> list[str | None]:
    return [item.article.id for item in items if isinstance(item, Found)]


def checkpoints(items: list[Item]) -> dict[str, str]:
    return {item.part: item.checkpoint for item in items if item.checkpoint is not None}


def test_each_entry_is_given_once(web: Web) -> None:
    web.answers = {LIST: [Listing([entry("1"), entry("2")], etag='"7"', modified="Friday")]}
    first = run(web)
    assert names(first) == ["1", "2"]
    assert web.stopped
    again = run(web, checkpoints(first))
    assert web.asked[-1][2] == ('"7"', "Friday")
    assert [(type(item), getattr(item, "reason", "")) for item in again[:2]] == [(Skipped, "seen")] * 2
    assert names(again) == []


def test_a_changed_entry_is_given_again(web: Web) -> None:
    web.answers = {LIST: [Listing([entry("1"), entry("2")]), Listing([entry("1", "corrected"), entry("2")])]}
    first = run(web)
    again = run(web, checkpoints(first))
    assert [item.article.body for item in again if isinstance(item, Found)] == ["corrected"]


def test_an_entry_that_comes_back_is_not_new(web: Web) -> None:
    web.answers = {
        LIST: [Listing([entry("1"), entry("2")]), Listing([entry("2")]), Listing([entry("1"), entry("2")])]
    }
    known: dict[str, str] = {}
    found = []
    for _ in range(3):
        items = run(web, known)
        known = checkpoints(items)
        found += names(items)
    assert found == ["1", "2"]


def test_what_was_given_is_bounded_and_fits_into_a_record(web: Web) -> None:
    known: dict[str, str] = {}
    for start in (0, 60_000):
        web.answers = {LIST: [Listing([entry(str(start + number)) for number in range(60_000)])]}
        known = checkpoints(run(web, known))
    assert len(known[LIST]) < 850_000
    web.answers = {LIST: [Listing([entry(str(number)) for number in range(80_000, 120_000)])]}
    assert names(run(web, known)) == []


def test_a_page_is_fetched_where_the_list_has_no_text(web: Web) -> None:
    web.answers = {LIST: [Listing([entry("1", page=True)], etag='"7"')], "http://a.example/1": ["<p>Text.</p>"]}
    items = run(web)
    assert [item.article.html for item in items if isinstance(item, Found)] == ["<p>Text.</p>"]
    assert isinstance(items[-1], Reached)


def test_a_page_that_fails_is_refused_and_tried_by_the_next_run(web: Web) -> None:
    web.answers = {
        LIST: [Listing([entry("1", page=True), entry("2")], etag='"7"')],
        "http://a.example/1": [FetchFailed("timeout", "no answer"), "<p>Text.</p>"],
    }
    first = run(web)
    refused = [item for item in first if isinstance(item, Unusable)]
    assert [(each.reason, each.error, each.origin) for each in refused] == [("timeout", "no answer", "1")]
    again = run(web, checkpoints(first))
    assert web.asked[-2][2] == (None, None), "a 304 would hide the entry"
    assert names(again) == ["1"]


def test_a_follower_tries_a_page_again_and_gives_up_in_the_end(web: Web) -> None:
    web.answers = {
        LIST: [Listing([entry("1", page=True)])],
        "http://a.example/1": [FetchFailed("timeout", "no answer")],
    }
    items = run(web, until=1_000)
    assert [item.reason for item in items if isinstance(item, Skipped)][:5] == ["page_later"] * 4 + ["seen"]
    assert [item.reason for item in items if isinstance(item, Unusable)] == ["timeout"]
    assert len(web.times("http://a.example/1")) == polling.PAGE_TRIES


def test_what_no_try_mends_is_said_once(web: Web) -> None:
    web.answers = {
        LIST: [Listing([entry("1", page=True)])],
        "http://a.example/1": [FetchFailed("status", "the server answered 404")],
    }
    items = run(web, until=1_000)
    assert [item.reason for item in items if isinstance(item, Unusable)] == ["status"]
    assert len(web.times("http://a.example/1")) == 1


def test_a_list_that_fails_is_left_alone_longer_each_time(web: Web) -> None:
    web.answers = {LIST: [FetchFailed("timeout", "no answer")] * 4 + [Listing()]}
    items = run(web, until=4_000)
    assert [item.error for item in items if isinstance(item, Trouble)] == ["no answer"] * 4
    times = web.times(LIST)
    pauses = [round(after - before, -2) for before, after in pairwise(times)]
    assert pauses[:5] == [200, 400, 800, 1600, 100]


def test_a_pause_has_an_end(web: Web) -> None:
    web.answers = {LIST: [FetchFailed("timeout", "no answer")]}
    run(web, until=3_000_000)
    times = web.times(LIST)
    assert times[-1] - times[-2] <= polling.LONGEST_PAUSE_SECONDS + 2


@pytest.mark.parametrize("answer", [FetchFailed("unavailable", "429", 5_000.0), Listing(least_seconds=5_000.0)])
def test_a_server_or_a_list_may_ask_for_patience(web: Web, answer: Any) -> None:
    web.answers = {LIST: [answer]}
    run(web, until=9_000)
    times = web.times(LIST)
    assert len(times) == 2
    assert times[1] >= 5_000


def test_pauses_are_not_all_alike(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([0.0, 1.0, 0.5])
    monkeypatch.setattr(random, "random", lambda: next(draws))
    web.answers = {LIST: [Listing()]}
    run(web, until=299)
    times = web.times(LIST)
    assert [round(after - before) for before, after in pairwise(times)] == [90, 110]


def test_a_list_names_others_also_when_it_has_not_changed(web: Web) -> None:
    inner = "http://a.example/news.xml"
    web.answers = {LIST: [Listing(more=[inner, LIST]), Listing(unchanged=True)], inner: [Listing([entry("1")])]}
    first = run(web)
    assert names(first) == ["1"]
    again = run(web, checkpoints(first))
    assert [item.part for item in again if isinstance(item, Skipped)] == [inner]


def test_lists_without_end_come_to_an_end(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "LISTS", 20)
    numbers = iter(range(1_000_000))

    class Endless(dict[str, list[Any]]):
        def __missing__(self, url: str) -> list[Any]:
            return [Listing(more=[f"http://a.example/{next(numbers)}"])]

    web.answers = Endless()
    run(web)
    assert len(web.asked) == 20


def test_what_is_out_of_range_is_another_runs(web: Web) -> None:
    old = datetime(2020, 1, 1, tzinfo=UTC)
    web.answers = {LIST: [Listing([entry("1", time=old)], etag='"7"')]}
    first = run(web, since=datetime(2026, 1, 1, tzinfo=UTC))
    assert [item.reason for item in first if isinstance(item, Skipped)] == ["out_of_range"]
    again = run(web, checkpoints(first))
    assert web.asked[-1][2] == (None, None), "a 304 would hide the entry"
    assert names(again) == ["1"]


def test_the_publisher_of_the_list_of_lists_wins(web: Web) -> None:
    web.answers = {LIST: [Listing([entry("1")])]}
    items = list(Polling(FetchSettings(), Run(), read).articles([(LIST, "b.example")]))
    assert [item.article.publisher for item in items if isinstance(item, Found)] == ["b.example"]


def test_an_entry_that_no_record_can_be_made_of_is_refused_with_its_field(web: Web) -> None:
    bad = Entry("k" * 8, "d" * 8, "http://a.example/x", {"publisher": "a.example", "id": "a\x00b", "body": "x"})
    web.answers = {LIST: [Listing([bad, entry("2")])]}
    items = run(web)
    assert [(item.reason, "id" in item.error) for item in items if isinstance(item, Unusable)] == [
        ("invalid_record", True)
    ]
    assert names(items) == ["2"]
