"""The cleaner's step: a raw article becomes clean paragraphs, what was dropped and why, and tidy metadata."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from schemas.article import CleanArticle, Dropped, Paragraph, RawArticle, Reason, in_utc
from schemas.identity import article_id
from services.cleaner.boilerplate import rule_for
from services.cleaner.language import tell_language
from services.cleaner.page import Page, read_page
from services.cleaner.text import repair, split_paragraphs

VERSION = "1"
"""Rises when the same article would come out differently; stored with each article."""

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""No time of an article lies before it: older ones are clocks at zero (1970) and slips of the pen."""

LATEST_AHEAD = timedelta(hours=24)
"""How far a time may lie after the record: a wrong time zone (at most 14 h) and a slow clock, not an embargo."""


class NothingLeft(ValueError):
    """No paragraph of the article is left."""

    dead_letter = "nothing_left"


def clean_article(raw: RawArticle, received: datetime) -> CleanArticle:
    """The clean article; the same input always gives the same.

    Every paragraph of the input is in `kept` or in `dropped`. What the record does not say (headline, times,
    URL, …) is taken from the page, if it is one. Cleaning the kept paragraphs again changes nothing.

    Args:
        raw: the record as a producer sent it.
        received: when Kafka stored the record. It gives the revision where the producer sent none, and bounds
            the article's times.

    Raises:
        NothingLeft: the article has no paragraph that is not boilerplate.
        services.cleaner.page.HtmlTooDeep: the HTML cannot be read in full.
    """
    received = in_utc(received)
    page = Page(paragraphs=tuple(split_paragraphs(raw.body))) if raw.body is not None else read_page(raw.html or "")
    kept, dropped = _without_boilerplate(page.paragraphs)
    if not kept:
        raise NothingLeft(f"no paragraph is left of {len(page.paragraphs)}: all boilerplate, or no text at all")
    stated = raw.language or page.language
    language, confidence = tell_language("\n".join(paragraph.text for paragraph in kept), stated)
    published, published_flags = _time("published", raw.published or page.published, received)
    modified, modified_flags = _time("modified", raw.modified or page.modified, received)
    return CleanArticle(
        id=article_id(raw),
        revision=_milliseconds(received) if raw.revision is None else raw.revision,
        received=received,
        publisher=raw.publisher,
        producer=raw.producer,
        url=raw.url or page.url,
        headline=_line(raw.headline, page.headline),
        summary=_line(raw.summary, page.summary),
        byline=_line(raw.byline, page.byline),
        published=published,
        modified=modified,
        language=language,
        language_stated=stated,
        language_confidence=confidence,
        subjects=tuple(dict.fromkeys(filter(None, map(repair, raw.subjects)))),
        copyright_notice=_line(raw.copyright_notice),
        extra={name: repair(value) for name, value in raw.extra.items()},
        flags=(*published_flags, *modified_flags),
        versions={"cleaner": VERSION},
        kept=kept,
        dropped=dropped,
    )


def _without_boilerplate(paragraphs: Iterable[str]) -> tuple[tuple[Paragraph, ...], tuple[Dropped, ...]]:
    kept = []
    dropped = []
    for index, text in enumerate(paragraphs):
        rule = rule_for(text)
        if rule is None:
            kept.append(Paragraph(index=index, text=text))
        else:
            dropped.append(Dropped(index=index, text=text, reason=Reason.BOILERPLATE, rule=rule))
    return tuple(kept), tuple(dropped)


def _line(*texts: str | None) -> str | None:
    """The first text that says something, repaired."""
    return next(filter(None, (repair(text) for text in texts if text)), None)


def _time(name: str, time: datetime | None, received: datetime) -> tuple[datetime | None, tuple[str, ...]]:
    """The time in UTC, `None` where it cannot be, with the flags that say what was done to it."""
    if time is None:
        return None, ()
    flags = (f"{name}_without_zone",) if time.tzinfo is None else ()
    try:
        time = in_utc(time)
    except OverflowError:  # the first and the last day of the calendar have no UTC
        return None, (*flags, f"{name}_out_of_range")
    if EARLIEST <= time <= received + LATEST_AHEAD:
        return time, flags
    return None, (*flags, f"{name}_out_of_range")


def _milliseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
