"""The benches by name: `python -m tests.bench NAME [--size N]`, which `make bench WHAT=NAME SIZE=N` runs."""

from __future__ import annotations

import subprocess
import sys

BENCHES = {
    "pipeline": "the tagger and the whole pipeline against the bare spaCy model (SIZE: articles)",
    "repeats": "the state of deduper and linker as it grows, and both against the tagger (SIZE: articles)",
    "indexer": "the indexer against the client's own parallel_bulk (SIZE: articles)",
    "cleaner": "the cleaner against the bare libraries that it uses (SIZE: articles, and pages)",
    "warc": "a backfill from a WARC file against bare trafilatura (SIZE: pages)",
    "memory": "the memory of the tagger over 50,000 articles, ten minutes (SIZE: articles)",
    "start": "the start of newsflow up, of each service and of three commands",
}
UNSIZED = frozenset({"start"})


def main() -> int:
    """Run one bench, or all of them in turn; returns the exit status of the first that fails."""
    name, *options = sys.argv[1:] or [""]
    if name not in (*BENCHES, "all"):
        print("WHAT is one of:")
        for bench, line in BENCHES.items():
            print(f"  {bench:9} {line}")
        print(f"  {'all':9} one after the other")
        return 2
    for bench in BENCHES if name == "all" else [name]:
        given = [] if name == "all" and bench in UNSIZED else options
        status = subprocess.run([sys.executable, "-m", f"tests.bench.{bench}", *given], check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
