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
