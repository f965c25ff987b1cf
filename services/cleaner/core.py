"""The cleaner's step: a raw article becomes clean paragraphs, what was dropped and why, and tidy metadata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from schemas.article import Change, Changed, CleanArticle, Dropped, Paragraph, Quality, RawArticle, Reason, in_utc
from schemas.identity import article_id
from services.cleaner.boilerplate import Credit, match_dateline, match_ending, match_rule
from services.cleaner.language import tell_language
from services.cleaner.page import Page, Piece, read_page
from services.cleaner.policy import KEEP_ALL, Policy
from services.cleaner.quality import judge_quality
from services.cleaner.text import repair, split_text

VERSION = "2"
"""Rises when the same article would come out differently; stored with each article."""

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""No time of an article lies before it: older ones are clocks at zero (1970) and slips of the pen."""

LATEST_AHEAD = timedelta(hours=24)
"""How far a time may lie after the record: a wrong time zone (at most 14 h) and a slow clock, not an embargo."""


class NothingLeft(ValueError):
    """No paragraph of the article is left."""

    dead_letter = "nothing_left"


class NotAnArticle(ValueError):
    """The text is what the policy refuses, such as the error page of a website."""

    def __init__(self, quality: Quality) -> None:
        super().__init__(f"this is no article but: {quality.value}; CLEANER_REFUSE says what is refused")
        self.dead_letter = quality.value


def clean_article(raw: RawArticle, received: datetime, policy: Policy = KEEP_ALL) -> CleanArticle:
    """The clean article; the same input always gives the same.

    Every paragraph of the input is in `kept` or in `dropped`, and what was done to a kept one in `changed`. What
    the record does not say (headline, times, URL, …) is taken from the page, if it is one. Cleaning the kept
    paragraphs again changes nothing.

    Args:
        raw: the record as a producer sent it.
        received: when Kafka stored the record. It gives the revision where the producer sent none, and bounds
            the article's times.
        policy: what is refused for being less than an article; without one nothing is.

    Raises:
        NothingLeft: the article has no paragraph that is not boilerplate.
        NotAnArticle: the policy refuses it.
        services.cleaner.page.HtmlTooDeep: the HTML cannot be read in full.
    """
    received = in_utc(received)
    page = _plain_text(raw.body) if raw.body is not None else read_page(raw.html or "")
    sorted_out = _sort_out(page.paragraphs)
    kept, dropped, credit = sorted_out.kept, sorted_out.dropped, sorted_out.credit
    if not kept:
        raise NothingLeft(f"no paragraph is left of {len(page.paragraphs)}: all boilerplate, or no text at all")
    headline = _line(raw.headline, page.headline)
    texts = [paragraph.text for paragraph in kept]
    quality = judge_quality(
        headline, texts, [one.text for one in dropped], page.facts, policy.shortest, policy.longest
    )
    for each in quality:
        if each in policy.refused:
            raise NotAnArticle(each)
    stated = raw.language or page.language
    language, confidence = tell_language("\n".join(texts), stated)
    published, published_flags = _time("published", (raw.published, *page.published), received)
    modified, modified_flags = _time("modified", (raw.modified, *page.modified), received)
    return CleanArticle(
        id=article_id(raw),
        revision=_milliseconds(received) if raw.revision is None else raw.revision,
        received=received,
        publisher=raw.publisher,
        producer=raw.producer,
        url=raw.url or page.url,
        headline=headline,
        summary=_line(raw.summary, page.summary),
        byline=_line(raw.byline, page.byline, credit.byline),
        published=published,
        modified=modified,
        language=language,
        language_stated=stated,
        language_confidence=confidence,
        subjects=tuple(dict.fromkeys(filter(None, map(repair, raw.subjects)))),
        copyright_notice=_line(raw.copyright_notice),
        section=_line(page.section),
        located=_line(credit.located),
        agency=_line(credit.agency),
        extra={name: repair(value) for name, value in raw.extra.items()},
        flags=(*published_flags, *modified_flags),
        quality=quality,
        versions={"cleaner": VERSION},
        kept=tuple(kept),
        dropped=tuple(dropped),
        changed=tuple(sorted_out.changed),
    )


def _plain_text(body: str) -> Page:
    return Page(paragraphs=tuple(Piece(text, changes=changes) for text, changes in split_text(body)))


@dataclass
class _SortedOut:
    kept: list[Paragraph] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    credit: Credit = field(default_factory=Credit)


def _sort_out(pieces: Iterable[Piece]) -> _SortedOut:
    """Kept and dropped paragraphs by index, what was changed, and what sign-offs and datelines say."""
    result = _SortedOut()
    changes: dict[int, list[Changed]] = {}
    for index, piece in enumerate(pieces):
        match = match_rule(piece.text)
        if match is None:
            result.kept.append(Paragraph(index=index, text=piece.text, kind=piece.kind))
            changes[index] = [Changed(index=index, reason=change) for change in piece.changes]
        else:
            _drop(result, Paragraph(index=index, text=piece.text, kind=piece.kind), match.rule, match.credit)
    # What is cut off the last paragraph can leave boilerplate, and what is dropped then uncovers another last one.
    while result.kept and (ending := match_ending(result.kept[-1].text)):
        last = result.kept.pop().model_copy(update={"text": ending.kept})
        result.credit = _both(result.credit, ending.credit)
        match = match_rule(last.text)
        if match is None:
            result.kept.append(last)
            cut = Changed(index=last.index, reason=Change.SIGN_OFF, rule=ending.rule, removed=ending.removed)
            changes[last.index].append(cut)
        else:
            _drop(result, last, match.rule, match.credit)
    result.dropped.sort(key=lambda one: one.index)
    result.changed = [change for paragraph in result.kept for change in changes[paragraph.index]]
    dateline = match_dateline(result.kept[0].text) if result.kept else None
    if dateline is not None:
        result.credit = _both(result.credit, dateline)
    return result


def _drop(result: _SortedOut, paragraph: Paragraph, rule: str, credit: Credit) -> None:
    result.dropped.append(Dropped(**paragraph.model_dump(), reason=Reason.BOILERPLATE, rule=rule))
    result.credit = _both(result.credit, credit)


def _both(first: Credit, second: Credit) -> Credit:
    """What either says; the first goes before."""
    return Credit(
        byline=first.byline or second.byline,
        agency=first.agency or second.agency,
        located=first.located or second.located,
    )


def _line(*texts: str | None) -> str | None:
    """The first text that says something, repaired."""
    return next(filter(None, (repair(text) for text in texts if text)), None)


def _time(
    name: str, stated: Sequence[datetime | None], received: datetime
) -> tuple[datetime | None, tuple[str, ...]]:
    """The first time that can be, in UTC, with the flags that say what was wrong; `None` where none can be."""
    flags: dict[str, None] = {}
    for time in filter(None, stated):
        if time.tzinfo is None:
            flags[f"{name}_without_zone"] = None
        try:
            utc = in_utc(time)
        except OverflowError:  # the first and the last day of the calendar have no UTC
            utc = EARLIEST - timedelta(days=1)
        if EARLIEST <= utc <= received + LATEST_AHEAD:
            return utc, tuple(flags)
        flags[f"{name}_out_of_range"] = None
    return None, tuple(flags)


def _milliseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
