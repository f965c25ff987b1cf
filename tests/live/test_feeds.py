"""Feeds, of which six are hostile or odd, through the real producer, Kafka, services and Elasticsearch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.topics import ARTICLES_RAW
from services.producer.store import read_states
from services.runtime.reading import read_to_end
from tests.live.feeds import ENTITY_BOMB, Post, Web, atom, bomb, in_turn, page, plain, redirect, rss, silent
from tests.live.harness import ROOT, Pipeline, wait_until

TOWNS = ("Aveiro", "Braga", "Coimbra", "Évora", "Faro", "Guarda", "Leiria", "Porto", "Setúbal", "Viseu")

HOSTILE = {15: "silent", 16: "redirect", 17: "bomb", 18: "entities"}
"""What is wrong with the feeds of these numbers."""

FORBIDDEN = (
    "http://169.254.169.254/latest",
    "http://10.0.0.1/",
    "http://[::ffff:10.0.0.1]/",
    "http://192.168.0.1/",
)


def posts(feed: int, count: int = 3, *, in_feed: bool = True) -> list[Post]:
    """Texts that share no paragraph, each long enough to be an article."""
    made = []
    for number in range(count):
        town, other = TOWNS[feed % 10], TOWNS[(feed + number + 1) % 10]
        text = tuple(
            f"Report {feed}.{number}.{paragraph}: the council of {town} decided on case {feed * 97 + number * 13} "
            f"that line {paragraph + 3} to {other} will run every {feed + number + paragraph + 5} minutes, after "
            f"residents of quarter {feed * 7 + paragraph} had asked for it in letter {number * 31 + paragraph * 5}."
            for paragraph in range(4)
        )
        made.append(Post(f"f{feed}-{number}", f"{town} and {other}: decision {feed}.{number}", text, in_feed))
    return made


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    web.start()
    yield web
    web.stop()


def produce(pipeline: Pipeline, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tests.live.loopback_main", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=120,
        env={
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka,
            "NEWSFLOW_PREFIX": pipeline.prefix,
            "LOOPBACK_TRIED": str(pipeline.folder / "tried"),
            **environment,
        },
    )


POLITE = ("--delay-seconds", "0", "--timeout-seconds", "3", "--allow-network", "127.0.0.0/8")


def sources(pipeline: Pipeline, web: Web) -> dict[str, dict[str, Any]]:
    """What `newsflow sources --json` says of each feed of this server."""
    done = produce(pipeline, "sources", "--json")
    lines = {line["part"]: line for line in map(json.loads, done.stdout.splitlines())}
    return {part: line for part, line in lines.items() if f":{web.port}/" in part}


class Feeds:
    """Feeds on a server, each of its own publisher, and the posts that the index has in the end."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.suffix = uuid.uuid4().hex
        self.hosts: dict[int, str] = {}
        self.expected: dict[str, Post] = {}

    @property
    def lines(self) -> list[str]:
        """The file that `--feeds` names."""
        return [f"http://{host}/feed {self.publisher(number)}" for number, host in self.hosts.items()]

    def publisher(self, number: int) -> str:
        return f"paper{number}-{self.suffix}.example"

    def add(self, number: int) -> str:
        self.hosts[number] = self.web.host(number)
        return self.hosts[number]

    def answer(self, number: int, answer: Any) -> None:
        self.web.answers[f"127.0.7.{number}", "/feed"] = answer

    def expect(self, number: int, found: list[Post]) -> None:
        for post in found:
            id_ = article_id(RawArticle(publisher=self.publisher(number), id=post.id, body="any"))
            self.expected[id_] = post
            if not post.in_feed:
                self.web.answers[f"127.0.7.{number}", f"/{post.id}"] = plain(page(post), "text/html; charset=utf-8")

    def asked(self, number: int) -> int:
        """Requests for the feed until now."""
        return self.web.asked[f"127.0.7.{number}", "/feed"]


def prepare_feeds(web: Web, plain_feeds: int) -> Feeds:
    """So many plain feeds and six odd ones.

    Four are hostile, one corrects a post, and the document of one differs at each request.
    """
    feeds = Feeds(web)
    for number in range(1, plain_feeds + 1):
        host = feeds.add(number)
        found = posts(number, in_feed=number % 3 != 0)
        feeds.expect(number, found)
        feeds.answer(number, plain((atom if number % 2 else rss)(host, found)))
    hostile = {
        "silent": silent(web),
        "redirect": redirect(*FORBIDDEN),
        "bomb": bomb(),
        "entities": plain(ENTITY_BOMB),
    }
    for number, kind in HOSTILE.items():
        feeds.add(number)
        feeds.answer(number, hostile[kind])
    host = feeds.add(19)
    before = posts(19)
    corrected = Post(before[0].id, before[0].headline, ("CORRECTED: " + before[0].text[0], *before[0].text[1:]))
    after = [corrected, *before[1:]]
    feeds.expect(19, after)
    feeds.answer(19, in_turn(plain(rss(host, before)), plain(rss(host, after))))
    host = feeds.add(20)
    repeated = posts(20)
    feeds.expect(20, repeated)
    answers = [
        plain(rss(host, repeated, f"Fri, 27 Nov 2026 06:{minute:02}:00 GMT"), etag="no") for minute in range(60)
    ]
    feeds.answer(20, in_turn(*answers))
    return feeds


@pytest.mark.timeout(400)
@pytest.mark.parametrize("plain_feeds", [3, pytest.param(14, marks=pytest.mark.slow)])
def test_followed_feeds_are_indexed_once_and_hostile_ones_named(
    running: Pipeline, web: Web, tmp_path: Path, plain_feeds: int
) -> None:
    feeds = prepare_feeds(web, plain_feeds)
    publishers = [feeds.publisher(number) for number in feeds.hosts]
    listed = tmp_path / "feeds.txt"
    listed.write_text("# feeds\n" + "\n".join(feeds.lines) + "\n")
    tried = tmp_path / "tried"
    follow = f"tests.live.loopback_main produce rss --feeds {listed} --follow --every 0.5 {' '.join(POLITE)}"
    environment = {"LOOPBACK_TRIED": str(tried), "PRODUCER_LIVES_SECONDS": "2"}
    running.start("rss", module=follow, wait=False, **environment)
    wait_until(
        lambda: (
            all(feeds.asked(number) >= len(FORBIDDEN) for number in (1, 16, 17, 18, 20))
            and feeds.asked(15) >= 2
            and len(running.documents(publishers)) >= len(feeds.expected)
        ),
        200,
        lambda: f"{web.asked}\n{running.tails()}",
    )
    # A kill in between changes nothing: the next run goes on from the checkpoints.
    running.kill("rss")
    asked = feeds.asked(20)
    running.start("rss", module=follow, wait=False, **environment)
    wait_until(lambda: feeds.asked(20) >= asked + 3, 100, running.tails)
    wait_until(lambda: len(sources(running, web)) == len(feeds.hosts), 60, running.tails, every=1)
    said = sources(running, web)
    assert running.terminate("rss") == 1, "some feeds cannot be read"
    running.wait_idle(120)

    documents = running.documents(publishers)
    assert documents.keys() == feeds.expected.keys()
    for id_, post in feeds.expected.items():
        assert documents[id_]["body"].split("\n\n") == list(post.text), post.id
        assert documents[id_]["headline"] == post.headline
    # Once: the correction is the only record more than there are articles.
    records = read_to_end(running.settings, running.name(ARTICLES_RAW.name))
    sent = [record for record in records if feeds.suffix.encode() in record.value]
    assert len(sent) == len(feeds.expected) + 1
    assert [letter for letter in running.dead() if feeds.suffix.encode() in (letter.value or b"")] == []
    bad = {part.split("/")[2].split(":")[0]: line["reason"] for part, line in said.items() if not line["ok"]}
    assert sorted(bad) == [f"127.0.7.{number}" for number in HOSTILE]
    assert "no whole answer within 3 s" in bad["127.0.7.15"]
    assert "not of the public internet" in bad["127.0.7.16"]
    assert "times its size" in bad["127.0.7.17"] or "more than the" in bad["127.0.7.17"]
    assert "document type" in bad["127.0.7.18"]
    assert not tried.exists(), f"the guard let through: {tried.read_text()}"


def test_allowed_network_is_reached_and_no_other(module_pipeline: Pipeline, web: Web) -> None:
    """With every network allowed, the tests' own connector writes down what it keeps from leaving the machine."""
    host = web.host(30)
    web.answers["127.0.7.30", "/feed"] = redirect(FORBIDDEN[0])
    tried = module_pipeline.folder / "tried"
    done = produce(module_pipeline, "produce", "rss", f"http://{host}/feed", *POLITE, "--json")
    assert done.returncode == 1
    assert "not of the public internet" in json.loads(done.stdout)["troubles"][0]["error"]
    assert not tried.exists()
    done = produce(
        module_pipeline, "produce", "rss", f"http://{host}/feed", *POLITE, "--allow-network", "0.0.0.0/0"
    )
    assert done.returncode == 1
    assert tried.read_text() == "169.254.169.254\n"


def test_sitemap_and_url_list_are_indexed(running: Pipeline, web: Web, tmp_path: Path) -> None:
    host = web.host(31)
    suffix = uuid.uuid4().hex
    publishers = [f"map-{suffix}.example", f"list-{suffix}.example"]
    found = posts(31, 4, in_feed=False)
    address = "127.0.7.31"
    for post in found:
        web.answers[address, f"/{post.id}"] = plain(page(post), "text/html")
    space = "http://www.sitemaps.org/schemas/sitemap/0.9"
    news = "http://www.google.com/schemas/sitemap-news/0.9"
    web.answers[address, "/sitemap.xml"] = plain(
        f'<?xml version="1.0"?><sitemapindex xmlns="{space}"><sitemap><loc>http://{host}/news.xml</loc></sitemap>'
        f"<sitemap><loc>http://{host}/gone.xml</loc></sitemap></sitemapindex>"
    )
    urls = "".join(
        f"<url><loc>http://{host}/{post.id}</loc><news:news><news:publication><news:name>P</news:name>"
        f"<news:language>en</news:language></news:publication><news:publication_date>2026-11-2{number}</news:publication_date>"
        f"<news:title>{post.headline}</news:title></news:news></url>"
        for number, post in enumerate(found[:3], start=4)
    )
    web.answers[address, "/news.xml"] = plain(f'<urlset xmlns="{space}" xmlns:news="{news}">{urls}</urlset>')
    arguments = (
        "produce",
        "sitemap",
        f"http://{host}/sitemap.xml",
        "--publisher",
        publishers[0],
        *POLITE,
        "--json",
    )
    done = produce(running, *arguments, "--since", "2026-11-25")
    answer = json.loads(done.stdout)
    assert (answer["confirmed"], answer["skipped"]) == (2, {"out_of_range": 1})
    assert [trouble["part"] for trouble in answer["troubles"]] == [f"http://{host}/gone.xml"]
    assert done.returncode == 1
    web.answers[address, "/gone.xml"] = plain(f'<urlset xmlns="{space}"></urlset>')
    again = json.loads(produce(running, *arguments).stdout)
    assert (again["confirmed"], again["skipped"]) == (1, {"seen": 2})

    web.answers[address, "/robots.txt"] = plain("User-agent: *\nDisallow: /private\n", "text/plain")
    listed = tmp_path / "urls.txt"
    lines = [f"http://{host}/{found[3].id} {publishers[1]}", "# a comment", "", f"http://{host}/missing"]
    listed.write_text("\n".join([*lines, f"http://{host}/private/1"]))
    done = produce(running, "produce", "urls", str(listed), *POLITE, "--json")
    answer = json.loads(done.stdout)
    assert (answer["confirmed"], answer["refused"]) == (1, {"status": 1, "robots": 1})
    assert f":4 http://{host}/missing" in answer["failed"][0]["origin"]
    again = json.loads(produce(running, "produce", "urls", str(listed), *POLITE, "--json").stdout)
    assert (again["confirmed"], again["resumed"]) == (0, True)

    wait_until(lambda: len(running.documents(publishers)) >= 4, 60, running.tails)
    documents = list(running.documents(publishers).values())
    assert sorted(source["publisher"]["name"] for source in documents) == sorted(
        [publishers[1], *publishers[:1] * 3]
    )
    bodies = {source["publisher"]["name"]: source["body"] for source in documents}
    assert bodies[publishers[1]].split("\n\n") == list(found[3].text)
    places = (f":{web.port}/", str(tmp_path))
    states = [state for state in read_states(running.settings) if any(place in state.part for place in places)]
    assert {state.source for state in states} == {"sitemap", "urls"}
