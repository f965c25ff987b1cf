"""What is known of each part of a source: its checkpoint, its counts, its usual rate, and whether it is silent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from statistics import median

from schemas.source import Day, SourceState
from services.producer.core import Found, Item, Skipped, Trouble, Unusable

REMEMBERED_DAYS = 28
"""Days that make the usual: four of each weekday, so that a quiet Sunday is usual too."""

LONGEST_ERROR = 500
"""Characters of an error that are kept."""


class States:
    """The states of a source's parts during one run. `now` is given: no clock is read here."""

    def __init__(self, source: str, known: Iterable[SourceState] = (), follow_seconds: float | None = None) -> None:
        self.source = source
        self.follow_seconds = follow_seconds
        self.parts: dict[str, SourceState] = {state.part: state for state in known}
        self._changed: set[str] = set()
        self._stuck: set[str] = set()

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """The checkpoint of each part that has one."""
        return {part: state.checkpoint for part, state in self.parts.items() if state.checkpoint is not None}

    def note(self, item: Item, confirmed: bool, now: datetime) -> None:
        """An item has come to its end; `confirmed` says of an article whether Kafka has it.

        After an article that Kafka did not confirm, its part's checkpoint stays where it is until the next run.
        """
        state = self.parts.get(item.part) or SourceState(source=self.source, part=item.part, looked=now)
        update: dict[str, object] = {"looked": now, "follow_seconds": self.follow_seconds}
        if isinstance(item, Trouble):
            update |= {
                "error": item.error[:LONGEST_ERROR],
                "error_since": state.error_since or now,
                "errors": state.errors + 1,
            }
        else:
            update |= {"error": None, "error_since": None, "errors": 0}
            if isinstance(item, Found) and confirmed:
                update |= {"sent": state.sent + 1, "last_article": now, "days": _one_more(state, now)}
            elif isinstance(item, Found):
                self._stuck.add(item.part)
            elif isinstance(item, Unusable):
                update["refused"] = _counted(state.refused, item.reason)
            elif isinstance(item, Skipped):
                update["skipped"] = _counted(state.skipped, item.reason)
            if item.checkpoint is not None and item.part not in self._stuck:
                update["checkpoint"] = item.checkpoint
        self.parts[item.part] = state.model_copy(update=update)
        self._changed.add(item.part)

    def lives(self, now: datetime) -> None:
        """The producer follows and is there, though nothing may have come: that is written down too."""
        for part, state in self.parts.items():
            if state.follow_seconds is not None and state.follow_seconds == self.follow_seconds:
                self.parts[part] = state.model_copy(update={"looked": now})
                self._changed.add(part)

    def take_changed(self) -> list[SourceState]:
        """The states that changed since the last call."""
        changed = [self.parts[part] for part in sorted(self._changed)]
        self._changed.clear()
        return changed

    def put_back(self, states: Iterable[SourceState]) -> None:
        """These could not be written; they count as changed still."""
        self._changed.update(state.part for state in states)


def usual_per_day(state: SourceState, today: date) -> float | None:
    """The median of articles a day over the remembered days before `today`; none before there is a week of them."""
    first = min(state.days, default=today)
    length = min((today - first).days, REMEMBERED_DAYS)
    if length < FEWEST_DAYS:
        return None
    days = [today - timedelta(days=back) for back in range(1, length + 1)]
    return median(state.days[day].articles if day in state.days else 0 for day in days)


FEWEST_DAYS = 7
"""Days before a rate is called usual: one of each weekday."""


def silent_since(state: SourceState, now: datetime, factor: float, least_seconds: float) -> datetime | None:
    """Since when a part is silent: for longer than `factor` times its own longest silence of the remembered days.

    None where it is not, where it has not shown enough to know its usual (`FEWEST_ARTICLES`), or within
    `least_seconds`. Its own nights and weekends are in its longest silence.
    """
    known = sum(day.articles for day in state.days.values())
    if state.last_article is None or known < FEWEST_ARTICLES:
        return None
    longest = max(day.longest_gap_seconds for day in state.days.values())
    quiet = (now - state.last_article).total_seconds()
    return state.last_article if quiet > max(longest * factor, least_seconds) else None


FEWEST_ARTICLES = 10
"""Articles before a part's silences are known: with fewer, the longest one is a matter of chance."""


def _one_more(state: SourceState, now: datetime) -> dict[date, Day]:
    today = now.astimezone(UTC).date()
    oldest = today - timedelta(days=REMEMBERED_DAYS)
    days = {day: kept for day, kept in state.days.items() if day >= oldest}
    before = days.get(today, Day())
    gap = (now - state.last_article).total_seconds() if state.last_article else 0.0
    days[today] = Day(articles=before.articles + 1, longest_gap_seconds=max(before.longest_gap_seconds, gap))
    return days


def _counted(counts: Mapping[str, int], reason: str) -> dict[str, int]:
    return {**counts, reason: counts.get(reason, 0) + 1}
