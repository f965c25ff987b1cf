from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.producer.core import Found, Item, Reached, Trouble, Unusable
from services.producer.source import Run
from services.producer.sources import files
from services.producer.sources.files import GROWING_FILES, Files, Seeds, Stdin

SECOND = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def record(identity: str, body: str = "A text.") -> str:
    return json.dumps({"publisher": "p.example", "id": identity, "body": body}) + "\n"


def look(
    *paths: Path, checkpoints: Mapping[str, str] | None = None, follow: bool = False, **settings: Any
) -> list[Item]:
    source = Files(paths=list(paths), **({"settle_seconds": 0} | settings))
    return list(source.articles(Run(checkpoints=checkpoints or {}, follow=follow)))


def ids(items: Iterable[Item]) -> list[str | None]:
    return [item.article.id for item in items if isinstance(item, Found)]


def marks(items: Iterable[Item]) -> dict[str, str]:
    """The checkpoint of each part, as a run keeps it."""
    found: dict[str, str] = {}
    for item in items:
        if not isinstance(item, Trouble) and item.checkpoint is not None:
            found[item.part] = item.checkpoint
    return found


def write(file: Path, text: str = "The ferry sails.", mode: str = "w") -> Path:
    """Write a file, so that it is the one that changed last: the clock of a file system goes in ticks."""
    root = next(folder for folder in file.parents if folder.name == "in")
    file.parent.mkdir(parents=True, exist_ok=True)
    newest = max((each.stat().st_ctime_ns for each in root.rglob("*") if each.is_file()), default=0)
    with file.open(mode, encoding="utf-8") as opened:
        opened.write(text)
    while file.stat().st_ctime_ns <= newest:
        os.utime(file)
    return file


# ---------------------------------------------------------------- Files


def test_each_file_is_given_once_in_the_order_in_which_it_changed(folder: Path) -> None:
    for name in ("b.txt", "sub/c.html", "a.txt"):
        write(folder / name)
    write(folder / "notes.md")
    write(folder / "a.expected.json", "{}")
    items = look(folder)
    assert ids(items) == ["b.txt", "sub/c.html", "a.txt"]
    assert {item.part for item in items} == {str(folder)}
    assert [item.article.producer for item in items if isinstance(item, Found)] == ["files"] * 3
    again = look(folder, checkpoints=marks(items))
    assert ids(again) == []
    assert [type(item) for item in again] == [Reached]


def test_a_new_file_and_a_changed_one_are_given_by_the_next_look(folder: Path) -> None:
    write(folder / "a.txt", "At nine.")
    write(folder / "b.txt")
    first = look(folder)
    write(folder / "c.txt")
    write(folder / "a.txt", "At ten.")
    second = look(folder, checkpoints=marks(first))
    assert ids(second) == ["c.txt", "a.txt"], "the same id: a correction"
    assert isinstance(second[1], Found)
    assert second[1].article.body == "At ten."


def test_a_file_that_is_moved_in_is_new_however_old_it_is(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.txt"
    old.write_text("The ferry sails.", encoding="utf-8")
    os.utime(old, (0, 0))
    first = look(write(folder / "a.txt").parent)
    moved = old.rename(folder / "old.txt")
    while moved.stat().st_ctime_ns <= (folder / "a.txt").stat().st_ctime_ns:
        os.utime(moved, (0, 0))
    assert ids(look(folder, checkpoints=marks(first))) == ["old.txt"]


def test_each_checkpoint_on_the_way_goes_on_behind_its_file(folder: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        write(folder / name)
    write(folder / "d.jsonl", record("d1") + "{\n" + record("d2"))
    items = look(folder)
    for place, item in enumerate(items):
        if not isinstance(item, Trouble) and item.checkpoint is not None:
            rest = look(folder, checkpoints={str(folder): item.checkpoint})
            assert ids(rest) == ids(items[place + 1 :])
    assert [bool(marks([item])) for item in items] == [True, True, True, False, False, True, True], (
        "a file's checkpoint comes with the last one of its articles"
    )


def test_a_file_that_cannot_be_used_is_not_given_again_and_holds_up_no_other(folder: Path) -> None:
    write(folder / "a.txt", "")
    write(folder / "b.txt")
    items = look(folder)
    assert [type(item) for item in items] == [Unusable, Found, Reached]
    assert [type(item) for item in look(folder, checkpoints=marks(items))] == [Reached]


def test_each_path_is_a_part_of_its_own_and_a_missing_one_is_told(folder: Path, tmp_path: Path) -> None:
    write(folder / "a" / "1.txt")
    write(folder / "b.txt")
    items = look(folder / "a", tmp_path / "missing", folder / "b.txt")
    assert ids(items) == ["1.txt", "b.txt"]
    assert [(type(item), item.part) for item in items if isinstance(item, Trouble)] == [
        (Trouble, str(tmp_path / "missing"))
    ]
    assert set(marks(items)) == {str(folder / "a"), str(folder / "b.txt")}


def test_two_files_of_one_name_given_one_by_one_are_not_taken_for_one(folder: Path) -> None:
    """Else the second replaces the first in the index, and nobody is told."""
    first, second = (write(folder / day / "news.txt", day) for day in ("monday", "tuesday"))
    items = look(first, second)
    assert ids(items) == ["news.txt"]
    (trouble,) = (item for item in items if isinstance(item, Trouble))
    assert (trouble.part, str(first) in trouble.error) == (str(second), True)
    assert ids(look(first, first)) == ["news.txt"] * 2


def test_a_file_whose_ending_nobody_knows_is_told(folder: Path) -> None:
    (trouble,) = look(write(folder / "a.pdf"))
    assert isinstance(trouble, Trouble)
    assert ".jsonl" in trouble.error


def test_a_relative_path_goes_on_from_any_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "a.txt")
    monkeypatch.chdir(folder.parent)
    assert set(marks(look(Path("in")))) == {str(folder)}


def test_a_folder_that_cannot_be_read_is_told_and_holds_up_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, well = folder / "locked", folder / "well"
    write(locked / "a.txt")
    write(well / "b.txt")
    listed = Path.rglob

    def rglob(self: Path, pattern: str) -> Any:
        if self == locked:
            raise PermissionError(13, "Permission denied")
        return listed(self, pattern)

    monkeypatch.setattr(Path, "rglob", rglob)
    items = look(locked, well)
    assert items[0] == Trouble(str(locked), "it cannot be read: Permission denied")
    assert ids(items) == ["b.txt"]


def test_a_file_that_may_still_be_written_is_left_for_the_next_look(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = write(folder / "a.txt").stat().st_ctime_ns
    clock = SimpleNamespace(time_ns=lambda: now, sleep=lambda _: None)
    monkeypatch.setattr(files, "time", clock)
    assert ids(look(folder, follow=True, settle_seconds=2)) == []
    assert ids(look(folder, settle_seconds=2)) == ["a.txt"], "without --follow there is no next look"
    clock.time_ns = lambda: now + 2 * SECOND
    assert ids(look(folder, follow=True, settle_seconds=2)) == ["a.txt"]


def test_a_file_that_is_written_while_a_look_begins_is_not_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of many file systems goes in steps: the later file may have the earlier one's time."""
    plain = Path.stat

    def stat(self: Path, **options: Any) -> Any:
        found = plain(self, **options)
        return SimpleNamespace(st_mode=found.st_mode, st_ino=found.st_ino, st_ctime_ns=SECOND)

    write(folder / "b.txt")
    clock = SimpleNamespace(time_ns=lambda: SECOND, sleep=lambda _: (folder / "a.txt").write_text("text"))
    monkeypatch.setattr(files, "time", clock)
    monkeypatch.setattr(Path, "stat", stat)
    first = look(folder)
    assert sorted(map(str, ids(first) + ids(look(folder, checkpoints=marks(first))))) == ["a.txt", "b.txt"]


def test_the_publisher_is_that_of_files_that_name_none(folder: Path) -> None:
    write(folder / "a.txt")
    write(folder / "b.json", record("b"))
    publishers = [item.article.publisher for item in look(folder, publisher="q.example") if isinstance(item, Found)]
    assert publishers == ["q.example", "p.example"]


# ---------------------------------------------------------------- files that grow


def test_of_a_file_that_grows_only_the_new_lines_are_read(folder: Path) -> None:
    file = write(folder / "a.jsonl", record("1") + record("2"))
    first = look(folder)
    assert ids(first) == ["1", "2"]
    write(file, record("3") + "{\n" + record("4"), mode="a")
    second = look(folder, checkpoints=marks(first))
    assert ids(second) == ["3", "4"]


def test_a_line_is_named_by_its_number_or_where_it_begins(folder: Path) -> None:
    file = write(folder / "a.jsonl", record("1") + "{\n\n" + record("2"))
    first = look(folder)
    assert [item.origin for item in first if isinstance(item, Found | Unusable)] == [
        f"{file}:{line}" for line in (1, 2, 4)
    ]
    size = file.stat().st_size
    write(file, record("3") + "{\n", mode="a")
    second = look(folder, checkpoints=marks(first))
    wrong = next(item for item in second if isinstance(item, Unusable))
    assert (wrong.origin, wrong.reason) == (f"{file} at byte {size + len(record('3'))}", "invalid_json")


def test_the_last_line_is_left_while_it_may_be_unfinished(folder: Path) -> None:
    file = write(folder / "a.jsonl", record("1") + record("2")[:20])
    first = look(folder, follow=True)
    assert ids(first) == ["1"]
    assert not [item for item in first if isinstance(item, Unusable)]
    write(file, record("2")[20:], mode="a")
    assert ids(look(folder, checkpoints=marks(first), follow=True)) == ["2"]


def test_without_follow_a_last_line_without_its_end_is_a_line(folder: Path) -> None:
    file = write(folder / "a.jsonl", record("1") + record("2").strip())
    first = look(folder)
    assert ids(first) == ["1", "2"]
    write(file, "\n" + record("3"), mode="a")
    assert ids(look(folder, checkpoints=marks(first))) == ["3"]


def test_another_file_of_that_name_and_one_that_was_cut_are_read_from_their_start(folder: Path) -> None:
    file = write(folder / "a.jsonl", record("1") + record("2"))
    first = look(folder)
    file.rename(folder / "a.jsonl.old")  # as logs are rotated; the ending is none of ours
    write(file, record("3") + record("4") + record("5"))
    second = look(folder, checkpoints=marks(first))
    assert ids(second) == ["3", "4", "5"]
    write(file, record("6"))
    assert ids(look(folder, checkpoints=marks(second))) == ["6"]


def test_of_many_files_with_lines_those_read_last_are_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert GROWING_FILES >= 1_000
    monkeypatch.setattr(files, "GROWING_FILES", 2)
    names = ["a.jsonl", "b.jsonl", "c.jsonl"]
    for name in names:
        write(folder / name, record(name))
    first = look(folder)
    for name in ("c.jsonl", "a.jsonl"):
        write(folder / name, record(f"{name} 2"), mode="a")
    second = look(folder, checkpoints=marks(first))
    # The forgotten one is read whole again: sent twice, and not lost.
    assert ids(second) == ["c.jsonl 2", "a.jsonl", "a.jsonl 2"]


# ---------------------------------------------------------------- reasons, Seeds and Stdin


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"\xff", "not_utf8"),
        ("a.html", b" \n", "empty"),
        ("a.json", b"{", "invalid_json"),
        ("a.json", b'{"publisher": "p.example"}', "invalid_record"),
        ("a.jsonl", b"[]\n", "invalid_record"),
        ("tab\there.txt", b"text", "invalid_record"),
    ],
)
def test_what_cannot_be_used_has_a_reason_for_counting(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    for source in (Seeds(paths=[tmp_path]), Files(paths=[tmp_path])):
        (wrong,) = [item for item in source.articles(Run()) if isinstance(item, Unusable)]
        assert wrong.reason == reason


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that opens and cannot be read")
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/proc/self/mem")  # its first byte is nobody's
    for source in (Seeds(paths=[tmp_path]), Files(paths=[tmp_path])):
        (wrong,) = [item for item in source.articles(Run()) if isinstance(item, Unusable)]
        assert wrong.reason == "unreadable"


def test_seeds_are_given_whole_each_time_and_tell_how_far_they_are(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("text", encoding="utf-8")
    run = Run()
    far = [(run.done, run.total) for _ in Seeds(paths=[tmp_path], publisher="q.example").articles(run)]
    assert far == [(1, 2), (2, 2)]
    assert not Seeds.keeps_state
    assert all(item.checkpoint is None for item in Seeds(paths=[tmp_path]).articles(run) if isinstance(item, Found))


def test_without_a_path_the_seeds_are_the_sample_articles() -> None:
    items = list(Seeds().articles(Run()))
    assert len(items) > 10
    assert all(isinstance(item, Found) for item in items)


def test_standard_input_is_json_lines_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    given = record("1") + "{\n\n" + record("2")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode()), encoding="utf-8"))
    items = list(Stdin().articles(Run()))
    assert ids(items) == ["1", "2"]
    assert [item.origin for item in items if isinstance(item, Found | Unusable)] == [
        f"standard input:{line}" for line in (1, 2, 4)
    ]
    assert not Stdin.keeps_state
