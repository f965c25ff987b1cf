from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from schemas.export import exported
from services.cli.schema import app

GOOD = '{"publisher": "harbour-post.example", "body": "The market moves to the square."}'


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], input=stdin)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "articles.jsonl"
    bad = '{"publisher": "", "body": "x", "pages": 4}'
    file.write_text(f"{GOOD}\n\n{bad}\n{{cut\n", encoding="utf-8")
    return file


def test_list_names_every_file() -> None:
    rows = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert {row["file"] for row in rows} == exported().keys()
    assert [line.split()[:2] for line in run("list").stdout.splitlines()] == [
        [row["name"], row["file"]] for row in rows
    ]


def test_show_prints_each_file_as_it_is() -> None:
    for line in run("list", "--json").stdout.splitlines():
        row = json.loads(line)
        assert run("show", row["name"]).stdout_bytes.decode() == exported()[row["file"]]


def test_show_of_an_unknown_name_is_wrong_use() -> None:
    shown = run("show", "articles-lost")
    assert shown.exit_code == 2
    assert "articles-raw" in shown.stderr
    assert shown.stdout == ""


def test_export_writes_into_the_given_folder(tmp_path: Path) -> None:
    done = run("export", tmp_path / "contract")
    assert done.exit_code == 0
    files = exported().keys() | {"gateway.openapi.json"}
    assert {Path(line).name for line in done.stdout.splitlines()} == files
    assert {path.name for path in (tmp_path / "contract").iterdir()} == files


def test_export_into_a_file_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    assert run("export", tmp_path / "taken").exit_code == 2


def test_check_names_file_line_field_and_what_to_do(lines: Path) -> None:
    checked = run("check", lines)
    assert checked.exit_code == 1
    publisher, pages, cut = checked.stdout.splitlines()
    assert publisher.startswith(f"{lines}:3: publisher: ")
    assert pages == f"{lines}:3: pages: unknown field: leave it out, or put it into `extra` as a text"
    assert cut.startswith(f"{lines}:4: Invalid JSON: ")
    assert checked.stderr == "3 records, 2 invalid\n"


def test_check_as_json_gives_one_object_a_problem(lines: Path) -> None:
    checked = run("check", lines, "--json")
    problems = [json.loads(line) for line in checked.stdout.splitlines()]
    assert [(each["line"], each["reason"], each["field"]) for each in problems] == [
        (3, "invalid_record", "publisher"),
        (3, "invalid_record", "pages"),
        (4, "invalid_json", None),
    ]
    assert all(each["file"] == str(lines) and each["error"] for each in problems)
    assert checked.stderr == ""


def test_check_reads_standard_input() -> None:
    checked = run("check", "-", stdin=f"{GOOD}\n[]\n".encode())
    assert checked.exit_code == 1
    assert checked.stdout == "-:2: Input should be an object\n"


def test_check_reads_a_json_file_as_one_record(tmp_path: Path) -> None:
    file = tmp_path / "article.json"
    file.write_text(json.dumps(json.loads(GOOD), indent=2))
    assert run("check", file).exit_code == 0
    file.write_text(f"{GOOD}\n{GOOD}\n")
    assert run("check", file).stdout.startswith(f"{file}:1: Invalid JSON: trailing characters at line 2")


def test_check_of_good_records_says_nothing_on_standard_output(tmp_path: Path) -> None:
    file = tmp_path / "articles.ndjson"
    file.write_text(f"{GOOD}\n{GOOD}")
    checked = run("check", file)
    assert (checked.exit_code, checked.stdout, checked.stderr) == (0, "", "2 records, 0 invalid\n")


def test_check_of_a_missing_file_is_wrong_use_before_anything_is_read(lines: Path) -> None:
    checked = run("check", lines, lines.with_name("lost.jsonl"))
    assert checked.exit_code == 2
    assert checked.stdout == ""
    assert "no such file" in checked.stderr


def test_check_of_another_kind_of_file_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "article.txt").write_text("The market moves.")
    checked = run("check", tmp_path / "article.txt")
    assert checked.exit_code == 2
    assert ".jsonl" in checked.stderr


def test_check_without_a_file_is_wrong_use() -> None:
    assert run("check").exit_code == 2


def test_name_of_a_field_breaks_no_line_and_commands_no_terminal() -> None:
    record = json.dumps({"publisher": "a", "body": "x", "\x1b[2J\nall good": "x"})
    checked = run("check", "-", stdin=record.encode())
    assert checked.stdout.startswith(r"-:1: \x1b[2J\x0aall good: unknown field")
    assert checked.stdout.count("\n") == 1
