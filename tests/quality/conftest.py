from __future__ import annotations

import pytest

from tests.quality.data import FOLDER, NOT_MEASURED, VARIABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the sets that were not measured, since their folder is not part of the repository."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}
    missing = sorted(reason.partition(NOT_MEASURED)[2] for reason in reasons if NOT_MEASURED in reason)
    if missing:
        terminalreporter.section("public sets that were not measured")
        for name in missing:
            terminalreporter.line(name)
        terminalreporter.line(f"They are not in {FOLDER}; {VARIABLE} names another folder.")
