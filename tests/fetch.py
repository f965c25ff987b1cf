"""Fetch what the tests read from outside, before they run: no test itself goes beyond loopback.

The jars of the embedded servers; the AsyncAPI project's own JSON Schema, too large and too foreign to keep a
copy here; the JavaScript client of an example. All are checked against pinned hashes and kept in the cache folder.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from services.embedded.home import prepare_home
from services.embedded.settings import EmbeddedSettings
from tests.fetch_clients import fetch_clients

SPECIFICATION = "@asyncapi/specs@6.11.1"
SHA512 = "A3WBLqAKGoJ2+6FWFtpjBlCQ1oFCcs4GxF7zsIGvNqp/klGUHjlA3aAcZ9XMMpLGE8zPeYDz2x9FmO6DSuKraQ=="
"""Of the package's tarball, in base64 as npm writes it."""


def tarball() -> Path:
    """Where the AsyncAPI specification is kept."""
    return EmbeddedSettings().cache_folder / "asyncapi" / "asyncapi-specs-6.11.1.tgz"


def is_fetched() -> bool:
    """Whether it is there, and is the pinned one."""
    return tarball().is_file() and _sha512(tarball()) == SHA512


def fetch_specification() -> None:
    """Fetch the AsyncAPI specification by npm; without npm its tests are skipped, except in CI."""
    npm = shutil.which("npm")
    if is_fetched() or npm is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        # In a folder of its own, so that no package.json or .npmrc around it has a say.
        command = [npm, "pack", SPECIFICATION, "--ignore-scripts", "--loglevel=error", "--fetch-retries=1"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            sys.stderr.write(f"npm pack {SPECIFICATION} failed: {done.stderr.strip()[-300:]}\n")
            return
        packed = next(Path(folder).glob("*.tgz"))
        if _sha512(packed) != SHA512:
            raise SystemExit(f"npm gave another {SPECIFICATION} than the pinned one")
        tarball().parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: another test run may read it at this moment.
        partial = tarball().with_suffix(f".{os.getpid()}")
        shutil.copyfile(packed, partial)
        partial.replace(tarball())


def _sha512(file: Path) -> str:
    return base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()


if __name__ == "__main__":
    prepare_home(EmbeddedSettings(), Console(stderr=True))
    fetch_specification()
    fetch_clients()
