"""A producer picks the codec of its records; a record in one that a reader lacks would be a crash loop."""

from __future__ import annotations

import sys
from typing import Any


def check_codecs(codec: Any, package: str) -> None:
    """Exit status 1, and a line that names what is missing, unless the client's `codec` module has all four."""
    known = {"gzip": codec.has_gzip, "snappy": codec.has_snappy, "lz4": codec.has_lz4, "zstd": codec.has_zstd}
    missing = [name for name, has in known.items() if not has()]
    if missing:
        sys.stderr.write(f"codec missing: {', '.join(missing)}; install {package}[lz4,snappy,zstd]\n")
        sys.exit(1)
