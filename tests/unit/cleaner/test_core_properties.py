"""What holds for any article."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from schemas.article import RawArticle
from services.cleaner.core import NothingLeft, clean_article

RECEIVED = datetime(2026, 1, 31, tzinfo=UTC)
LINES = st.sampled_from(
    [
        "The ministers met on Tuesday.",
        "and agreed on a plan",
        "Follow us on Facebook",
        "Scan the QR code",
        "â€œYesâ€\x9d, he said.",
        "Marks &amp;amp; Spencer",
        "\u200b",
        "&nbsp;",
        "► Read more",
    ]
)
BODIES = st.lists(st.tuples(LINES | st.text(max_size=8), st.sampled_from(["\n", "\n\n", " ", "\u2029"]))).map(
    lambda pairs: "".join(line + end for line, end in pairs)
)
FRAGMENTS = st.lists(
    st.tuples(st.sampled_from(["p", "div", "li", "b", "td", "br", "pre"]), LINES | st.text(max_size=8))
).map(lambda pairs: "".join(f"<{tag}>{text}</{tag}>" for tag, text in pairs))


def check_cleaning(raw: RawArticle) -> None:
    try:
        article = clean_article(raw, RECEIVED)
    except NothingLeft:
        return
    kept = [one.index for one in article.kept]
    dropped = [one.index for one in article.dropped]
    assert kept == sorted(kept)
    assert dropped == sorted(dropped)
    assert sorted(kept + dropped) == list(range(len(kept) + len(dropped)))

    again = clean_article(RawArticle(publisher="p", body=article.body), RECEIVED)

    assert again.dropped == ()
    assert [one.text for one in again.kept] == [one.text for one in article.kept]
    assert (again.language, again.language_confidence) == (article.language, article.language_confidence)


@given(BODIES.filter(bool))
def test_cleaning_a_plain_text_is_idempotent(body: str) -> None:
    check_cleaning(RawArticle(publisher="p", body=body))


@given(FRAGMENTS.filter(bool))
def test_cleaning_html_is_idempotent(html: str) -> None:
    check_cleaning(RawArticle(publisher="p", html=html))
