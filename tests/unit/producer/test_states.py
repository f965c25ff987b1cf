from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.article import RawArticle
from schemas.reading import read_record, write_record
from schemas.source import Day, SourceState
from schemas.topics import SOURCE_STATES
from services.producer.core import Found, Reached, Skipped, Trouble, Unusable
from services.producer.states import (
    FEWEST_ARTICLES,
    LONGEST_ERROR,
    REMEMBERED_DAYS,
    States,
    silent_since,
    usual_per_day,
)

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
ARTICLE = Found("wire:1", RawArticle(publisher="p.example", body="A text."), "north", "1")
HOUR = 3_600.0
DAY = 24 * HOUR


def after(times: Iterable[datetime]) -> SourceState:
    """The state of a part whose articles were confirmed at these times."""
    states = States("wire")
    for now in times:
        states.note(ARTICLE, True, now)
    return states.parts["north"]


def quiet(state: SourceState, now: datetime, least: float = 0.0) -> bool:
    return silent_since(state, now, factor=2.0, least_seconds=least) is not None


# ---------------------------------------------------------------- counts and errors


def test_what_comes_is_counted_by_its_outcome() -> None:
    states = States("wire", follow_seconds=60)
    for item, confirmed in (
        (ARTICLE, True),
        (Skipped("wire:2", "seen", "north"), True),
        (Skipped("wire:3", "seen", "north"), True),
        (Unusable("wire:4", "no text", "north", reason="empty"), True),
        (Reached("north", "9"), True),
        (ARTICLE, False),
    ):
        states.note(item, confirmed, MONDAY)
    state = states.parts["north"]
    assert (state.sent, state.skipped, state.refused, state.checkpoint) == (1, {"seen": 2}, {"empty": 1}, "9")
    assert (state.looked, state.last_article, state.follow_seconds) == (MONDAY, MONDAY, 60)


def test_counts_go_on_where_an_earlier_run_ended() -> None:
    earlier = after([MONDAY, MONDAY])
    states = States("wire", [earlier])
    assert states.checkpoints == {"north": "1"}
    states.note(ARTICLE, True, MONDAY)
    assert states.parts["north"].sent == 3
    assert states.parts["north"].days[MONDAY.date()].articles == 3


def test_errors_in_a_row_are_counted_from_the_first_one_and_an_answer_ends_them() -> None:
    states = States("wire")
    for hours in range(3):
        states.note(Trouble("north", f"no answer {hours}"), True, MONDAY + timedelta(hours=hours))
    state = states.parts["north"]
    assert (state.error, state.error_since, state.errors) == ("no answer 2", MONDAY, 3)
    states.note(Reached("north"), True, MONDAY + timedelta(hours=3))
    state = states.parts["north"]
    assert (state.error, state.error_since, state.errors) == (None, None, 0)


def test_an_error_of_one_part_is_not_one_of_another() -> None:
    states = States("wire")
    states.note(Trouble("north", "no answer"), True, MONDAY)
    states.note(Reached("south"), True, MONDAY)
    assert states.parts["north"].error == "no answer"


def test_a_long_error_is_cut() -> None:
    states = States("wire")
    states.note(Trouble("north", "x" * 10_000), True, MONDAY)
    assert states.parts["north"].error == "x" * LONGEST_ERROR


def test_a_trouble_keeps_the_checkpoint() -> None:
    states = States("wire", [after([MONDAY])])
    states.note(Trouble("north", "no answer"), True, MONDAY)
    assert states.checkpoints == {"north": "1"}


# ---------------------------------------------------------------- what is written


def test_only_what_changed_is_written_and_what_could_not_be_written_counts_as_changed() -> None:
    states = States("wire", [after([MONDAY])])
    assert states.take_changed() == []
    states.note(Reached("south", "2"), True, MONDAY)
    changed = states.take_changed()
    assert [state.key for state in changed] == ["wire south"]
    assert states.take_changed() == []
    states.put_back(changed)
    assert states.take_changed() == changed
    states.put_back(changed)
    states.note(Reached("south", "3"), True, MONDAY)
    assert [state.checkpoint for state in states.take_changed()] == ["3"], "and as it is by now"


def test_a_sign_of_life_is_one_of_the_parts_that_are_followed() -> None:
    known = [
        SourceState(source="wire", part="followed", looked=MONDAY, follow_seconds=60),
        SourceState(source="wire", part="once", looked=MONDAY),
    ]
    states = States("wire", known, follow_seconds=60)
    states.lives(MONDAY + timedelta(minutes=5))
    assert [(state.part, state.looked.minute) for state in states.take_changed()] == [("followed", 5)]
    unfollowed = States("wire", known)
    unfollowed.lives(MONDAY)
    assert unfollowed.take_changed() == []


def test_what_is_written_is_what_is_read() -> None:
    state = after(MONDAY + timedelta(hours=7 * number) for number in range(20))
    assert read_record(SOURCE_STATES, write_record(state)) == state


def test_what_a_newer_version_writes_is_read_too() -> None:
    value = b'{"source": "wire", "part": "", "looked": "2026-03-02T00:00:00Z", "mood": "good"}'
    assert read_record(SOURCE_STATES, value).source == "wire"


# ---------------------------------------------------------------- days


def test_days_are_kept_for_four_weeks() -> None:
    state = after(MONDAY + timedelta(days=number) for number in range(60))
    last = MONDAY.date() + timedelta(days=59)
    assert min(state.days) == last - timedelta(days=REMEMBERED_DAYS)
    assert max(state.days) == last
    assert state.sent == 60, "what is counted for good is not forgotten"


def test_a_day_is_one_of_utc() -> None:
    late = datetime.fromisoformat("2026-03-02T23:30:00-05:00")
    assert set(after([late]).days) == {date(2026, 3, 3)}


def with_days(*articles: int) -> SourceState:
    """So many articles on the days before that Monday, the last one on Sunday."""
    first = MONDAY.date() - timedelta(days=len(articles))
    days = {first + timedelta(days=n): Day(articles=count) for n, count in enumerate(articles) if count}
    return SourceState(source="wire", part="", looked=MONDAY, days=days)


@pytest.mark.parametrize(
    ("articles", "usual"),
    [
        ([], None),
        ([5] * 6, None),
        ([5] * 7, 5),
        ([10, 10, 10, 10, 10, 1, 1], 10),
        ([3, 0, 0, 0, 0, 0, 0], 0),
        ([2, 4] * 4, 3),
        # Of more than is remembered, only the last four weeks.
        ([100] * 20 + [7] * 28, 7),
        ([100] * 15 + [7] * 13, 100),
        ([9, 1, 1, 1, 9, 9, 9], 9),
    ],
)
def test_the_usual_is_the_median_of_the_days_before(articles: list[int], usual: float | None) -> None:
    assert usual_per_day(with_days(*articles), MONDAY.date()) == usual


def test_today_is_no_part_of_the_usual() -> None:
    state = with_days(*[5] * 7)
    today = state.model_copy(update={"days": {**state.days, MONDAY.date(): Day(articles=900)}})
    assert usual_per_day(today, MONDAY.date()) == 5


# ---------------------------------------------------------------- silence


def office_hours(weeks: int) -> list[datetime]:
    """An article an hour from nine to five, from Monday to Friday."""
    days = [MONDAY + timedelta(days=number) for number in range(7 * weeks) if number % 7 < 5]
    return [day + timedelta(hours=hour) for day in days for hour in range(9, 18)]


def test_nights_and_weekends_are_no_silence_once_they_have_been_seen() -> None:
    times = office_hours(4)
    state = after(times)
    longest = (16 + 48) * HOUR  # from Friday at five to Monday at nine
    last = times[-1]
    assert not quiet(state, last + timedelta(seconds=longest))
    assert not quiet(state, last + timedelta(seconds=2 * longest))
    assert silent_since(state, last + timedelta(seconds=2 * longest + 1), 2.0, 0.0) == last


def test_a_night_is_remembered_as_long_as_its_day() -> None:
    """A pause of months ago makes no silence of today usual."""
    long_pause = [MONDAY, MONDAY + timedelta(days=20)]
    steady = [MONDAY + timedelta(days=20, hours=hour) for hour in range(1, 24 * 10)]
    assert not quiet(after([*long_pause, *steady]), steady[-1] + timedelta(days=30))
    more = [steady[-1] + timedelta(hours=hour) for hour in range(1, 24 * 30)]
    assert quiet(after([*long_pause, *steady, *more]), more[-1] + timedelta(hours=3))


@given(
    st.lists(st.floats(1, 2 * DAY), min_size=FEWEST_ARTICLES, max_size=40),
    st.floats(1.1, 5),
    st.floats(0, 3 * DAY),
)
def test_a_silence_like_an_earlier_one_is_none_and_a_longer_one_is(
    gaps: list[float], factor: float, least: float
) -> None:
    times = [MONDAY]
    for gap in gaps:
        times.append(times[-1] + timedelta(seconds=gap))
    # Only those of the remembered days count.
    since = datetime.combine(times[-1].date() - timedelta(days=REMEMBERED_DAYS), time(), UTC)
    kept = [each for each in pairwise(times) if each[1] >= since]
    longest = max((later - earlier).total_seconds() for earlier, later in kept)
    state = after(times)
    if sum(day.articles for day in state.days.values()) < FEWEST_ARTICLES:
        return
    bound = max(longest * factor, least)
    within, beyond = (times[-1] + timedelta(seconds=bound + more) for more in (-0.5, 0.5))
    assert silent_since(state, within, factor, least) is None
    assert silent_since(state, beyond, factor, least) == times[-1]


@given(st.integers(0, FEWEST_ARTICLES - 1), st.floats(0, 10 * 365 * DAY))
def test_with_few_articles_no_part_is_silent(count: int, seconds: float) -> None:
    times = [MONDAY + timedelta(minutes=number) for number in range(count)]
    states = States("wire")
    states.note(Reached("north"), True, MONDAY)
    for now in times:
        states.note(ARTICLE, True, now)
    assert not quiet(states.parts["north"], MONDAY + timedelta(seconds=seconds))


def test_no_part_is_silent_before_the_least_time() -> None:
    busy = after(MONDAY + timedelta(seconds=number) for number in range(100))
    last = MONDAY + timedelta(seconds=99)
    assert not quiet(busy, last + timedelta(seconds=HOUR), least=HOUR)
    assert quiet(busy, last + timedelta(seconds=HOUR + 1), least=HOUR)
