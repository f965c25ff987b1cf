"""`python -m deploy.kibana.build` writes `news.ndjson`, which Kibana imports, from `newsroom`."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.kibana.lint import lint, other_properties, shipped_properties
from deploy.kibana.newsroom import OBJECTS
from deploy.kibana.shapes import encode

TARGET = Path(__file__).with_name("news.ndjson")


def build() -> str:
    """The import file: one saved object a line. The same sources give the same text."""
    return "".join(f"{encode(item)}\n" for item in OBJECTS)


def main() -> int:
    """Write the file, unless the linter objects to it: then say why and return 1."""
    text = build()
    problems = lint(text, shipped_properties(), other_properties())
    if problems:
        sys.stderr.writelines(f"{problem}\n" for problem in problems)
        return 1
    TARGET.write_text(text, encoding="utf-8", newline="\n")
    sys.stdout.write(f"wrote {TARGET}: {len(OBJECTS)} objects\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
