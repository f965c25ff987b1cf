"""What is less than an article, and what of it is refused. Apart from the core, since the settings name it too."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.article import Quality

SHORTEST = 100
"""Characters. A news alert of one sentence has more; below it a text is a caption, a label or an accident."""

LONGEST = 100_000
"""Characters, some 16,000 words: twice the longest magazine piece. Above it stand books, logs and dumps."""


@dataclass(frozen=True)
class Policy:
    """What is less than an article (both bounds in characters of the kept text), and what of it is refused."""

    refused: frozenset[Quality] = frozenset()
    shortest: int = SHORTEST
    longest: int = LONGEST


KEEP_ALL = Policy()
