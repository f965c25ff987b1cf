"""Fetch what docs/clients/producer.mjs imports, so that its live test needs no network."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from services.embedded.settings import EmbeddedSettings

CLIENTS = Path(__file__).parents[1] / "docs" / "clients"

NPM_FILES = ("package.json", "package-lock.json")

FETCH_LIMIT_S = 120
"""Seconds; it is one package of a megabyte."""


def node_modules() -> Path:
    """Where the locked packages are kept; another lock file, another folder."""
    digest = hashlib.sha256(b"".join((CLIENTS / name).read_bytes() for name in NPM_FILES))
    return EmbeddedSettings().cache_folder / "clients" / digest.hexdigest()[:16] / "node_modules"


def fetch_clients() -> None:
    """Install the locked packages into the cache, each checked by npm against its hash in the lock file.

    No script of theirs is run. Without npm the client's test is skipped, except in CI.
    """
    npm = shutil.which("npm")
    if node_modules().is_dir() or npm is None:
        return
    folder = node_modules().parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, so that no package.json or .npmrc around it has a say.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as work:
        made = Path(work) / "made"
        made.mkdir()
        for name in NPM_FILES:
            shutil.copy(CLIENTS / name, made)
        command = [
            npm,
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--fetch-retries=1",
        ]
        done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=FETCH_LIMIT_S, check=False)
        if "EINTEGRITY" in done.stderr:
            raise SystemExit(f"npm gave another package than docs/clients/package-lock.json names:\n{done.stderr}")
        if done.returncode != 0:
            sys.stderr.write(f"npm ci of docs/clients failed: {done.stderr.strip()[-300:]}\n")
            return
        try:
            made.rename(folder)
        except OSError:
            if not node_modules().is_dir():  # else another one was faster, with the same result
                raise


if __name__ == "__main__":
    fetch_clients()
