"""`newsflow doctor`: what is missing on this machine, and what to do about it."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.embedded.diagnosis import Check, diagnose
from services.embedded.settings import EmbeddedSettings

ANSWER_S = 5.0
"""Seconds that Kafka or Elasticsearch may take to answer."""

OLDEST_ELASTICSEARCH = 9
"""The Elasticsearch client asks in the form of this version, which older servers refuse."""

CLOCK_LIMIT_S = 5.0
"""Seconds that two clocks may differ: more than an answer takes and whole seconds hide, and no harm yet."""

CLOCK_HARM = (
    "Let it be set by NTP (timedatectl set-ntp true); a machine that slept may need a restart. With a wrong clock "
    "new articles are missing from Kibana's last hours or lie in its future, a correction can lose against what it "
    "corrects, and certificates are refused."
)


class DoctorSettings(BaseSettings):
    """The servers that were set, if they were. What is not set is not asked."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap_servers: str | None = Field(default=None, validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    elasticsearch_url: str | None = Field(default=None, validation_alias="ELASTICSEARCH_URL")
    elasticsearch_api_key: SecretStr | None = Field(default=None, validation_alias="ELASTICSEARCH_API_KEY")
    elasticsearch_api_key_file: Path | None = Field(
        default=None, validation_alias="ELASTICSEARCH_API_KEY_FILE", description="File that holds the key."
    )


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Check this machine, and the servers that are set. Exit status 1 if something must be mended first."""
    checks = []
    for check in every_check():
        checks.append(check)
        if not json_:
            typer.echo(f"{'ok' if check.ok else 'PROBLEM':8} {check.name:14} {check.found}")
            if not check.ok:
                typer.echo(f"{'':8} {'':14} {check.advice}")
    failed = any(check.fatal and not check.ok for check in checks)
    if json_:
        typer.echo(json.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]}))
    if failed:
        raise typer.Exit(1)


def every_check() -> Iterator[Check]:
    """The machine first, then the servers."""
    yield from diagnose(EmbeddedSettings())
    yield from check_servers(DoctorSettings())


def check_servers(settings: DoctorSettings) -> Iterator[Check]:
    """Whether the servers that are set answer, in which version, and whether their clock and ours agree."""
    if settings.kafka_bootstrap_servers:
        yield check_kafka(settings.kafka_bootstrap_servers)
    if settings.elasticsearch_url:
        yield from check_elasticsearch(settings.elasticsearch_url, settings)


def check_kafka(servers: str) -> Check:
    """Whether Kafka answers, also at the addresses that it gives to its clients."""
    limit_ms = int(ANSWER_S * 1000)
    advice = (
        f"Start the Kafka at KAFKA_BOOTSTRAP_SERVERS={servers}, or correct it. In a container of compose it is "
        "kafka:19092 (localhost is the container itself), on the host localhost:9092."
    )
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=servers.split(","), bootstrap_timeout_ms=limit_ms, request_timeout_ms=limit_ms
        )
        try:
            brokers = admin.describe_cluster()["brokers"]
            advice = (
                "It answers at first, but not at the address that it tells its clients: correct Kafka's "
                "advertised.listeners, or use the listener that is meant for this place. " + advice
            )
            spoken = {admin.get_broker_version_data(broker["broker_id"]).broker_version for broker in brokers}
        finally:
            admin.close()
    except (KafkaError, OSError, ValueError) as error:
        return Check("kafka address", False, f"{servers}: {type(error).__name__}: {error}", advice)
    version = ", ".join(sorted(".".join(map(str, each)) for each in spoken))
    # A broker tells what it can do, not its version; that is concluded from it.
    return Check("kafka address", True, f"{servers}, {len(brokers)} broker, speaks as version {version} or newer")


@dataclass(frozen=True)
class Answer:
    """What Elasticsearch said, and the local time in the middle of the exchange, in seconds since 1970."""

    status: int
    date: str | None
    body: bytes
    asked: float


def check_elasticsearch(url: str, settings: DoctorSettings) -> Iterator[Check]:
    """Whether Elasticsearch answers, takes the key and is new enough; if it answers, also the clock."""
    name = "search address"
    shown = re.sub(r"//[^/]*@", "//", url)  # a password in the address is nobody's to see
    try:
        login = _login(url, settings)
    except (OSError, ValueError) as error:
        advice = "Correct ELASTICSEARCH_API_KEY_FILE, or let this user read the file."
        yield Check(name, False, f"the key file cannot be read: {error}", advice)
        return
    try:
        answer = ask(url, "/", login)
    except (OSError, HTTPException, ValueError) as error:
        advice = (
            "Start the Elasticsearch at ELASTICSEARCH_URL, or correct it (http or https, host and port). In a "
            "container of compose it is http://elasticsearch:9200, on the host http://localhost:9200."
        )
        yield Check(name, False, f"{shown}: {type(error).__name__}: {error}", advice)
        return
    yield _judge(name, shown, answer, bool(login))
    if answer.status < 500:
        yield check_clock(url, login, answer)


def _judge(name: str, shown: str, answer: Answer, has_login: bool) -> Check:
    if answer.status == 401:
        advice = "Set ELASTICSEARCH_API_KEY or ELASTICSEARCH_API_KEY_FILE; `newsflow setup` makes keys that fit."
        found = "does not accept the key" if has_login else "asks for a key, and none is set"
        return Check(name, False, f"{shown} answers, but {found}", advice)
    if answer.status == 403:  # the key is right, and may only what its service needs
        return Check(name, True, f"{shown} accepts the key, which may not ask for the version")
    try:
        version = str(json.loads(answer.body)["version"]["number"])
        major = int(version.partition(".")[0])
    except (ValueError, KeyError, TypeError):
        advice = "Correct ELASTICSEARCH_URL, or wait and read the server's log."
        return Check(name, False, f"{shown} answers {answer.status}, and not as Elasticsearch does", advice)
    advice = f"Update it to version {OLDEST_ELASTICSEARCH}: an older one refuses what Newsflow sends."
    return Check(name, major >= OLDEST_ELASTICSEARCH, f"{shown}, version {version}", advice)


def check_clock(url: str, login: str, answer: Answer) -> Check:
    """Whether our clock and Elasticsearch's agree; not fatal. No other host is asked for the time."""
    try:
        theirs, answer = _time_of(url, login, answer)
    except (OSError, HTTPException, ValueError, KeyError, TypeError, IndexError):
        return Check("clock", True, "not compared: Elasticsearch does not tell this key its time", fatal=False)
    # Theirs is cut to whole seconds, so half a second is right on average.
    off = answer.asked - (theirs + 0.5)
    now = datetime.now(UTC).isoformat(" ", "seconds")
    if abs(off) <= CLOCK_LIMIT_S:
        return Check("clock", True, f"{now}, as Elasticsearch's", fatal=False)
    found = f"{now}, {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} Elasticsearch's clock"
    return Check("clock", False, found, f"One of the two is wrong. {CLOCK_HARM}", fatal=False)


def _time_of(url: str, login: str, answer: Answer) -> tuple[float, Answer]:
    """Their time in seconds since 1970, and the answer that told it."""
    if answer.date:
        return parsedate_to_datetime(answer.date).timestamp(), answer
    # Elasticsearch itself sends no Date; what stands before it often does.
    answer = ask(url, "/_cat/health?format=json&h=epoch", login)
    return float(json.loads(answer.body)[0]["epoch"]), answer


def ask(url: str, path: str, login: str) -> Answer:
    """GET `path` below `url`. Raises OSError, HTTPException or ValueError when there is no answer."""
    parts = urlsplit(url)
    # The services' own client asks for all three as well.
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.port:
        raise ValueError("it is not an address like http://host:9200")
    # Not through a proxy: the services ask Elasticsearch directly, too.
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=ANSWER_S)
    try:
        start = time.time()
        connection.request("GET", parts.path.rstrip("/") + path, headers={"Authorization": login} if login else {})
        answer = connection.getresponse()
        asked = (start + time.time()) / 2
        return Answer(answer.status, answer.headers.get("Date"), answer.read(), asked)
    finally:
        connection.close()


def _login(url: str, settings: DoctorSettings) -> str:
    """The value of the header Authorization; empty when nothing is set."""
    if settings.elasticsearch_api_key is not None:
        return f"ApiKey {settings.elasticsearch_api_key.get_secret_value()}"
    if settings.elasticsearch_api_key_file is not None:
        return f"ApiKey {settings.elasticsearch_api_key_file.read_text('ascii').strip()}"
    parts = urlsplit(url)
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
