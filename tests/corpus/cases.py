"""All cases."""

from __future__ import annotations

from tests.corpus import agency, archives, bodies, files, lists, records, tables
from tests.corpus.case import Case

CASES: tuple[Case, ...] = (
    *records.CASES,
    *files.CASES,
    *tables.CASES,
    *agency.CASES,
    *archives.CASES,
    *lists.CASES,
    *bodies.CASES,
)

FULL_SCALE = frozenset(
    {
        "jsonl-line-of-128-mib-of-spaces",
        "csv-row-of-128-mib",
        "ninjs-larger-than-any-file",
        "txt-larger-than-any-article",
        "body-larger-than-allowed",
        "body-gzip-of-1000000-empty-members",
        "feed-20000-entries",
        "feed-100000-entries",
        "sitemap-1000000-urls",
        "sitemap-gz-300000-urls",
        "sitemap-index-of-20000",
        "warc-bombs-in-bodies",
        "warc-gz-member-bomb",
        "warc-page-of-9-mb",
    }
)
"""Cases that are large, or unpack to much; `jsonl-line-of-128-mib` shows without them that memory is bounded."""

SMALL_CASES = tuple(case for case in CASES if case.name not in FULL_SCALE)
