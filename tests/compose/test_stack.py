"""From nothing to search hits, and through every disturbance: one stack, in the order of this file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from schemas.article import RawArticle
from schemas.document import first_index
from schemas.identity import article_id
from services.embedded.ports import choose_ports
from services.producer.core import Found
from services.producer.sources.files import read_files
from tests.bench.articles import distinct_texts
from tests.compose.engine import is_lab
from tests.compose.stack import IMAGES, ONE_SHOTS, OURS, SERVERS, Stack, command_lines, inspected
from tests.live.harness import ROOT, SERVICES, judge, steady, wait_until

pytestmark = pytest.mark.timeout(1200)

ARTICLES = int(os.environ.get("NEWSFLOW_TEST_ARTICLES", "60"))
"""How many are under way in each disturbance."""

OBJECTS = [json.loads(line) for line in (ROOT / "deploy/kibana/news.ndjson").read_text("utf-8").splitlines()]


class Sent:
    """Every article and every broken record that went into the stack; what the oracle expects."""

    def __init__(self) -> None:
        found = read_files([ROOT / "seeds"], "local-files", "seeds")
        self.good = [each.article for each in found if isinstance(each, Found)]
        self.broken: list[bytes | None] = []

    def batch(self, name: str) -> list[RawArticle | bytes]:
        """New articles with the texts of every other batch, and two broken records."""
        articles = [
            RawArticle(
                # Its own publisher: what one publisher repeats from batch to batch is learned as boilerplate.
                publisher=f"{name}.example",
                id=f"{name}-{number}",
                body=text,
                headline=f"Article {number}, {name}",
            )
            for number, text in enumerate(distinct_texts(ARTICLES))
        ]
        broken = [b"not json " + name.encode(), b'{"publisher": "%s"}' % name.encode()]
        self.good += articles
        self.broken += broken
        return [broken[0], *articles, broken[1]]


@pytest.fixture(scope="session")
def sent() -> Sent:
    return Sent()


def settled(stack: Stack, sent: Sent, folder: Path, seconds: float = 300) -> dict[str, dict[str, Any]]:
    """All is through, and nothing is lost or doubled: the same oracle as of the live tests."""
    pipeline = stack.pipeline(folder)
    pipeline.wait_idle(seconds)
    judge(pipeline, sent.good, sent.broken)
    return pipeline.documents()


def by_text(documents: dict[str, dict[str, Any]], batch: str) -> dict[int, dict[str, Any]]:
    """A batch's documents by their number, without what is its own: each is a copy of one of the batch before."""
    own = ("id", "headline", "publisher")
    of_story = ("story_id", "duplicate_of", "originality", "seen_first")
    found = {}
    for source in steady(documents).values():
        if match := re.fullmatch(rf"Article (\d+), {batch}", source.get("headline") or ""):
            kept = {key: value for key, value in source.items() if key not in own}
            kept["pipeline"] = {key: value for key, value in source["pipeline"].items() if key not in of_story}
            found[int(match[1])] = kept
    return found


# ---------------------------------------------------------------- a first start


def test_config_is_clean(stack: Stack) -> None:
    done = stack.compose("--profile", "*", "config", "-q")
    assert (done.stdout, done.stderr) == ("", "")


def test_up_from_nothing_and_the_seeds_are_found(stack: Stack, sent: Sent, tmp_path: Path) -> None:
    started = time.monotonic()
    done = stack.compose("up", "-d", "--wait", seconds=1800)  # builds the images, as a newcomer's first one does
    # Nobody else's image of these names is asked for.
    assert not re.search(r"(?m)(cleaner|tagger|setup|indexer|seeds)\S* +(Pulling|Error)", done.stderr)
    up = time.monotonic() - started
    ids = {article_id(article) for article in sent.good}

    def there() -> bool:
        answer = stack.elasticsearch("GET", "/news-articles/_search?size=100&_source=false").json()
        return ids == {hit["_id"] for hit in answer["hits"]["hits"]}

    wait_until(there, 120, stack.logs)
    print(f"up in {up:.0f} s, seeds found {time.monotonic() - started - up:.0f} s later")
    settled(stack, sent, tmp_path)
    answer = json.loads(stack.compose("run", "--rm", "-T", "cli", "search", "NATO", "--json").stdout)
    assert answer["total"] >= 1
    assert {hit["id"] for hit in answer["hits"]} <= ids


def test_retag_finds_names_in_the_stored_articles(stack: Stack, sent: Sent, tmp_path: Path) -> None:
    def again(**settings: str) -> dict[str, Any]:
        given = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
        done = stack.compose("run", "--rm", "-T", *given, "retag", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        settled(stack, sent, tmp_path)
        return found

    done = again()
    assert (done["tagged"], done["failed"]) == (0, 0), "the tagger has just found them"
    done = again(TAGGER_REFINEMENTS="")
    assert done["tagged"] > 10
    # And back, so that the articles are what they were for the tests that follow.
    assert again()["tagged"] == done["tagged"]


def test_image_sizes(stack: Stack) -> None:
    stack.compose("--profile", "gateway", "build", "gateway", seconds=1800)  # no profile of the first `up` needs it
    for name, most in IMAGES.items():
        size = inspected("image", f"{name}:{stack.version}")["Size"]
        print(f"{name}: {size / 1e6:.0f} MB")
        assert size < most


def test_the_producers_image_has_no_model_and_no_faust(stack: Stack) -> None:
    code = "import importlib.util as u, sys; sys.exit(any(u.find_spec(n) for n in ('spacy', 'faust', 'numpy')))"
    run = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python"]
    subprocess.run([*run, f"newsflow:{stack.version}", "-c", code], check=True)


def test_one_shots_ended_well_and_the_rest_is_healthy(stack: Stack) -> None:
    for service in ONE_SHOTS:
        assert [each["State"]["ExitCode"] for each in stack.inspect(service)] == [0], service
    for service in (*SERVERS, *SERVICES):
        assert stack.is_healthy(service), service


def test_kibana_has_exactly_the_objects(stack: Stack) -> None:
    assert stack.kibana("GET", "/api/data_views/default").json() == {"data_view_id": "news-articles"}
    if is_lab():
        records = stack.kibana("GET", "/__imports").json()
        imports = [each["payload"] for each in records if each["path"].startswith("/api/saved_objects/_import")]
        assert imports == [OBJECTS]
    else:
        asked = [{"type": each["type"], "id": each["id"]} for each in OBJECTS]
        body = {"objects": asked, "excludeExportDetails": True, "includeReferencesDeep": False}
        lines = stack.kibana("POST", "/api/saved_objects/_export", body).text.splitlines()
        assert [{"type": each["type"], "id": each["id"]} for each in map(json.loads, lines)] == asked


# ---------------------------------------------------------------- rights


def test_containers_have_no_more_rights_than_they_need(stack: Stack) -> None:
    for service in (*OURS, *SERVERS):
        for found in stack.inspect(service):
            host = found["HostConfig"]
            assert host["CapDrop"] == ["ALL"], service
            assert host["SecurityOpt"] == ["no-new-privileges:true"], service
            assert host["Memory"] > 0, service
            assert not host["Privileged"], service
            assert host["RestartPolicy"]["Name"] == ("no" if service in ONE_SHOTS else "unless-stopped"), service
            assert found["Config"]["User"].split(":")[0] not in ("", "0", "root"), service
            if service in OURS:
                assert found["Config"]["User"] == "1000:1000", service
                assert host["ReadonlyRootfs"], service
                assert host["Init"], service
            bindings = [each for ports in (host["PortBindings"] or {}).values() for each in ports]
            assert all(each["HostIp"] == "127.0.0.1" for each in bindings), service
            assert bool(bindings) == (service in SERVERS), service


def test_every_volume_has_a_name(stack: Stack) -> None:
    """A nameless one, which an image may declare, outlives `down` and is out of reach of a later `down -v`."""
    for service in (*OURS, *SERVERS):
        names = [each["Name"] for found in stack.inspect(service) for each in found["Mounts"] if "Name" in each]
        assert all(name.startswith(f"{stack.project}_") for name in names), service


def test_processes_are_not_root_and_cannot_write(stack: Stack) -> None:
    for service in (*SERVICES, *SERVERS):
        assert stack.compose("exec", "-T", service, "id", "-u").stdout.strip() == "1000", service
    for service in SERVICES:
        write = "touch /opt/newsflow/x /x /tmp/ok; ls /tmp/ok && rm /tmp/ok"
        done = stack.compose("exec", "-T", service, "sh", "-c", write)
        assert done.stdout == "/tmp/ok\n", service
        assert done.stderr.count("Read-only file system") == 2, service


def test_no_secret_is_in_an_image_or_on_a_command_line(stack: Stack) -> None:
    secrets = [*stack.passwords.values(), stack.key("indexer-key"), stack.key("search-key")]
    assert all(len(each) > 10 for each in secrets)
    for name in IMAGES:
        image = f"{name}:{stack.version}"
        history = subprocess.run(
            ["docker", "history", "--no-trunc", image], capture_output=True, text=True, check=True
        ).stdout
        text = history + json.dumps(inspected("image", image)["Config"])
        assert not [each for each in secrets if each in text]
        assert not re.search(r"PASSWORD|API_KEY|TOKEN|SECRET", text)
        run = ["docker", "run", "--rm", "--user", "0", "--network", "none", "--entrypoint", "sh", image, "-c"]
        files = "find / -xdev ( -name .env -o -name api_key -o -name .git ) -print".replace("(", r"\(").replace(
            ")", r"\)"
        )
        found = subprocess.run([*run, files], capture_output=True, text=True, check=True).stdout
        assert found == "", image
    for service in (*OURS, *SERVERS):
        for found_container in stack.inspect(service):
            config = found_container["Config"]
            line = json.dumps([config["Cmd"], config["Entrypoint"], config.get("Healthcheck")])
            assert not [each for each in secrets if each in line], service
    # Health checks run every ten seconds; the start of each would show here.
    seen = set()
    end = time.monotonic() + 25
    while time.monotonic() < end:
        seen |= {line for line in command_lines() if any(secret in line for secret in secrets)}
        time.sleep(0.002)
    assert seen == set()


def write(stack: Stack, key: str, index: str = "news-articles", **options: Any) -> int:
    """The status that a bulk of one document gets for it; a bulk refused as a whole gives its own."""
    action = {"index": {"_index": index, "_id": "probe", **options}}
    lines = f"{json.dumps(action)}\n{json.dumps({'id': 'probe'})}\n"
    answer = stack.elasticsearch("POST", "/_bulk", key, content=lines)
    status: int = answer.json()["items"][0]["index"]["status"] if answer.ok else answer.status_code
    return status


@pytest.mark.parametrize("who", ["indexer", "search"])
def test_a_key_can_do_its_own_and_nothing_else(stack: Stack, who: str) -> None:
    key = stack.key(f"{who}-key")
    may_write = who == "indexer"
    for path in ("_search?size=1", "_mapping", "_alias"):
        read = stack.elasticsearch("GET", f"/news-articles/{path}", key)
        assert read.status_code == 200, read.text
    try:
        assert write(stack, key, require_alias=True) == (201 if may_write else 403)
    finally:
        stack.elasticsearch("DELETE", "/news-articles/_doc/probe?refresh=true")
    assert write(stack, key, "other") == 403
    if not may_write:
        assert write(stack, key, "news-dead-letters", require_alias=True) == 403
    seed = stack.elasticsearch("GET", "/news-articles/_search?size=1").json()["hits"]["hits"][0]["_id"]
    index = first_index("news-articles")
    refused = {
        ("GET", "/other/_search"): None,
        # The indexer may: articles past their retention go.
        **({} if may_write else {("DELETE", f"/news-articles/_doc/{seed}"): None}),
        ("DELETE", f"/{index}"): None,
        ("POST", "/_aliases"): {"actions": [{"remove": {"index": index, "alias": "news-articles"}}]},
        ("PUT", f"/{index}/_mapping"): {"properties": {"x": {"type": "keyword"}}},
        ("PUT", f"/{index}/_settings"): {"index": {"number_of_replicas": 1}},
        ("PUT", "/_index_template/x"): {"index_patterns": ["x"]},
        ("GET", "/_security/user"): None,
        ("POST", "/_security/api_key"): {"name": "more"},
        ("GET", "/"): None,
    }
    answers = {
        (method, path): stack.elasticsearch(method, path, key, body).status_code
        for (method, path), body in refused.items()
    }
    # An index that nobody made may also be said not to be there.
    assert answers.pop(("GET", "/other/_search")) in (403, 404)
    assert answers == dict.fromkeys(answers, 403)
    assert stack.elasticsearch("GET", f"/news-articles/_doc/{seed}").status_code == 200


def test_the_index_fits_and_changes_for_the_user_elastic(stack: Stack) -> None:
    """`setup` has the password of `elastic`, which the verbs of the index need."""
    said = json.loads(stack.compose("run", "--rm", "-T", "setup", "index", "check", "--json").stdout)
    assert (said["fits"], said["index"]) == (True, first_index("news-articles"))
    done = json.loads(stack.compose("run", "--rm", "-T", "setup", "index", "migrate", "--force", "--json").stdout)
    assert (done["state"], done["standby"]) == ("switched", first_index("news-articles"))
    done = json.loads(stack.compose("run", "--rm", "-T", "setup", "index", "back", "--json").stdout)
    assert done["main"] == first_index("news-articles")
    stack.compose("run", "--rm", "-T", "setup", "index", "finish", "--yes")


def test_nobody_gets_in_without_a_key(stack: Stack) -> None:
    address = f"http://localhost:{stack.ports['elasticsearch']}/news-articles/_search"
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", address], capture_output=True, check=True
    )
    assert done.stdout == b"401"


def test_default_passwords_are_refused_beyond_loopback(stack: Stack) -> None:
    done = stack.compose("run", "--rm", "-T", "-e", "BIND_ADDRESS=0.0.0.0", "setup", status=1)
    said = done.stdout + done.stderr
    assert "BIND_ADDRESS" in said
    assert "ELASTIC_PASSWORD" in said
    assert not [each for each in stack.passwords.values() if each in said]


# ---------------------------------------------------------------- producers on the host


def test_kcat_on_the_host_is_indexed(stack: Stack, sent: Sent, tmp_path: Path) -> None:
    if shutil.which("kcat") is None:
        sys.stderr.write("\nNOT TESTED: a kcat producer; there is no kcat on this machine\n")
        pytest.skip("no kcat on this machine")
    article = RawArticle(
        publisher="kcat.example", id="1", headline="From kcat", body="A bridge reopened in Lisbon."
    )
    line = article.model_dump_json(exclude_defaults=True) + "\n"
    subprocess.run(
        ["kcat", "-P", "-b", stack.kafka, "-t", "articles-raw"], input=line.encode(), check=True, timeout=60
    )
    sent.good.append(article)
    settled(stack, sent, tmp_path)


def test_json_lines_through_the_cli(stack: Stack, sent: Sent, tmp_path: Path) -> None:
    article = RawArticle(publisher="cli.example", id="1", headline="From the cli", body="A ferry sailed to Porto.")
    line = article.model_dump_json(exclude_defaults=True) + "\n"
    done = stack.compose("run", "--rm", "-T", "cli", "produce", "-", "--json", stdin=line.encode())
    answer = json.loads(done.stdout)
    assert (answer["confirmed"], answer["failed"]) == (1, [])
    # `produce` writes its own name where a record has none.
    sent.good.append(article)
    settled(stack, sent, tmp_path)


def test_the_gateway_and_the_feeds_of_their_profiles(
    stack: Stack, sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "k3y" * 10
    (tmp_path / "keys.txt").write_text(f"desk {key} gateway.example\n")
    (tmp_path / "feeds.txt").write_text("http://127.0.0.1:9/feed  loopback.example\n")
    port = choose_ports(["gateway"], {})["gateway"]
    for name, value in (
        ("GATEWAY_KEYS_FILE", str(tmp_path / "keys.txt")),
        ("GATEWAY_PORT", str(port)),
        ("FEEDS_FILE", str(tmp_path / "feeds.txt")),
    ):
        monkeypatch.setitem(stack.settings, name, value)
    profiles = ("--profile", "gateway", "--profile", "feeds")
    try:
        stack.compose(*profiles, "up", "-d", "--wait", "--wait-timeout", "120", "gateway", "feeds")
        article = _posted(port, key)
        # A feed in the container's own network is an address like any other that is forbidden.
        wait_until(lambda: "not of the public internet" in _feeds_said(stack), 120, stack.logs, every=2)
    finally:
        stack.compose(*profiles, "rm", "-sf", "gateway", "feeds", status=None)
    sent.good.append(article)
    settled(stack, sent, tmp_path)


def _posted(port: int, key: str) -> RawArticle:
    """An article that the gateway has taken, and not without the key."""
    url = f"http://127.0.0.1:{port}/v1/articles"
    article = RawArticle(publisher="gateway.example", id="1", body="A tram line opened in Braga on Monday.")
    body = article.model_dump_json(exclude_defaults=True).encode()
    content = {"content-type": "application/json"}
    assert requests.post(url, data=body, headers=content, timeout=30).status_code == 401
    answer = requests.post(url, data=body, headers=content | {"authorization": f"Bearer {key}"}, timeout=30)
    assert (answer.status_code, answer.json()) == (202, {"accepted": [{"id": article_id(article)}]})
    return article


def _feeds_said(stack: Stack) -> str:
    """Why the feeds are not well, as `newsflow sources` has it."""
    told = stack.compose("run", "--rm", "-T", "cli", "sources", "--json", status=None).stdout
    return " ".join(str(line["reason"]) for line in map(json.loads, told.splitlines()) if line["source"] == "rss")


# ---------------------------------------------------------------- disturbances


@pytest.fixture(scope="session")
def calm(stack: Stack, sent: Sent, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What becomes of a batch when nothing happens."""
    folder = tmp_path_factory.mktemp("calm")
    stack.pipeline(folder).send(sent.batch("calm"))
    found = by_text(settled(stack, sent, folder), "calm")
    assert len(found) == ARTICLES
    return found


def test_three_taggers_share_the_partitions(
    stack: Stack, sent: Sent, calm: dict[int, dict[str, Any]], tmp_path: Path
) -> None:
    stack.up("--no-recreate", "--scale", "tagger=3")
    assert len(stack.containers("tagger")) == 3
    group = "/opt/kafka/bin/kafka-consumer-groups.sh --bootstrap-server localhost:9092 --describe --group tagger"

    def shares() -> list[int]:
        table = stack.compose("exec", "-T", "kafka", "bash", "-c", group, status=None).stdout
        rows = [line.split() for line in table.splitlines() if line.startswith("tagger ")]
        return sorted(Counter(row[7] for row in rows if row[7] != "-").values())  # HOST

    wait_until(lambda: shares() == [2, 2, 2], 90, lambda: f"{shares()}\n{stack.logs()}", every=2)
    stack.pipeline(tmp_path).send(sent.batch("scaled"))
    assert by_text(settled(stack, sent, tmp_path), "scaled") == calm
    stack.up("--no-recreate", "--scale", "tagger=1")
    assert len(stack.containers("tagger")) == 1


def test_restart_of_kafka(stack: Stack, sent: Sent, calm: dict[int, dict[str, Any]], tmp_path: Path) -> None:
    stack.pipeline(tmp_path).send(sent.batch("restart"))
    stack.compose("restart", "kafka")
    stack.wait_healthy("kafka")
    assert by_text(settled(stack, sent, tmp_path), "restart") == calm
    stack.wait_healthy(*SERVICES)


@pytest.mark.parametrize("service", [*SERVICES, *SERVERS])
def test_kill_of_each_container(
    stack: Stack, sent: Sent, calm: dict[int, dict[str, Any]], tmp_path: Path, service: str
) -> None:
    """Not `docker kill`: the engine takes that for the operator's will, and no restart policy acts."""
    batch = f"kill-{service}"
    before = stack.inspect(service)[0]
    pipeline = stack.pipeline(tmp_path)
    indexed = len(pipeline.documents())
    pipeline.send(sent.batch(batch))
    if service in SERVICES:  # in the midst of its work
        wait_until(lambda: len(pipeline.documents()) > indexed, 120, stack.logs)
    try:
        os.kill(before["State"]["Pid"], 9)
    except (PermissionError, ProcessLookupError) as error:
        sys.stderr.write(f"\nNOT TESTED: kill -9 in containers; their processes are out of reach: {error}\n")
        settled(stack, sent, tmp_path)
        pytest.skip("the containers' processes are out of reach")
    wait_until(lambda: stack.inspect(service)[0]["RestartCount"] > before["RestartCount"], 60, stack.logs)
    stack.wait_healthy(service)
    assert by_text(settled(stack, sent, tmp_path), batch) == calm


def test_down_and_up(stack: Stack, sent: Sent, calm: dict[int, dict[str, Any]], tmp_path: Path) -> None:
    keys = [stack.key("indexer-key"), stack.key("search-key")]
    stack.pipeline(tmp_path).send(sent.batch("down"))
    stack.compose("down")
    assert [each for each in stack.left() if not each.startswith("volume")] == []
    stack.up()
    assert by_text(settled(stack, sent, tmp_path), "down") == calm
    assert [stack.key("indexer-key"), stack.key("search-key")] == keys


def test_down_with_volumes_leaves_nothing(stack: Stack) -> None:
    assert stack.left() != []
    stack.compose("down", "-v")
    assert stack.left() == []
