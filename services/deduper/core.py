"""The deduper's step: drops each paragraph that repeats an earlier one of the same article."""

from __future__ import annotations

from schemas.article import CleanArticle, DedupedArticle, Dropped, Kind, Reason
from services.deduper.repeats import EarlierParagraphs, Wording

VERSION = "1"
"""Rises when the same article would come out differently; stored with each article."""


def drop_repeats(
    article: CleanArticle,
    *,
    shingle_words: int = 2,
    threshold: float = 0.5,
    min_words: int = 6,
    near_words: int = 12,
) -> DedupedArticle:
    """The article without paragraphs that repeat an earlier kept one; the first of them stays.

    An exact duplicate differs in letter case, punctuation, quotation marks and spaces only. A near-duplicate
    shares enough shingles with the earlier paragraph, adds no sentence to it, and puts no other number or name in
    the place of one. In German, where nouns have capitals, it puts no other noun there either. Nothing is
    remembered from one article to the next. Dropping repeats again changes nothing.

    Measured on 1,329 news articles with 648 exact and 670 near repeats put in (2 to 10 % of the words changed):
    precision 1.000, recall 1.000 exact and 0.964 near; nearly all that it misses has a name changed into another.
    From 5,000 unchanged articles it drops 25 of 87,859 paragraphs, each of which does repeat an earlier one.

    Args:
        article: the clean article. What the cleaner dropped stays in `dropped`.
        shingle_words: words in a shingle. Of 2,000 paragraphs edited in ten ways, shingles of 2 words find 0.90,
            of 3 words 0.81, of 1 word 0.90 but with the first false finds.
        threshold: the Jaccard similarity of two paragraphs' shingles, 0 to 1, from which they are
            near-duplicates. In agency articles all repeats lie at 0.53 and above, and no pair between that and
            0.42; in web pages nearly all pairs below 0.5 say different things.
        min_words: a paragraph with fewer words, numbers not counted, always stays: “He declined to comment.” and
            the rows of a table may come twice. Of the 50 paragraphs that come twice in unchanged articles, the 37
            of up to three words belong to tables, the 13 of seven words and more are repeats.
        near_words: the same for near-duplicates: in a short paragraph one other word is another statement. Rows of
            tables are never near-duplicates.
    """
    wordings = [
        Wording.of(paragraph.text, index=paragraph.index, shingle_words=shingle_words) for paragraph in article.kept
    ]
    common_words = {word for wording in wordings for word in wording.words if word.islower()} | {"i"}
    earlier = EarlierParagraphs(
        threshold=threshold,
        # A capital alone makes no name: sentences start with one.
        is_name=lambda word: word[0].isupper() and word.lower() not in common_words,
    )
    kept = []
    dropped = list(article.dropped)
    for paragraph, wording in zip(article.kept, wordings, strict=True):
        length = wording.length
        repeats = earlier.exact(wording) if length >= min_words else None
        reason = Reason.EXACT_DUPLICATE
        # So the cleaner sets the cells of a table apart, in a text too that was cleaned before.
        is_row = paragraph.kind is Kind.TABLE_ROW or " | " in paragraph.text
        if repeats is None and length >= near_words and not is_row:
            repeats = earlier.near(wording)
            reason = Reason.NEAR_DUPLICATE
        if repeats is None:
            earlier.add(wording)
            kept.append(paragraph)
        else:
            dropped.append(Dropped(**paragraph.model_dump(), reason=reason, repeats=repeats))
    return DedupedArticle(
        **{
            **dict(article),
            "kept": tuple(kept),
            "dropped": tuple(sorted(dropped, key=lambda one: one.index)),
            "versions": {**article.versions, "deduper": VERSION},
        }
    )
