from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.article import RawArticle
from schemas.identity import article_id
from services.producer.core import Found, Unusable
from services.producer.sources.files import ENDINGS, read_files, read_lines

RECORD: dict[str, Any] = {
    "publisher": "harbour-post.example",
    "body": "The market moves to the square.",
    "id": "17",
}


def line(**other: object) -> bytes:
    return json.dumps(RECORD | other).encode() + b"\n"


def read(*paths: Path) -> list[Found | Unusable]:
    return list(read_files(paths, "local-files", "seeds"))


def articles(*paths: Path) -> list[RawArticle]:
    """All of them are usable."""
    found = read(*paths)
    assert [each for each in found if isinstance(each, Unusable)] == []
    return [each.article for each in found if isinstance(each, Found)]


def problem(path: Path) -> str:
    (found,) = read(path)
    assert isinstance(found, Unusable)
    assert found.origin == str(path)
    return found.error


# ---------------------------------------------------------------- each ending


def test_a_txt_file_is_a_body(tmp_path: Path) -> None:
    file = tmp_path / "harbour.txt"
    file.write_bytes("  The ferry\r\nsails – again.\n\n".encode())
    assert articles(file) == [
        RawArticle(
            publisher="local-files",
            body="  The ferry\r\nsails – again.\n\n",  # to the letter: cleaning is the cleaner's
            id="harbour.txt",
            producer="seeds",
        )
    ]


@pytest.mark.parametrize("ending", [".html", ".htm"])
def test_an_html_file_is_a_page(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"harbour{ending}"
    file.write_text("<p>The ferry sails again.</p>", encoding="utf-8")
    assert articles(file) == [
        RawArticle(
            publisher="local-files", html="<p>The ferry sails again.</p>", id=f"harbour{ending}", producer="seeds"
        )
    ]


def test_a_json_file_is_one_record(tmp_path: Path) -> None:
    file = tmp_path / "harbour.json"
    file.write_text(json.dumps(RECORD, indent=2), encoding="utf-8")
    assert articles(file) == [RawArticle(**RECORD, producer="seeds")]


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson"])
def test_a_file_of_json_lines_is_a_record_a_line(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"harbour{ending}"
    file.write_bytes(line(id="1") + b"\r\n" + line(id="2").strip() + b"\r\n" + line(id="3").strip())
    assert [article.id for article in articles(file)] == ["1", "2", "3"]


def test_who_sent_a_record_first_stays_its_producer(tmp_path: Path) -> None:
    file = tmp_path / "harbour.jsonl"
    file.write_bytes(line(producer="wire") + line())
    assert [article.producer for article in articles(file)] == ["wire", "seeds"]


def test_a_bad_line_holds_up_no_other(tmp_path: Path) -> None:
    file = tmp_path / "harbour.jsonl"
    file.write_bytes(line(id="1") + b"{cut\n\n" + line(pages=4) + b"\xff\n" + line(id="2"))
    found = read(file)
    assert [type(each) for each in found] == [Found, Unusable, Unusable, Unusable, Found]
    # Empty lines count, so that an editor finds the line.
    assert [each.origin for each in found] == [f"{file}:{number}" for number in (1, 2, 4, 5, 6)]
    assert isinstance(found[2], Unusable)
    assert "pages" in found[2].error


@given(st.lists(st.sampled_from([line(), b"{cut\n", b"\n", b" \t\r\n", b"[]\n", b"\xff\n"])))
def test_every_line_that_says_something_has_one_outcome(given_lines: list[bytes]) -> None:
    found = list(read_lines(given_lines, "here"))
    expected = [
        (f"here:{number}", Found if each == line() else Unusable)
        for number, each in enumerate(given_lines, start=1)
        if each.strip()
    ]
    assert [(each.origin, type(each)) for each in found] == expected


def test_lines_are_read_as_they_come() -> None:
    """Standard input may never end."""

    def endless() -> Iterator[bytes]:
        yield line(id="1")
        raise AssertionError("read ahead")

    first = next(read_lines(endless(), "standard input"))
    assert isinstance(first, Found)
    assert first.article.producer is None


# ---------------------------------------------------------------- what cannot be used


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    for name in ("a.txt", "b.html"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbfThe ferry")
    assert [article.body or article.html for article in articles(tmp_path)] == ["The ferry", "The ferry"]


@pytest.mark.parametrize("name", ["a.txt", "a.html"])
def test_what_is_not_utf_8_is_named_with_its_byte(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes("Caf\xe9 at the harbour".encode("latin-1"))
    assert "not UTF-8" in problem(file)
    assert "byte 3" in problem(file)


@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.txt", "a.html", "a.json"])
def test_an_empty_file_is_no_article(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert problem(file)


def test_a_json_file_that_is_no_record_is_told_with_the_field(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(line(publisher=""))
    assert problem(file).startswith("publisher: ")


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.txt.gz"])
def test_an_unknown_ending_is_told_with_the_known_ones(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("text", encoding="utf-8")
    assert all(ending in problem(file) for ending in ENDINGS)


def test_a_missing_path_holds_up_no_other(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("text", encoding="utf-8")
    first, second = read(tmp_path / "missing.txt", file)
    assert first == Unusable(str(tmp_path / "missing.txt"), "there is no such file or folder")
    assert isinstance(second, Found)


@pytest.mark.parametrize("name", ["tab\there.txt", "line\nbreak.html", "caf\udce9.txt"])
def test_a_file_whose_name_is_no_id_holds_up_no_other(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text", encoding="utf-8")
    (tmp_path / "z.txt").write_text("text", encoding="utf-8")
    found = read(tmp_path)
    assert len(found) == 2
    assert isinstance(found[-1], Found)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that opens and cannot be read")
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_file_that_cannot_be_read_holds_up_no_other(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/proc/self/mem")  # its first byte is nobody's
    (tmp_path / "z.txt").write_text("text", encoding="utf-8")
    first, second = read(tmp_path)
    assert isinstance(first, Unusable)
    assert first.origin == str(tmp_path / name)
    assert isinstance(second, Found)


def test_what_stands_beside_an_article_is_none_itself(tmp_path: Path) -> None:
    """A shell's `*.json` names it, too."""
    file = tmp_path / "a.expected.json"
    file.write_text("{}", encoding="utf-8")
    assert read(file) == read(tmp_path) == []


# ---------------------------------------------------------------- folders


def test_a_folder_is_read_by_name_with_all_below_it(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/deep/c.txt", "sub/a.html", "notes.md", "a.expected.json", "sub/.hidden"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.txt").mkdir()  # a folder may have any name
    assert [article.id for article in articles(tmp_path)] == ["a.txt", "b.txt", "sub/a.html", "sub/deep/c.txt"]


def test_paths_are_read_in_the_order_given(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("text", encoding="utf-8")
    given_ = (tmp_path / "b.txt", tmp_path / "sub", tmp_path / "a.txt")
    assert [article.id for article in articles(*given_)] == ["b.txt", "c.txt", "a.txt"]


@pytest.mark.parametrize("name", ["a.txt", "a.html"])
def test_a_changed_file_is_a_correction(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("The ferry sails at nine.", encoding="utf-8")
    (before,) = articles(tmp_path)
    file.write_text("The ferry sails at ten.", encoding="utf-8")
    (after,) = articles(tmp_path)
    assert before != after
    assert article_id(before) == article_id(after)


def test_files_of_one_name_in_two_folders_are_two_articles(tmp_path: Path) -> None:
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "news.txt").write_text(f"The news of {folder}.", encoding="utf-8")
    first, second = articles(tmp_path)
    assert article_id(first) != article_id(second)


def test_files_of_one_name_given_one_by_one_are_two_articles_or_refused(tmp_path: Path) -> None:
    """Else the second replaces the first in the index, and nobody is told."""
    files = []
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "news.txt")
        files[-1].write_text(f"The news of {folder}.", encoding="utf-8")
    outcomes = {article_id(each.article) if isinstance(each, Found) else each.error for each in read(*files)}
    assert len(outcomes) == 2
