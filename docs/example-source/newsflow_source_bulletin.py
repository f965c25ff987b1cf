"""A source for Newsflow: a text file with a bulletin a line, its time, headline and text apart by tabs."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field

from services.producer.source import Item, Run, Unusable, to_item


class Bulletin(BaseModel):
    """Bulletins from a file, one a line: time, headline and text, apart by tabs."""

    path: Path = Field(description="The file.")
    publisher: str = Field(default="bulletin.example", description="Who publishes the bulletins.")

    def articles(self, run: Run) -> Iterator[Item]:
        """Those that no earlier run has given."""
        done = int(run.checkpoint() or 0)
        lines = self.path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines[done:], start=done + 1):
            cells = line.split("\t")
            if len(cells) != 3:
                yield Unusable(f"line {number}", "it needs a time, a headline and a text", checkpoint=str(number))
                continue
            fields = dict(zip(("published", "headline", "body"), cells, strict=True))
            fields |= {"publisher": self.publisher, "id": str(number)}
            yield to_item(f"line {number}", fields, checkpoint=str(number))
