from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from schemas.article import RawArticle
from schemas.source import Day, SourceState
from schemas.topics import MAX_RAW_BYTES
from services.producer import app
from services.producer import source as protocol
from services.producer.app import Report, SourceRun
from services.producer.core import Found, Item, Reached, Skipped, Trouble, Unusable
from services.producer.settings import ProducerSettings
from services.producer.source import Run
from tests.unit.producer.broker import Broker, broker, connected

__all__ = ["broker"]  # a fixture


class Clock:
    """Stands for `time`: it goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(app, "time", clock)
    monkeypatch.setattr(protocol, "time", clock)
    return clock


class Logged:
    """Stands for the log."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **about: Any) -> None:
        self.warnings.append((event, about))


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    logged = Logged()
    monkeypatch.setattr(app, "log", logged)
    return logged


@dataclass
class Given:
    """A source that gives these; each look at it is noted."""

    items: Iterable[Any] = ()

    def articles(self, run: Run) -> Iterator[Any]:
        yield from self.items


def found(body: str, part: str = "", checkpoint: str | None = None, **fields: Any) -> Found:
    article = RawArticle(publisher="harbour-post.example", body=body, **fields)
    return Found(f"wire:{body}", article, part, checkpoint)


def settings(**other: Any) -> ProducerSettings:
    return ProducerSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        newsflow_prefix="night-",
        **({"delivery_timeout_seconds": 7} | other),
    )


def deliver(
    items: Iterable[Any] = (),
    run: Run | None = None,
    *,
    known: Sequence[SourceState] = (),
    source: Any = None,
    name: str = "wire",
    rate: float | None = None,
    **other: Any,
) -> Report:
    """A run as `newsflow produce` makes it."""
    started = SourceRun(settings(**other), name, source or Given(items), run or Run(), known, rate=rate)
    started.run.checkpoints = started.states.checkpoints
    return started.deliver()


def stops_after(looks: int) -> Callable[[], bool]:
    """For `stopping`: True from then on."""
    asked = iter(range(looks))
    return lambda: next(asked, None) is None


# ---------------------------------------------------------------- what is sent


def test_a_bare_article_is_sent_and_named_by_its_url_or_its_id(broker: Broker) -> None:
    broker.lost = {"a", "b", "c"}
    articles = [
        RawArticle(publisher="p.example", body="a", url="https://p.example/a", id="1"),
        RawArticle(publisher="p.example", body="b", id="2"),
        RawArticle(publisher="p.example", body="c"),
        RawArticle(publisher="p.example", body="d"),
    ]
    report = deliver(articles)
    assert report.confirmed == 1
    assert [each.origin for each in report.failed] == ["https://p.example/a", "2", "article"]
    assert broker.closed


def test_an_article_says_which_source_sent_it_unless_it_does_so_itself(broker: Broker) -> None:
    deliver([found("one"), found("two", producer="agency")])
    assert [article.producer for article in broker.articles] == ["wire", "agency"]


def test_each_outcome_is_counted_and_what_was_not_sent_is_named(broker: Broker) -> None:
    broker.lost = {"lost"}
    report = deliver(
        [
            found("one"),
            Skipped("wire:2", "seen"),
            Skipped("wire:3", "seen"),
            Unusable("wire:4", "headline: too long", reason="invalid_record"),
            found("lost"),
            found("x" * MAX_RAW_BYTES),
            Reached(""),
            found("two"),
        ]
    )
    assert report.confirmed == 2
    assert report.skipped == {"seen": 2}
    assert report.refused == {"invalid_record": 1, "too_large": 1}
    assert (report.unconfirmed, report.not_sent, report.ended) == (1, 3, 7)
    assert [each.reason for each in report.failed] == ["invalid_record", "not_confirmed", "too_large"]
    assert "7 s" in report.failed[1].error
    assert report.troubles == {}


def test_a_report_names_no_more_failures_than_it_says_and_counts_them_all(broker: Broker) -> None:
    report = deliver([Unusable("wire", "no text")] * (app.NAMED_FAILURES + 5))
    assert len(report.failed) == app.NAMED_FAILURES
    assert report.not_sent == app.NAMED_FAILURES + 5


# ---------------------------------------------------------------- checkpoints

PARTS = ("north", "south")

ITEMS = st.lists(
    st.tuples(
        st.sampled_from(["sent", "lost", "large", "unusable", "skipped", "reached", "trouble"]),
        st.sampled_from(PARTS),
        st.booleans(),
    ),
    max_size=25,
)


def item_of(number: int, kind: str, part: str, marked: bool) -> Item:
    checkpoint = str(number) if marked else None
    match kind:
        case "unusable":
            return Unusable(f"wire:{number}", "no text", part, checkpoint)
        case "skipped":
            return Skipped(f"wire:{number}", "seen", part, checkpoint)
        case "reached":
            return Reached(part, checkpoint)
        case "trouble":
            return Trouble(part, "it does not answer")
    body = "x" * MAX_RAW_BYTES if kind == "large" else f"{kind} {number}"
    return found(body, part, checkpoint)


@given(ITEMS, st.integers(1, 6), st.booleans())
def test_a_checkpoint_stands_for_all_before_it_in_its_part(
    kinds: list[tuple[str, str, bool]], in_flight: int, answers: bool
) -> None:
    items = [item_of(number, *each) for number, each in enumerate(kinds)]
    with connected() as broker:
        broker.answers = answers
        broker.lost = {f"lost {number}" for number in range(len(items))}
        # Written as often as it may be, so that every state on the way is seen.
        deliver(items, in_flight_records=in_flight, checkpoint_seconds=1e-9)
    for state, confirmed_then in broker.seen:
        upto = int(state.checkpoint) if state.checkpoint is not None else -1
        before = [each for number, each in enumerate(kinds[: upto + 1]) if each[1] == state.part]
        assert "lost" not in [kind for kind, _, _ in before]
        bodies = {
            f"sent {n}"
            for n, (kind, part, _) in enumerate(kinds[: upto + 1])
            if (kind, part) == ("sent", state.part)
        }
        assert bodies <= set(broker.confirmed[:confirmed_then]), "it moved before Kafka had confirmed all before it"
    for part in PARTS:
        mine = [(n, kind, marked) for n, (kind, where, marked) in enumerate(kinds) if where == part]
        first_lost = next((n for n, kind, _ in mine if kind == "lost"), len(items))
        marks = [str(n) for n, kind, marked in mine if marked and n < first_lost and kind != "trouble"]
        assert broker.checkpoints.get(part) == (marks[-1] if marks else None)


def test_after_an_unconfirmed_article_its_part_stays_and_the_next_run_goes_on_from_there(broker: Broker) -> None:
    items = [
        found("one", "north", "1"),
        found("lost", "north", "2"),
        found("three", "north", "3"),
        found("four", "south", "4"),
    ]
    broker.lost = {"lost"}
    deliver(items)
    assert broker.checkpoints == {"north": "1", "south": "4"}
    broker.lost = set()
    deliver(items[1:3], known=broker.states)
    assert broker.checkpoints["north"] == "3"


def test_what_is_refused_and_skipped_moves_the_checkpoint(broker: Broker) -> None:
    deliver(
        [
            Unusable("wire:1", "no text", "north", "1"),
            Skipped("wire:2", "seen", "south", "2"),
            found("x" * MAX_RAW_BYTES, "east", "3"),
            Reached("west", "4"),
        ]
    )
    assert broker.checkpoints == {"north": "1", "south": "2", "east": "3", "west": "4"}


def test_states_are_written_under_the_source_and_its_part(broker: Broker) -> None:
    deliver([found("one", "north", "1"), Skipped("wire:2", "seen", "north"), found("two", "", "2")])
    assert set(broker.keys[2:]) == {("night-source-states", b"wire north"), ("night-source-states", b"wire ")}
    state = broker.last["north"]
    assert (state.source, state.part, state.checkpoint, state.sent) == ("wire", "north", "1", 1)
    assert state.skipped == {"seen": 1}
    assert state.follow_seconds is None


def test_a_long_run_writes_its_checkpoints_on_the_way(broker: Broker, clock: Clock) -> None:
    def articles() -> Iterator[Found]:
        for number in range(6):
            clock.now += 1
            yield found(f"text {number}", checkpoint=str(number))

    deliver(articles(), in_flight_records=1, checkpoint_seconds=2)
    written = [state.checkpoint for state in broker.states]
    assert written[-1] == "5"
    assert 2 <= len(written) <= 4, "every two seconds, and at the end"


def test_a_source_that_keeps_no_state_writes_none(broker: Broker) -> None:
    class Whole(Given):
        keeps_state = False

    deliver(source=Whole([found("one", "north", "1"), Trouble("south", "gone")]))
    assert broker.states == []
    assert broker.bodies == ["one"]


def test_checkpoints_that_could_not_be_written_are_written_later(
    broker: Broker, logged: Logged, clock: Clock
) -> None:
    def articles() -> Iterator[Found]:
        yield found("one", "north", "1")
        yield found("two", "south", "1")
        clock.now += 10

    broker.state_failures = 1
    report = deliver(articles(), in_flight_records=1)
    assert report.confirmed == 2
    assert broker.state_failures == 0
    assert broker.checkpoints == {"north": "1", "south": "1"}
    assert [event for event, _ in logged.warnings] == ["checkpoints not written, tried again"]


def test_what_is_confirmed_while_a_source_waits_is_written_then(broker: Broker, clock: Clock) -> None:
    class Waits(Given):
        def articles(self, run: Run) -> Iterator[Item]:
            yield found("one", checkpoint="1")
            broker.answers = False
            assert run.wait(5)
            assert broker.states == [], "Kafka has not answered yet"
            broker.answers = True
            assert run.wait(5)
            assert broker.checkpoints == {"": "1"}
            yield found("two", checkpoint="2")

    assert deliver(source=Waits()).confirmed == 2


# ---------------------------------------------------------------- rate and range


def test_a_rate_spreads_the_articles(broker: Broker, clock: Clock) -> None:
    sent_at: list[float] = []

    def articles() -> Iterator[Item]:
        for number in range(5):
            yield Skipped(f"wire:{number}", "seen")  # what is not sent needs no time
            yield found(f"text {number}")
            sent_at.append(clock.now)

    deliver(articles(), rate=4)
    assert broker.bodies == [f"text {number}" for number in range(5)]
    assert [round(at - sent_at[0], 6) for at in sent_at] == [0, 0.25, 0.5, 0.75, 1]


def test_a_source_slower_than_the_rate_is_not_held_up_and_saves_nothing_up(broker: Broker, clock: Clock) -> None:
    def articles() -> Iterator[Item]:
        yield found("one")
        clock.now += 60
        yield found("two")
        yield found("three")

    deliver(articles(), rate=1)
    assert sum(clock.slept) == pytest.approx(1), "only the third one waited, though a minute was free"


def test_without_a_rate_nobody_waits(broker: Broker, clock: Clock) -> None:
    deliver([found("one"), found("two")])
    assert clock.slept == []


MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


def test_only_what_was_published_within_the_range_is_sent(broker: Broker) -> None:
    def at(text: str, time: str | None) -> Found:
        return found(text, checkpoint=text, published=time)

    late = replace(found("by the source's time"), time=MARCH + timedelta(days=3))
    later = replace(found("by the source's time, outside"), time=APRIL)
    report = deliver(
        [
            at("before", "2026-02-28T23:59:59Z"),
            at("first", "2026-03-01T00:00:00Z"),
            at("without a zone", "2026-03-31T23:59:59"),
            at("in another zone", "2026-03-31T23:30:00-02:00"),
            at("behind", "2026-04-01T00:00:00Z"),
            late,
            later,
            found("modified only", modified="2026-03-05T00:00:00Z"),
            # The article's own time counts more than the source's.
            replace(at("its own time", "2026-03-06T00:00:00Z"), time=APRIL),
            at("undated", None),
        ],
        Run(since=MARCH, until=APRIL),
    )
    assert broker.bodies == ["first", "without a zone", "by the source's time", "modified only", "its own time"]
    assert report.skipped == {"out_of_range": 4, "undated": 1}
    assert broker.checkpoints == {"": "undated"}, "what is left out is done with"
    deliver([at("before", "2026-02-28T00:00:00Z")], Run(since=MARCH))
    assert broker.checkpoints == {"": "before"}


@pytest.mark.parametrize(
    ("run", "sent"),
    [
        (Run(since=MARCH), ["new"]),
        (Run(until=MARCH), ["old"]),
        (Run(), ["old", "undated", "new"]),
    ],
)
def test_either_end_may_be_open(broker: Broker, run: Run, sent: list[str]) -> None:
    deliver(
        [
            found("old", published="2026-02-01T00:00:00Z"),
            found("undated"),
            found("new", published="2026-03-02T00:00:00Z"),
        ],
        run,
    )
    assert broker.bodies == sent


# ---------------------------------------------------------------- sources that fail


def test_a_source_that_raises_ends_its_look_and_what_it_gave_is_sent(broker: Broker, logged: Logged) -> None:
    def articles() -> Iterator[Item]:
        yield found("one", "north", "1")
        raise KeyError("title")

    report = deliver(articles())
    assert broker.bodies == ["one"]
    assert report.confirmed == 1
    assert report.troubles == {"": "the source failed: KeyError: 'title'"}
    assert broker.checkpoints["north"] == "1"
    assert broker.last[""].error == report.troubles[""]
    assert [event for event, about in logged.warnings if about.get("exc_info")] == ["source failed"]


@pytest.mark.parametrize(
    ("given_", "name"), [({"title": "x"}, "dict"), ("text", "str"), (None, "NoneType"), (3, "int")]
)
def test_what_is_no_article_is_said_with_its_type(
    broker: Broker, logged: Logged, given_: object, name: str
) -> None:
    report = deliver([found("one"), given_, found("never")])
    assert broker.bodies == ["one"]
    assert f"it gave a {name}, which is no RawArticle" in report.troubles[""]


def test_a_source_that_gives_nothing_at_all_is_told(broker: Broker, logged: Logged) -> None:
    class Forgot:
        def articles(self, run: Run) -> None:
            """`yield` was forgotten."""

    assert "NoneType" in deliver(source=Forgot()).troubles[""]


def test_a_trouble_that_is_over_is_none(broker: Broker, logged: Logged) -> None:
    report = deliver([Trouble("north", "no answer"), Trouble("south", "no answer"), Reached("north")])
    assert report.troubles == {"south": "no answer"}
    assert broker.last["north"].error is None
    assert broker.last["south"].error == "no answer"
    assert ("source cannot be read", {"source": "wire", "part": "south", "error": "no answer"}) in logged.warnings


# ---------------------------------------------------------------- following


class Looks:
    """A source that is asked again and again: its checkpoints at each look, and what it gives at each."""

    def __init__(self, *looks: Iterable[Any]) -> None:
        self.looks = iter(looks)
        self.checkpoints: list[dict[str, str]] = []

    def articles(self, run: Run) -> Iterator[Any]:
        self.checkpoints.append(dict(run.checkpoints))
        yield from next(self.looks, ())


class Following(Run):
    """A run that notes how long it is asked to wait, and stops after so many looks."""

    def __init__(self, looks: int, every: float = 60) -> None:
        super().__init__(follow=True, every=every)
        self.waits: list[float] = []
        self.looks = looks
        self.stopping = lambda: len(self.waits) >= self.looks

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.idle()
        return not self.stopping()


def test_a_source_is_asked_again_with_the_checkpoints_of_what_it_gave(broker: Broker) -> None:
    source = Looks([found("one", "north", "1")], [], [found("two", "north", "2"), found("three", "south", "1")])
    run = Following(4, every=90)
    assert deliver(source=source, run=run).confirmed == 3
    assert source.checkpoints == [{}, {"north": "1"}, {"north": "1"}, {"north": "2", "south": "1"}]
    assert run.waits == [90] * 4
    assert broker.checkpoints == {"north": "2", "south": "1"}


def test_without_follow_it_is_asked_once(broker: Broker) -> None:
    source = Looks([found("one")], [found("two")])
    deliver(source=source)
    assert broker.bodies == ["one"]


def test_a_source_that_follows_by_itself_is_asked_once(broker: Broker) -> None:
    class Stream(Looks):
        follows = True

    source = Stream([found("one")], [found("two")])
    run = Following(5)
    deliver(source=source, run=run)
    assert (broker.bodies, run.waits) == (["one"], [])


def test_a_source_that_raised_is_asked_again(broker: Broker, logged: Logged) -> None:
    def breaks() -> Iterator[Item]:
        yield found("one")
        raise OSError("the line is cut")

    deliver(source=Looks(breaks(), [found("two")]), run=Following(2))
    assert broker.bodies == ["one", "two"]


def test_a_failure_as_a_whole_is_over_with_the_next_look_that_does_not_fail(broker: Broker, logged: Logged) -> None:
    def breaks() -> Iterator[Item]:
        yield found("one", "north")
        raise OSError("the line is cut")

    def error() -> str | None:
        return broker.last[""].error

    source = Looks(breaks(), [found("two", "north")])
    assert deliver(source=source, run=Following(2)).troubles == {}
    assert error() is None
    # The same when the next look is another run's.
    deliver(breaks())
    assert error() is not None
    assert deliver([found("three", "north")], known=broker.states).troubles == {}
    assert error() is None
    # And one that says so itself in this look is none that is over.
    again = deliver([Trouble("", "no URL is given"), found("four", "north")], known=broker.states)
    assert again.troubles == {"": "no URL is given"}
    assert error() == "no URL is given"


def test_a_stop_is_heeded_between_two_articles_and_what_was_given_is_confirmed(broker: Broker) -> None:
    def endless() -> Iterator[Item]:
        number = 0
        while True:
            number += 1
            yield found(f"text {number}", checkpoint=str(number))

    run = Run(stopping=stops_after(3))
    report = deliver(endless(), run)
    assert report.confirmed == len(broker.bodies) == 4
    assert broker.checkpoints == {"": "4"}


def test_who_follows_sends_until_the_broker_is_back(broker: Broker) -> None:
    broker.away = 40
    report = deliver(source=Looks([found("one", checkpoint="1"), found("two", checkpoint="2")]), run=Following(1))
    assert report.confirmed == 2
    assert sorted(broker.bodies, key=str) == ["one", "two"]
    assert broker.checkpoints == {"": "2"}


def test_it_is_told_whether_kafka_is_away(broker: Broker) -> None:
    told: list[bool] = []
    broker.away = 5
    items = [Skipped("wire:0", "seen"), found("one"), Skipped("wire:2", "seen"), found("two")]
    started = SourceRun(settings(), "wire", Looks(items), Following(1), away=told.append)
    assert started.deliver().confirmed == 2
    assert told == sorted(told, reverse=True), "away until the first article is confirmed, and not after it"
    assert {True, False} == set(told)


def test_who_does_not_follow_gives_up_after_the_second_time(broker: Broker) -> None:
    broker.away = 40
    report = deliver([found("one")])
    assert report.unconfirmed == 1
    assert broker.away == 38


def test_who_follows_gives_up_when_it_is_stopped(broker: Broker) -> None:
    broker.lost = {"one"}
    run = Run(follow=True, stopping=stops_after(10))
    report = deliver(source=Looks([found("one", checkpoint="1")]), run=run)
    assert report.unconfirmed == 1
    assert broker.checkpoints == {"": None}, "the next run gives it again"


def test_waiting_lets_the_run_go_on_and_ends_with_its_time_or_a_stop(clock: Clock) -> None:
    idles: list[float] = []
    run = Run(idle=lambda: idles.append(clock.now))
    assert run.wait(1) is True
    assert clock.now == pytest.approx(1_001)
    assert max(clock.slept) <= protocol.WAIT_STEP_SECONDS
    assert len(idles) > 3
    stopped = Run(stopping=stops_after(2))
    assert stopped.wait(3_600) is False
    assert clock.now < 1_002


# ---------------------------------------------------------------- signs of life, silence, metrics


def quiet_state(part: str, last: datetime, articles: int = 10) -> SourceState:
    """A part whose longest silence was a minute, last heard of at `last`."""
    return SourceState(
        source="wire",
        part=part,
        looked=last,
        follow_seconds=60.0,
        last_article=last,
        days={last.date(): Day(articles=articles, longest_gap_seconds=60.0)},
    )


LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_following_producer_writes_down_that_it_lives(broker: Broker, clock: Clock) -> None:
    class Quiet:
        follows = True

        def articles(self, run: Run) -> Iterator[Item]:
            run.wait(150)
            yield from ()

    known = [quiet_state("north", LONG_AGO), replace_state(quiet_state("once", LONG_AGO), follow_seconds=None)]
    deliver(source=Quiet(), run=Run(follow=True), known=known)
    assert len(broker.states) == 3, "at once, and each minute"
    assert {state.part for state in broker.states} == {"north"}, "the other one is no part that is followed"
    assert broker.last["north"].looked > LONG_AGO
    assert broker.last["north"].last_article == LONG_AGO


def replace_state(state: SourceState, **update: Any) -> SourceState:
    return state.model_copy(update=update)


def test_who_does_not_follow_gives_no_sign_of_life(broker: Broker, logged: Logged, clock: Clock) -> None:
    deliver([found("one", "south")], known=[quiet_state("north", LONG_AGO)])
    assert [state.part for state in broker.states] == ["south"]
    assert logged.warnings == []


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_a_silent_part_is_said_once_and_shown_until_an_article_comes(
    broker: Broker, logged: Logged, clock: Clock
) -> None:
    levels: list[float | None] = []

    class Wakes:
        follows = True

        def articles(self, run: Run) -> Iterator[Item]:
            run.wait(200)
            levels.append(metric("newsflow_source_silent", source="silence", part="north"))
            yield found("at last", "north")
            run.wait(200)
            levels.append(metric("newsflow_source_silent", source="silence", part="north"))

    known = [quiet_state("north", LONG_AGO), quiet_state("young", LONG_AGO, articles=9)]
    deliver(source=Wakes(), run=Run(follow=True), known=known, name="silence")
    assert levels == [1, 0]
    assert logged.warnings == [
        ("source is silent", {"source": "silence", "part": "north", "last_article": LONG_AGO.isoformat()})
    ]
    assert metric("newsflow_source_silent", source="silence", part="young") == 0


def test_outcomes_are_counted_by_source_and_reason(broker: Broker, logged: Logged) -> None:
    broker.lost = {"lost"}
    deliver(
        [
            found("one", "north"),
            found("two", "north"),
            found("lost", "north"),
            Skipped("wire:3", "seen", "north"),
            Unusable("wire:4", "no text", "north", reason="empty"),
            Trouble("south", "no answer"),
            Trouble("west", "no answer"),
            Reached("west"),
        ],
        name="counted",
    )
    assert metric("newsflow_source_articles_total", source="counted") == 2
    reasons = {
        reason: metric("newsflow_source_not_sent_total", source="counted", reason=reason)
        for reason in ("not_confirmed", "seen", "empty")
    }
    assert reasons == {"not_confirmed": 1, "seen": 1, "empty": 1}
    troubles = {part: metric("newsflow_source_trouble", source="counted", part=part) for part in ("south", "west")}
    assert troubles == {"south": 1, "west": 0}
    last = metric("newsflow_source_last_article_seconds", source="counted", part="north")
    assert last is not None
    assert last > LONG_AGO.timestamp()
