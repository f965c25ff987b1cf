from pathlib import Path

import pytest
from newsflow_source_bulletin import Bulletin

from services.producer.source import Found, Run, Unusable
from services.producer.testing import SourceContract

LINES = """\
2026-01-31T08:00:00Z\tFerries run again\tThe harbour has opened its two northern piers.
2026-01-31T09:30:00Z\tBridge closed\tThe old bridge is closed until further notice.
"""


class TestBulletin(SourceContract):
    """What every source must keep, tried on this one."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Bulletin:
        file = tmp_path / "bulletins.txt"
        file.write_text(LINES, encoding="utf-8")
        return Bulletin(path=file)

    def test_a_line_is_an_article(self, source: Bulletin) -> None:
        first = next(iter(source.articles(Run())))
        assert isinstance(first, Found)
        assert first.article.headline == "Ferries run again"

    def test_a_line_without_a_text_is_refused_and_the_next_one_comes(self, source: Bulletin) -> None:
        source.path.write_text("no tabs here\n" + LINES, encoding="utf-8")
        kinds = [type(item) for item in source.articles(Run())]
        assert kinds == [Unusable, Found, Found]
