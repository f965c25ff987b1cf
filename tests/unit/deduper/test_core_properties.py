"""What holds for any article."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.deduper.core import drop_repeats

from .articles import article

WORDS = st.sampled_from(
    ["the", "plan", "Plan", "of", "Kim", "Putin", "3", "4", "two", "€", "rose", "—", "it’s", "京"]
)
PARAGRAPHS = st.lists(WORDS, min_size=1, max_size=24).map(" ".join)
ARTICLES = st.lists(PARAGRAPHS, min_size=1, max_size=6).flatmap(
    lambda distinct: st.lists(st.sampled_from(distinct) | PARAGRAPHS, min_size=1, max_size=16)
)


@given(ARTICLES, st.integers(1, 4), st.sampled_from([0.3, 0.45, 0.7]))
def test_every_paragraph_is_kept_or_dropped_once_and_dropping_again_changes_nothing(
    paragraphs: list[str], shingle_words: int, threshold: float
) -> None:
    before = article(paragraphs)

    after = drop_repeats(before, shingle_words=shingle_words, threshold=threshold, min_words=3, near_words=4)

    kept = [one.index for one in after.kept]
    dropped = [one.index for one in after.dropped]
    assert kept == sorted(kept)
    assert dropped == sorted(dropped)
    assert sorted(kept + dropped) == list(range(len(paragraphs)))
    texts = {one.index: one.text for one in after.kept} | {one.index: one.text for one in after.dropped}
    assert texts == dict(enumerate(paragraphs))
    assert all(one.repeats in kept and one.repeats < one.index for one in after.dropped)
    again = drop_repeats(after, shingle_words=shingle_words, threshold=threshold, min_words=3, near_words=4)
    assert again == after


@given(ARTICLES)
def test_what_is_kept_does_not_hang_on_what_comes_later(paragraphs: list[str]) -> None:
    """But for the words that show by their small letters that they are no names."""
    all_small = [paragraph.lower() for paragraph in paragraphs]

    whole = [one.index for one in drop_repeats(article(all_small)).kept]
    start = [one.index for one in drop_repeats(article(all_small[:-1] or all_small)).kept]

    assert whole[: len(start)] == start
