"""What a source made of a file, and whether that is what must become of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.corpus.case import Case, Expects

SHOWN = 20
"""Refusals and articles that an outcome names; the others are in its counts."""

LONGEST_ERROR = 1_000
"""Characters: ten problems of a line each. What is longer nobody reads, and a log has it whole."""

UNCLEAR = re.compile(r"Traceback|\b[A-Z]\w*(?:Error|Exception)\b|<class |\bNone\b.*object|object has no attribute")
"""What an error has that nobody wrote for its reader."""


@dataclass
class Refusal:
    """Why an article, or a file, was not taken."""

    reason: str
    origin: str
    error: str


@dataclass
class Outcome:
    """What came of a file: so many articles that can be sent, and refusals; `crash` is a traceback."""

    name: str
    sent: int = 0
    refused: int = 0
    skipped: int = 0
    crash: str = ""
    articles: list[str] = field(default_factory=list)
    """Id and URL of the first ones."""
    refusals: list[Refusal] = field(default_factory=list)

    def send(self, article: str) -> None:
        """An article that can be sent."""
        self.sent += 1
        if len(self.articles) < SHOWN:
            self.articles.append(article)

    def refuse(self, reason: str, origin: str, error: str) -> None:
        """An article, or a file, that is refused."""
        self.refused += 1
        if len(self.refusals) < SHOWN:
            self.refusals.append(Refusal(reason, origin, error))


def complaints(case: Case, outcome: Outcome) -> list[str]:
    """What is not as it must be; empty where all is."""
    if outcome.crash:
        return [f"it raised:\n{outcome.crash}"]
    found = [*_counts(case, outcome)]
    for refusal in outcome.refusals:
        found += unclear(refusal)
        if case.expects is not Expects.TAKEN and case.reasons and refusal.reason not in case.reasons:
            found.append(
                f"the reason is {refusal.reason!r}, not {' or '.join(case.reasons)}: {refusal.error[:200]}"
            )
    said = [f"{refusal.origin} {refusal.error}" for refusal in outcome.refusals]
    if said and not any(re.search(case.says, each) for each in said):
        found.append(f"{case.says!r} is in none of {[each[:300] for each in said]}")
    return found


def _counts(case: Case, outcome: Outcome) -> list[str]:
    found = []
    if outcome.sent != case.good:
        found.append(f"{outcome.sent} articles come, not {case.good}: {outcome.articles}")
    if case.expects is Expects.TAKEN and outcome.refused:
        found.append(f"refused, though {case.why}: {outcome.refusals[0].reason}: {outcome.refusals[0].error[:200]}")
    if case.expects is not Expects.TAKEN and not outcome.refused and not _passed_over(case, outcome):
        found.append("nothing is refused: what was wrong is lost without a word")
    if case.expects is Expects.MIXED and not all("neighbour-" in article for article in outcome.articles):
        found.append(f"not the neighbours come: {outcome.articles}")
    return found


def _passed_over(case: Case, outcome: Outcome) -> bool:
    return outcome.skipped > 0 and "skipped" in case.reasons


def unclear(refusal: Refusal) -> list[str]:
    """What is not clear about a refusal."""
    found = []
    error = refusal.error
    if not error.strip() or not re.fullmatch("[a-z0-9_]{2,40}", refusal.reason):
        found.append(f"it is refused without a reason or an error: {refusal.reason!r}, {error[:100]!r}")
    if refusal.reason == "unusable":
        found.append(f"the reason is the default, unusable: {error[:200]}")
    if len(error) > LONGEST_ERROR:
        found.append(f"the error has {len(error)} characters: {error[:100]}…")
    if UNCLEAR.search(error):
        found.append(f"the error is written for nobody: {error[:300]}")
    try:
        f"{refusal.origin}{error}".encode()
    except UnicodeEncodeError:
        found.append(f"no output can take it: {refusal.origin[-100:]!r} {error[:100]!r}")
    return found
