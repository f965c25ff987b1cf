from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas.article import Change, Changed, Dropped, Kind, Paragraph, Quality, RawArticle, Reason
from schemas.identity import article_id
from services.cleaner.core import VERSION, NotAnArticle, NothingLeft, clean_article
from services.cleaner.page import HtmlTooDeep
from services.cleaner.policy import Policy

RECEIVED = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
REPORT = "The ministers met for three hours on Tuesday and agreed on a plan that both parliaments must now pass."
MORE = "Whether they will pass it is another matter, since the opposition has promised to vote against it."


def raw(body: str | None = REPORT, **fields: object) -> RawArticle:
    return RawArticle.model_validate({"publisher": "example.org", "body": body, **fields})


def test_every_paragraph_is_kept_or_dropped_with_its_reason() -> None:
    article = clean_article(raw(f"{REPORT}\nFollow STV News on WhatsApp\n{MORE}"), RECEIVED)

    assert article.kept == (Paragraph(index=0, text=REPORT), Paragraph(index=2, text=MORE))
    assert article.dropped == (
        Dropped(index=1, text="Follow STV News on WhatsApp", reason=Reason.BOILERPLATE, rule="follow-en"),
    )


def test_repairs_every_text() -> None:
    article = clean_article(
        raw(
            "Caf&eacute; talks\xa0wonâ€™t fail",
            headline=" Marks &amp; Spencer ",
            summary="One\ntwo",
            byline="By\u200b Ada\xa0Lee",
            copyright_notice="Â© 2026",
            subjects=("Caf&eacute;s", "\u200b", "Cafés"),
            extra={"desk": "Po\xadli\xadtik"},
        ),
        RECEIVED,
    )

    assert article.body == "Café talks\xa0won’t fail"
    assert article.headline == "Marks & Spencer"
    assert article.summary == "One two"
    assert article.byline == "By Ada Lee"
    assert article.copyright_notice == "© 2026"
    assert article.subjects == ("Cafés",)
    assert article.extra == {"desk": "Politik"}


def test_a_field_without_anything_visible_is_none() -> None:
    article = clean_article(raw(headline=" \u200b ", summary="", byline="\n"), RECEIVED)

    assert (article.headline, article.summary, article.byline) == (None, None, None)


def test_carries_over_what_it_does_not_clean() -> None:
    record = raw(url="https://example.org/a?utm_source=x#top", producer="feed", id="guid-1")

    article = clean_article(record, RECEIVED)

    assert article.id == article_id(record)
    assert article.url == "https://example.org/a?utm_source=x#top"
    assert (article.publisher, article.producer) == ("example.org", "feed")
    assert article.received == RECEIVED
    assert article.versions == {"cleaner": VERSION}


def test_the_revision_is_the_producers_or_the_milliseconds_of_arrival() -> None:
    assert clean_article(raw(revision=7), RECEIVED).revision == 7
    assert clean_article(raw(revision=0), RECEIVED).revision == 0
    assert clean_article(raw(), RECEIVED).revision == 1_769_860_800_123
    assert clean_article(raw(), RECEIVED.replace(tzinfo=None)).revision == 1_769_860_800_123
    assert clean_article(raw(), RECEIVED.astimezone(timezone(timedelta(hours=9)))).revision == 1_769_860_800_123


@pytest.mark.parametrize("body", ["Follow us on Facebook\nAll rights reserved.", "\u200b \n ", "&nbsp;"])
def test_refuses_an_article_of_which_nothing_is_left(body: str) -> None:
    with pytest.raises(NothingLeft, match="no paragraph is left"):
        clean_article(raw(body), RECEIVED)


def test_refuses_a_page_without_text() -> None:
    with pytest.raises(NothingLeft, match="no paragraph is left of 0"):
        clean_article(raw(None, html="<html><head><title>T</title></head><body></body></html>"), RECEIVED)


def test_refuses_html_that_cannot_be_read_in_full() -> None:
    with pytest.raises(HtmlTooDeep):
        clean_article(raw(None, html="<div>" * 300 + REPORT), RECEIVED)


PAGE = f"""<!doctype html><html lang="de-AT"><head>
    <meta property="og:title" content="Page &amp;amp; headline"><meta name="description" content="Page summary">
    <meta name="author" content="Page Author"><meta property="article:published_time" content="2026-01-30T10:00:00">
    <meta property="article:modified_time" content="2026-01-30T11:00:00Z">
    <link rel="canonical" href="https://example.org/page"></head>
    <body><article><p>{REPORT}</p><p>{MORE}</p><p>Read more: What comes next</p></article></body></html>"""


def test_a_page_fills_what_the_record_lacks() -> None:
    article = clean_article(raw(None, html=PAGE), RECEIVED)

    assert [paragraph.text for paragraph in article.kept] == [REPORT, MORE]
    assert [dropped.rule for dropped in article.dropped] == ["read-more-en"]
    assert article.headline == "Page & headline"
    assert article.summary == "Page summary"
    assert article.byline == "Page Author"
    assert article.published == datetime(2026, 1, 30, 10, tzinfo=UTC)
    assert article.modified == datetime(2026, 1, 30, 11, tzinfo=UTC)
    assert article.url == "https://example.org/page"
    assert article.language_stated == "de-AT"
    assert article.language == "en"
    assert article.flags == ("published_without_zone",)


def test_the_record_goes_before_the_page() -> None:
    stated = {
        "headline": "Record",
        "summary": "Record summary",
        "byline": "Record Author",
        "published": "2026-01-29T10:00:00Z",
        "modified": "2026-01-29T11:00:00Z",
        "url": "https://example.org/record",
        "language": "en",
    }

    article = clean_article(raw(None, html=PAGE, **stated), RECEIVED)

    assert article.headline == "Record"
    assert article.summary == "Record summary"
    assert article.byline == "Record Author"
    assert article.published == datetime(2026, 1, 29, 10, tzinfo=UTC)
    assert article.modified == datetime(2026, 1, 29, 11, tzinfo=UTC)
    assert article.url == "https://example.org/record"
    assert article.language_stated == "en"
    assert article.flags == ()


@pytest.mark.parametrize("field", ["published", "modified"])
@pytest.mark.parametrize(
    ("sent", "time", "flags"),
    [
        pytest.param("2026-01-31T08:00:00+01:00", datetime(2026, 1, 31, 7, tzinfo=UTC), [], id="zone"),
        pytest.param("2026-01-31T08:00:00", datetime(2026, 1, 31, 8, tzinfo=UTC), ["without_zone"], id="no-zone"),
        pytest.param("1990-01-01T00:00:00Z", datetime(1990, 1, 1, tzinfo=UTC), [], id="first-moment"),
        pytest.param("1989-12-31T23:59:59Z", None, ["out_of_range"], id="before-it"),
        pytest.param(
            "2026-02-01T12:00:00.123456Z", datetime(2026, 2, 1, 12, 0, 0, 123_456, tzinfo=UTC), [], id="last-moment"
        ),
        pytest.param("2026-02-01T12:00:00.123457Z", None, ["out_of_range"], id="after-it"),
        pytest.param("1970-01-01T00:00:00", None, ["without_zone", "out_of_range"], id="zero-clock"),
    ],
)
def test_times(field: str, sent: str, time: datetime | None, flags: list[str]) -> None:
    article = clean_article(raw(**{field: sent}), RECEIVED)

    assert getattr(article, field) == time
    assert article.flags == tuple(f"{field}_{flag}" for flag in flags)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_page_may_state_a_time_that_has_no_utc(time: str) -> None:
    html = f'<html><head><meta name="date" content="{time}"></head><body><p>{REPORT}</p></body></html>'

    article = clean_article(raw(None, html=html), RECEIVED)

    assert article.published is None
    assert article.flags == ("published_out_of_range",)


def test_the_language_is_that_of_the_kept_text() -> None:
    article = clean_article(
        raw(f"{REPORT}\nAbonnieren Sie jetzt den Newsletter der Redaktion.", language="de"), RECEIVED
    )

    assert article.language == "en"
    assert article.language_stated == "de"
    assert article.language_confidence > 0.9


def test_the_same_input_gives_the_same_output() -> None:
    record = raw(None, html=PAGE)
    before = record.model_dump_json()

    assert clean_article(record, RECEIVED) == clean_article(record, RECEIVED)
    assert record.model_dump_json() == before


def test_the_first_time_that_can_be_is_the_one() -> None:
    head = """<meta property="article:published_time" content="2199-01-01T00:00:00Z">
        <meta name="date" content="2026-01-30T10:00:00Z">"""
    page = raw(None, html=f"<html><head>{head}</head><body><p>{REPORT}</p></body></html>")

    article = clean_article(page, RECEIVED)

    assert article.published == datetime(2026, 1, 30, 10, tzinfo=UTC)
    assert article.flags == ("published_out_of_range",)


def test_says_what_was_changed_in_kept_paragraphs() -> None:
    article = clean_article(raw(f"{REPORT}\n\nCaf&eacute;s  reopen.\n\nFollow&nbsp; us on Facebook"), RECEIVED)

    assert article.changed == (
        Changed(index=1, reason=Change.ENTITIES),
        Changed(index=1, reason=Change.SPACES),
    )
    assert [dropped.index for dropped in article.dropped] == [2]


def test_what_a_sign_off_says_is_kept() -> None:
    article = clean_article(
        raw(f"{REPORT}\n\n{MORE}\n\n(Reporting by Ada Lee in Vienna; Editing by Bo Ek)"), RECEIVED
    )

    assert [paragraph.text for paragraph in article.kept] == [REPORT, MORE]
    assert article.byline == "Ada Lee"
    assert (
        clean_article(raw(f"{REPORT}\n\n(Reporting by Ada Lee)", byline="By Cy Day"), RECEIVED).byline
        == "By Cy Day"
    )


def test_a_sign_off_behind_the_last_sentence_is_cut_off() -> None:
    article = clean_article(raw(f"{REPORT}\n\n{MORE} (Reporting by Ada Lee)\n\nFollow us on Facebook"), RECEIVED)

    assert [paragraph.text for paragraph in article.kept] == [REPORT, MORE]
    assert article.byline == "Ada Lee"
    (changed,) = article.changed
    assert (changed.index, changed.reason, changed.removed) == (1, Change.SIGN_OFF, "(Reporting by Ada Lee)")
    assert changed.rule is not None


def test_a_dateline_says_where_and_who_and_stays() -> None:
    article = clean_article(raw(f"VIENNA (Reuters) - {REPORT}\n\n{MORE}"), RECEIVED)

    assert (article.located, article.agency) == ("VIENNA", "Reuters")
    assert article.kept[0].text == f"VIENNA (Reuters) - {REPORT}"


def test_paragraphs_have_their_kind() -> None:
    html = f"<p>{REPORT}</p><ul><li>First: {MORE}</li></ul><p>Follow us on Facebook</p><h2>Follow us on X</h2>"

    article = clean_article(raw(None, html=html), RECEIVED)

    assert [paragraph.kind for paragraph in article.kept] == [Kind.TEXT, Kind.LIST_ITEM]
    assert [dropped.kind for dropped in article.dropped] == [Kind.TEXT, Kind.HEADING]


def test_the_section_of_a_page() -> None:
    head = '<head><meta property="article:section" content="Eur&amp;oacute;pa"></head>'

    assert (
        clean_article(raw(None, html=f"<html>{head}<body><p>{REPORT}</p></body></html>"), RECEIVED).section
        == "Európa"
    )


def test_what_is_less_than_an_article_is_marked_or_refused() -> None:
    policy = Policy(shortest=len(REPORT) + 1, longest=10_000)
    assert clean_article(raw(REPORT), RECEIVED, policy).quality == (Quality.TOO_SHORT,)
    assert clean_article(raw(f"{REPORT}\n{MORE}"), RECEIVED, policy).quality == ()
    assert clean_article(raw(REPORT), RECEIVED, Policy(shortest=0, longest=len(REPORT) - 1)).quality == (
        Quality.TOO_LONG,
    )

    with pytest.raises(NotAnArticle, match="too_short; CLEANER_REFUSE") as refused:
        clean_article(raw(REPORT), RECEIVED, replace(policy, refused=frozenset({Quality.TOO_SHORT})))
    assert refused.value.dead_letter == "too_short"


def test_an_error_page_is_known_for_one() -> None:
    html = """<!doctype html><html><head><title>404 - Page not found</title></head><body><h1>Page not found</h1>
        <p>Sorry, the page that you are looking for does not exist or has been moved.</p></body></html>"""

    assert Quality.ERROR_PAGE in clean_article(raw(None, html=html), RECEIVED).quality
