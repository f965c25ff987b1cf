from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from schemas.source import SourceState
from services.cli import produce
from services.producer.app import Report, SourceRun
from services.producer.source import Run
from services.runtime import confirmed
from tests.unit.cli.conftest import Newsflow, Said
from tests.unit.producer.broker import Broker, broker
from tests.unit.producer.installed import SitePackages, packages

__all__ = ["broker", "packages"]  # fixtures

GAZETTE = '''
import json
import os
import signal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from services.producer.source import Found, Positional, RawArticle, Reached, Skipped, Trouble, Unusable


class Gazette(BaseModel):
    """The gazette's notices.

    One a day, but for Sundays.
    """

    paths: Positional[list[Path]] = Field(default=[], description="Files of notices.")
    folder: Path = Field(description="Where its issues are.")
    publisher: str = Field(default="gazette.example", description="Who publishes them.")
    limit: int = Field(default=3, ge=1, description="At most so many.")
    text: Literal["auto", "always", "never"] = Field(default="auto", description="Fetch pages.")
    drafts: bool = Field(default=False, description="Drafts too.")
    archive: bool = Field(default=True, description="Old ones too.")
    section: list[str] = Field(default=[], description="Only these sections.")
    last_issue: int | None = Field(default=None, description="The last one.")
    access_token: SecretStr | None = Field(default=None, description="The key to it.")

    @field_validator("publisher")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "nobody":
            raise ValueError("must be somebody")
        return value

    def articles(self, run):
        settings = self.model_dump(mode="json")
        settings["access_token"] = self.access_token and self.access_token.get_secret_value()
        yield RawArticle(publisher=self.publisher, id="1", body=json.dumps(settings))


class Outcomes(BaseModel):
    """Each of what may become of what is found."""

    def articles(self, run):
        yield Found("wire:1", RawArticle(publisher="p.example", id="1", body="one"), "north", "1")
        yield Skipped("wire:2", "seen")
        yield Unusable("wire:3", "headline: [bold]too long", reason="invalid_record")
        yield Found("wire:4", RawArticle(publisher="p.example", id="4", body="lost"))
        yield Trouble("south", "it does not answer")


class Marks(BaseModel):
    """Says where it goes on."""

    def articles(self, run):
        body = json.dumps([dict(run.checkpoints), run.follow, run.every, str(run.since), str(run.until)])
        yield Found("wire", RawArticle(publisher="p.example", body=body, published="2026-03-01T12:00:00Z"))


class Ends(BaseModel):
    """Is stopped by a signal, and would never end."""

    number: int = Field(default=15, description="The signal.")

    def articles(self, run):
        count = 0
        while True:
            count += 1
            yield Found("wire", RawArticle(publisher="p.example", id=str(count), body=f"text {count}"))
            os.kill(os.getpid(), self.number)


class Looks(BaseModel):
    """Is stopped at its second look."""

    def articles(self, run):
        if run.checkpoints:
            os.kill(os.getpid(), signal.SIGTERM)
        yield Found("wire", RawArticle(publisher="p.example", body="text"), checkpoint="1")


class Dated(BaseModel):
    """Three a month."""

    def articles(self, run):
        for month in ("02", "03", "04"):
            time = f"2026-{month}-01T00:00:00Z"
            yield RawArticle(publisher="p.example", id=month, body=month, published=time)
'''


@pytest.fixture
def kafka(broker: Broker, packages: SitePackages, monkeypatch: pytest.MonkeyPatch) -> Broker:
    """A broker without states, and a plug-in with some sources."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr(produce, "read_states", lambda _: [])
    names = ("gazette", "city-gazette", "outcomes", "marks", "ends", "looks", "dated")
    points = {name: name.rpartition("-")[2].capitalize() for name in names}
    packages.install("gazette-plugin", GAZETTE, points)
    return broker


def answer(said: Said) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.out)
    return found


# ---------------------------------------------------------------- seeds and standard input


def test_the_samples_are_sent_when_no_path_is_given(newsflow: Newsflow, kafka: Broker) -> None:
    said = newsflow("produce", "seeds", "--json")
    assert (said.status, said.err) == (0, "")
    assert answer(said)["failed"] == []
    assert answer(said)["confirmed"] == len(kafka.articles) > 10
    assert all(article.producer for article in kafka.articles)
    assert kafka.states == []


def test_files_and_folders_are_sent_under_the_publisher_given(
    newsflow: Newsflow, kafka: Broker, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The ferry sails.", encoding="utf-8")
    said = newsflow("produce", "seeds", tmp_path / "a.txt", "--publisher", "harbour-post.example")
    assert said.status == 0
    assert "1 articles confirmed by Kafka, 0 not" in said.out
    assert [(article.publisher, article.body, article.producer) for article in kafka.articles] == [
        ("harbour-post.example", "The ferry sails.", "seeds")
    ]


def test_standard_input_is_json_lines(newsflow: Newsflow, kafka: Broker) -> None:
    stdin = b'{"publisher": "p.example", "body": "one"}\n\n{"publisher": "p.example", "body": "two"}'
    assert newsflow("produce", "-", "--json", stdin=stdin).status == 0
    assert kafka.bodies == ["one", "two"]
    assert kafka.states == []


def test_who_sent_an_article_first_stays_its_producer(newsflow: Newsflow, kafka: Broker) -> None:
    stdin = (
        b'{"publisher": "p.example", "body": "one", "producer": "agency"}\n{"publisher": "p.example", "body": "2"}'
    )
    assert newsflow("produce", "-", "--json", stdin=stdin).status == 0
    assert [article.producer for article in kafka.articles] == ["agency", "stdin"]


def test_what_was_not_sent_is_listed_and_the_others_go_on(
    newsflow: Newsflow, kafka: Broker, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"\xff")
    (tmp_path / "in" / "b.txt").write_text("The ferry sails.", encoding="utf-8")
    said = newsflow("produce", "seeds", tmp_path / "in", tmp_path / "missing.txt", "--json")
    assert said.status == 1
    assert answer(said)["confirmed"] == len(kafka.articles) == 1
    assert [each["origin"] for each in answer(said)["failed"]] == [
        str(tmp_path / "in" / "a.txt"),
        str(tmp_path / "missing.txt"),
    ]
    assert all(each["error"] for each in answer(said)["failed"])
    assert "not UTF-8" in said.told


@pytest.mark.parametrize("source", ["-", "seeds", "files"])
def test_no_broker_is_status_1(
    newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise KafkaConnectionError("refused")

    monkeypatch.setattr(confirmed, "KafkaProducer", refuse)
    said = newsflow("produce", source, *([tmp_path] if source == "files" else []), "--json")
    assert (said.status, said.out) == (1, "")
    assert "127.0.0.1:1" in said.told


@pytest.mark.parametrize(
    "error", [LookupError("topic source-states does not exist: newsflow setup creates it"), TimeoutError("silent")]
)
def test_states_that_cannot_be_read_are_status_1(
    newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def fail(_: object) -> list[SourceState]:
        raise error

    monkeypatch.setattr(produce, "read_states", fail)
    said = newsflow("produce", "files", tmp_path, "--json")
    assert (said.status, said.out) == (1, "")
    assert str(error) in said.told
    assert newsflow("produce", "-", "--json").status == 0, "it needs none"


@pytest.mark.parametrize("source", ["seeds", "files"])
def test_a_publisher_that_is_no_name_is_wrong_use(
    newsflow: Newsflow, kafka: Broker, tmp_path: Path, source: str
) -> None:
    (tmp_path / "a.txt").write_text("The ferry sails.", encoding="utf-8")
    said = newsflow("produce", source, tmp_path / "a.txt", "--publisher", " ")
    assert said.status == 2
    assert "publisher" in said.told
    assert kafka.articles == []


# ---------------------------------------------------------------- settings as options and variables


def settings(kafka: Broker) -> dict[str, Any]:
    """Those with which the gazette was read."""
    (article,) = kafka.articles
    found: dict[str, Any] = json.loads(article.body or "")
    return found


DEFAULTS = {
    "paths": [],
    "folder": "issues",
    "publisher": "gazette.example",
    "limit": 3,
    "text": "auto",
    "drafts": False,
    "archive": True,
    "section": [],
    "last_issue": None,
    "access_token": None,
}


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ([], {}),
        (["a.txt", "b c.txt"], {"paths": ["a.txt", "b c.txt"]}),
        (["--publisher", "p.example"], {"publisher": "p.example"}),
        (["--limit", "7"], {"limit": 7}),
        (["--text", "never"], {"text": "never"}),
        (["--drafts"], {"drafts": True}),
        (["--no-archive"], {"archive": False}),
        (["--no-drafts", "--archive"], {}),
        (["--section", "art", "--section", "sport, local"], {"section": ["art", "sport, local"]}),
        (["--last-issue", "12"], {"last_issue": 12}),
    ],
)
def test_each_field_is_an_option(
    newsflow: Newsflow, kafka: Broker, arguments: list[str], changed: dict[str, Any]
) -> None:
    said = newsflow("produce", "gazette", "--folder", "issues", *arguments, "--json")
    assert said.status == 0, said.err
    assert settings(kafka) == DEFAULTS | changed


@pytest.mark.parametrize(
    ("variable", "value", "changed"),
    [
        ("LIMIT", "7", {"limit": 7}),
        ("TEXT", "always", {"text": "always"}),
        ("DRAFTS", "true", {"drafts": True}),
        ("ARCHIVE", "0", {"archive": False}),
        ("SECTION", "art sport", {"section": ["art", "sport"]}),
        ("PATHS", "a.txt b.txt", {"paths": ["a.txt", "b.txt"]}),
        ("LAST_ISSUE", "12", {"last_issue": 12}),
        ("LIMIT", "", {}),
        ("ACCESS_TOKEN", "s3cret", {"access_token": "s3cret"}),
    ],
)
def test_each_field_is_a_variable(
    newsflow: Newsflow,
    kafka: Broker,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    changed: dict[str, Any],
) -> None:
    monkeypatch.setenv("SOURCE_CITY_GAZETTE_FOLDER", "issues")
    monkeypatch.setenv(f"SOURCE_CITY_GAZETTE_{variable}", value)
    said = newsflow("produce", "city-gazette", "--json")
    assert said.status == 0, said.err
    assert settings(kafka) == DEFAULTS | changed


def test_an_option_counts_more_than_its_variable(
    newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_GAZETTE_LIMIT", "7")
    newsflow("produce", "gazette", "--folder", "issues", "--limit", "9", "--json")
    assert settings(kafka)["limit"] == 9


@pytest.mark.parametrize(
    ("arguments", "said_"),
    [
        ([], "folder: is required"),
        (["--folder", "f", "--limit", "many"], "limit: Input should be a valid integer"),
        (["--folder", "f", "--limit", "0"], "limit: Input should be greater than or equal to 1"),
        (["--folder", "f", "--text", "maybe"], "text: Input should be 'auto', 'always' or 'never'"),
        (["--folder", "f", "--publisher", "nobody"], "publisher: must be somebody"),
        (["--limit", "0"], "folder: is required; limit:"),
        (["--folder", "f", "--colour", "red"], "--colour"),
        (["--folder", "f", "--since", "yesterday"], "--since: 'yesterday' is no ISO 8601 time"),
        (["--folder", "f", "--rate", "0"], "--rate"),
        (["--folder", "f", "--rate", "fast"], "--rate"),
    ],
)
def test_a_wrong_value_is_wrong_use_with_its_name(
    newsflow: Newsflow, kafka: Broker, arguments: list[str], said_: str
) -> None:
    said = newsflow("produce", "gazette", *arguments, "--json")
    assert (said.status, said.out) == (2, "")
    assert said_ in said.told
    assert kafka.articles == []


def test_a_wrong_variable_is_wrong_use_with_its_name(
    newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_GAZETTE_LIMIT", "many")
    said = newsflow("produce", "gazette", "--folder", "f")
    assert said.status == 2
    assert "limit: Input should be a valid integer" in said.told


def test_a_secret_is_taken_from_its_variable_alone(
    newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lists the processes of a machine sees their arguments."""
    said = newsflow("produce", "gazette", "--folder", "issues", "--access-token", "s3cret")
    assert said.status == 2
    assert kafka.articles == []
    assert "SOURCE_GAZETTE_ACCESS_TOKEN" in newsflow("produce", "gazette", "--help").out


# ---------------------------------------------------------------- help and lists


def test_the_help_of_a_source_is_its_docstring_and_its_fields(newsflow: Newsflow, kafka: Broker) -> None:
    said = newsflow("produce", "gazette", "--help")
    assert said.status == 0
    for each in (
        "The gazette's notices.",
        "but for Sundays",
        "PATHS",
        "Files of notices.",
        "--folder",
        "Where its issues are.",
        "SOURCE_GAZETTE_FOLDER",
        "--drafts",
        "--no-drafts",
        "--last-issue",
        "--follow",
        "--from-start",
    ):
        assert each in said.out


def test_the_help_shows_the_defaults(newsflow: Newsflow, kafka: Broker) -> None:
    said = " ".join(newsflow("produce", "gazette", "--help").out.replace("│", " ").split())
    assert "Who publishes them. [default: gazette.example]" in said
    assert "At most so many. [default: 3]" in said
    assert "Old ones too. [default: True]" in said
    assert "Where its issues are. [env" in said, "it has none"


def test_an_unknown_source_is_wrong_use_and_those_there_are_are_named(newsflow: Newsflow, kafka: Broker) -> None:
    said = newsflow("produce", "gazettes")
    assert (said.status, said.out) == (2, "")
    for name in ("Usage: newsflow produce", "'gazettes'", "city-gazette", "seeds", "files", "-"):
        assert name in said.told


def test_the_list_names_each_source_with_a_line_of_help(newsflow: Newsflow, kafka: Broker) -> None:
    said = newsflow("produce", "--list")
    assert said.status == 0
    for name in ("gazette", "gazette-plugin", "The gazette's notices.", "seeds", "files"):
        assert name in said.out
    assert "Sundays" not in said.out


def test_the_list_has_a_shape_that_scripts_rely_on(
    newsflow: Newsflow, kafka: Broker, packages: SitePackages
) -> None:
    packages.install("broken", "import newsflow_nothing")
    said = newsflow("produce", "--list", "--json")
    assert said.status == 0
    found = {each["name"]: each for each in map(json.loads, said.out.splitlines())}
    assert found["outcomes"] == {
        "name": "outcomes",
        "distribution": "gazette-plugin",
        "ok": True,
        "error": None,
        "help": "Each of what may become of what is found.",
        "settings": {},
    }
    assert found["gazette"]["settings"]["limit"] == "At most so many."
    assert (found["broken"]["ok"], found["broken"]["settings"]) == (False, {})
    assert "newsflow_nothing" in found["broken"]["error"]
    assert found["seeds"]["ok"]


def test_a_broken_plug_in_is_named_and_all_others_work(
    newsflow: Newsflow, kafka: Broker, packages: SitePackages
) -> None:
    packages.install("broken", "raise RuntimeError('no [/licence]')")
    said = newsflow("produce", "--list")
    assert said.status == 0
    assert "source broken of broken is left out: it cannot be loaded: RuntimeError: no [/licence]" in said.told
    assert "The gazette's notices." in said.out
    said = newsflow("produce", "broken")
    assert (said.status, said.out) == (1, "")
    assert "source broken of broken is left out" in said.told
    said = newsflow("produce", "outcomes", "--json")
    assert answer(said)["confirmed"] == 2
    assert "left out" not in said.err, "nobody asked for it"


def test_the_help_of_the_verb_names_a_broken_plug_in_too(
    newsflow: Newsflow, kafka: Broker, packages: SitePackages
) -> None:
    packages.install("broken", "raise RuntimeError('no [/licence]')")
    for arguments in (["--help"], ["broken", "--help"]):
        said = newsflow("produce", *arguments)
        assert said.status == 0
        assert "no [/licence]" in " ".join(said.out.replace("│", " ").split())


def test_without_a_source_the_help_is_shown_and_that_is_wrong_use(
    newsflow: Newsflow, kafka: Broker, packages: SitePackages
) -> None:
    said = newsflow("produce")
    assert said.status == 2
    assert "gazette" in said.out + said.err
    packages.install("broken", "import newsflow_nothing")
    said = newsflow("produce")
    assert said.status == 2
    assert "city-gazette" in said.out + said.err


# ---------------------------------------------------------------- what a run says


def test_the_summary_has_a_shape_that_scripts_rely_on(newsflow: Newsflow, kafka: Broker) -> None:
    kafka.lost = {"lost"}
    said = newsflow("produce", "outcomes", "--json")
    assert said.status == 1
    assert answer(said) == {
        "confirmed": 1,
        "failed": [
            {"origin": "wire:3", "error": "headline: [bold]too long", "reason": "invalid_record"},
            {"origin": "wire:4", "error": "Kafka did not confirm it in 60 s", "reason": "not_confirmed"},
        ],
        "skipped": {"seen": 1},
        "refused": {"invalid_record": 1},
        "not_confirmed": 1,
        "troubles": [{"part": "south", "error": "it does not answer"}],
        "resumed": False,
    }


def test_people_read_the_same(newsflow: Newsflow, kafka: Broker) -> None:
    said = newsflow("produce", "outcomes")
    assert said.status == 1
    assert said.out.splitlines() == [
        "2 articles confirmed by Kafka, 1 not",
        "skipped: seen 1",
        "refused: invalid_record 1",
    ]
    assert "not sent: wire:3: headline: [bold]too long" in said.told
    assert "cannot be read: south: it does not answer" in said.told


def test_a_terminal_is_not_flooded(
    newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(produce, "NAMED_ON_TERMINAL", 2)
    said = newsflow("produce", "-", stdin=b"{\n" * 5)
    assert said.status == 1
    assert said.err.count("not sent: ") == 2
    assert "and 3 more not sent" in said.told


def test_a_long_run_says_how_far_it_is(newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce, "NOTE_SECONDS", 0)
    said = newsflow("produce", "dated")
    assert "3 articles sent, 0 skipped, 0 not sent" in said.told
    assert newsflow("produce", "dated", "--json").err == ""


@pytest.mark.parametrize(
    ("run", "first", "seconds", "said"),
    [
        (Run(done=50, total=100), 0, 10, "; 50%, about 10 s left"),
        # It went on from 40: the time left is at the pace of this run.
        (Run(done=50, total=100), 40, 10, "; 50%, about 50 s left"),
        (Run(done=50, total=None), 0, 10, ""),
        (Run(done=0, total=100), 0, 10, ""),
    ],
)
def test_the_time_left_is_at_the_pace_of_this_run(run: Run, first: float, seconds: float, said: str) -> None:
    assert produce._left(run, first, seconds) == said


# ---------------------------------------------------------------- the run


def remember(monkeypatch: pytest.MonkeyPatch, *states: SourceState) -> None:
    monkeypatch.setattr(produce, "read_states", lambda _: list(states))


def state(source: str, part: str, checkpoint: str | None) -> SourceState:
    return SourceState(
        source=source, part=part, checkpoint=checkpoint, looked=datetime(2026, 3, 1, tzinfo=UTC), sent=5
    )


def marks(kafka: Broker) -> list[Any]:
    found: list[Any] = json.loads(kafka.articles[-1].body or "")
    return found


def test_a_source_goes_on_where_its_last_run_ended(
    newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(monkeypatch, state("marks", "north", "7"), state("other", "south", "9"), state("marks", "new", None))
    assert answer(newsflow("produce", "marks", "--json"))["resumed"] is True
    assert marks(kafka)[0] == {"north": "7"}


def test_who_follows_has_not_gone_on_from_what_it_wrote_itself(newsflow: Newsflow, kafka: Broker) -> None:
    said = newsflow("produce", "looks", "--follow", "--every", "0", "--json")
    assert answer(said)["confirmed"] == 2
    assert answer(said)["resumed"] is False


def test_from_start_it_begins_anew_and_its_counts_go_on(
    newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(monkeypatch, state("marks", "", "7"))
    assert answer(newsflow("produce", "marks", "--from-start", "--json"))["resumed"] is False
    assert marks(kafka)[0] == {}
    assert kafka.last[""].sent == 6


def test_since_and_until_are_times_of_utc(newsflow: Newsflow, kafka: Broker) -> None:
    newsflow("produce", "marks", "--since", "2026-03-01", "--until", "2026-03-02T02:00+02:00", "--json")
    assert marks(kafka)[3:] == ["2026-03-01 00:00:00+00:00", "2026-03-02 00:00:00+00:00"]
    assert marks(kafka)[1:3] == [False, 300.0]


def test_what_is_out_of_range_is_skipped_and_no_failure(newsflow: Newsflow, kafka: Broker) -> None:
    said = newsflow("produce", "dated", "--since", "2026-03-01", "--until", "2026-04-01", "--json")
    assert said.status == 0
    assert kafka.bodies == ["03"]
    assert answer(said)["skipped"] == {"out_of_range": 2}


def test_the_rate_is_handed_on(newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float | None] = []
    begin: Callable[..., None] = SourceRun.__init__

    def started(self: Any, *arguments: Any, rate: float | None, **other: Any) -> None:
        rates.append(rate)
        begin(self, *arguments, rate=None, **other)

    monkeypatch.setattr(SourceRun, "__init__", started)
    newsflow("produce", "dated", "--rate", "0.5", "--json")
    newsflow("produce", "dated", "--json")
    assert rates == [0.5, None]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_after_what_is_in_hand(
    newsflow: Newsflow, kafka: Broker, number: signal.Signals
) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    said = newsflow("produce", "ends", "--number", str(int(number)), "--follow", "--json")
    assert said.status == 0
    assert answer(said)["confirmed"] == len(kafka.articles) >= 1
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


def test_the_second_ctrl_c_ends_it_at_once() -> None:
    stop = threading.Event()
    with produce._stopped_by_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_who_follows_answers_health_checks(
    newsflow: Newsflow, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[str, int]] = []

    def serve(health: Any, host: str, port: int) -> int:
        served.append((host, port))
        return port

    monkeypatch.setattr(produce, "serve_health", serve)
    monkeypatch.setenv("HEALTH_PORT", "8085")
    newsflow("produce", "dated", "--json")
    assert served == []
    newsflow("produce", "ends", "--follow", "--every", "1", "--json")
    assert served == [("127.0.0.1", 8085)]


def test_a_report_without_failures_is_status_0(newsflow: Newsflow, kafka: Broker) -> None:
    said = newsflow("produce", "dated")
    assert (said.status, said.err) == (0, "")
    assert said.out == "3 articles confirmed by Kafka, 0 not\n"
    assert Report().not_sent == 0
