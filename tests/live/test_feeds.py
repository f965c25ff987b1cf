"""Twenty feeds, of which six are hostile or odd, through the real producer, Kafka, services and Elasticsearch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
from tests.live.harness import ROOT, SERVICES, Pipeline, wait_until

TOWNS = ("Aveiro", "Braga", "Coimbra", "Évora", "Faro", "Guarda", "Leiria", "Porto", "Setúbal", "Viseu")

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


def raw_values(pipeline: Pipeline) -> list[bytes]:
    """Everything on `articles-raw`."""
    return [record.value for record in read_to_end(pipeline.settings, pipeline.name(ARTICLES_RAW.name))]


def sources(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """What `newsflow sources --json` says of each feed."""
    done = produce(pipeline, "sources", "--json")
    return {line["part"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.timeout(400)
def test_twenty_feeds_of_which_some_are_hostile(pipeline: Pipeline, web: Web, tmp_path: Path) -> None:
    expected: dict[str, Post] = {}
    lines: list[str] = []
    hosts: dict[int, str] = {}

    def add(number: int, name: str = "/feed") -> str:
        hosts[number] = web.host(number)
        lines.append(f"http://{hosts[number]}{name} paper{number}.example")
        return hosts[number]

    def expect(number: int, found: list[Post]) -> None:
        for post in found:
            id_ = article_id(RawArticle(publisher=f"paper{number}.example", id=post.id, body="any"))
            expected[id_] = post
            if not post.in_feed:
                web.answers[hosts[number].split(":")[0], f"/{post.id}"] = plain(
                    page(post), "text/html; charset=utf-8"
                )

    def serve(number: int, answer: Any) -> None:
        web.answers[f"127.0.7.{number}", "/feed"] = answer

    for number in range(1, 15):
        host = add(number)
        found = posts(number, in_feed=number % 3 != 0)
        expect(number, found)
        serve(number, plain((atom if number % 2 else rss)(host, found)))
    add(15)
    serve(15, silent(web))
    add(16)
    serve(16, redirect(*FORBIDDEN))
    add(17)
    serve(17, bomb())
    add(18)
    serve(18, plain(ENTITY_BOMB))
    host = add(19)
    before = posts(19)
    corrected = Post(before[0].id, before[0].headline, ("CORRECTED: " + before[0].text[0], *before[0].text[1:]))
    after = [corrected, *before[1:]]
    expect(19, after)
    serve(19, in_turn(plain(rss(host, before)), plain(rss(host, after))))
    host = add(20)
    repeated = posts(20)
    expect(20, repeated)
    answers = [
        plain(rss(host, repeated, f"Fri, 27 Nov 2026 06:{minute:02}:00 GMT"), etag="no") for minute in range(60)
    ]
    serve(20, in_turn(*answers))

    feeds = tmp_path / "feeds.txt"
    feeds.write_text("# twenty feeds\n" + "\n".join(lines) + "\n")
    pipeline.start(*SERVICES)
    tried = pipeline.folder / "tried"
    follow = f"tests.live.loopback_main produce rss --feeds {feeds} --follow --every 0.5 {' '.join(POLITE)}"
    pipeline.start("rss", module=follow, wait=False, LOOPBACK_TRIED=str(tried), PRODUCER_LIVES_SECONDS="5")
    wait_until(
        lambda: (
            all(web.asked[f"127.0.7.{number}", "/feed"] >= 4 for number in (1, 16, 17, 18, 20))
            and web.asked["127.0.7.15", "/feed"] >= 2
            and len(pipeline.documents()) >= len(expected)
        ),
        200,
        lambda: f"{web.asked}\n{pipeline.tails()}",
    )
    # A kill in between changes nothing: it goes on from its checkpoints.
    pipeline.kill("rss")
    asked = web.asked["127.0.7.20", "/feed"]
    pipeline.start("rss", module=follow, wait=False, LOOPBACK_TRIED=str(tried), PRODUCER_LIVES_SECONDS="5")
    wait_until(lambda: web.asked["127.0.7.20", "/feed"] >= asked + 3, 100, pipeline.tails)
    wait_until(lambda: len(sources(pipeline)) == 20, 60, pipeline.tails)
    said = sources(pipeline)
    assert pipeline.terminate("rss") == 1, "some feeds cannot be read"
    pipeline.wait_idle(120)

    documents = pipeline.documents()
    assert documents.keys() == expected.keys()
    for id_, post in expected.items():
        assert documents[id_]["body"].split("\n\n") == list(post.text), post.id
        assert documents[id_]["headline"] == post.headline
    # Once: the correction is the only record more than there are articles.
    assert len(raw_values(pipeline)) == len(expected) + 1
    assert pipeline.dead() == []
    bad = {part.split("/")[2].split(":")[0]: each["reason"] for part, each in said.items() if not each["ok"]}
    assert sorted(bad) == [f"127.0.7.{number}" for number in (15, 16, 17, 18)]
    assert "no whole answer within 3 s" in bad["127.0.7.15"]
    assert "not of the public internet" in bad["127.0.7.16"]
    assert "times its size" in bad["127.0.7.17"] or "more than the" in bad["127.0.7.17"]
    assert "document type" in bad["127.0.7.18"]
    assert not tried.exists(), f"the guard let through: {tried.read_text()}"


def test_the_check_of_the_guard_can_fail(pipeline: Pipeline, web: Web) -> None:
    """With everything allowed, the connector (and nothing else) keeps the packet here, and says so."""
    host = web.host(30)
    web.answers["127.0.7.30", "/feed"] = redirect(FORBIDDEN[0])
    tried = pipeline.folder / "tried"
    done = produce(pipeline, "produce", "rss", f"http://{host}/feed", *POLITE, "--json")
    assert done.returncode == 1
    assert "not of the public internet" in json.loads(done.stdout)["troubles"][0]["error"]
    assert not tried.exists()
    done = produce(pipeline, "produce", "rss", f"http://{host}/feed", *POLITE, "--allow-network", "0.0.0.0/0")
    assert done.returncode == 1
    assert tried.read_text() == "169.254.169.254\n"


def test_sitemaps_and_a_list_of_urls(pipeline: Pipeline, web: Web, tmp_path: Path) -> None:
    host = web.host(31)
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
        "map.example",
        *POLITE,
        "--json",
    )
    done = produce(pipeline, *arguments, "--since", "2026-11-25")
    answer = json.loads(done.stdout)
    assert (answer["confirmed"], answer["skipped"]) == (2, {"out_of_range": 1})
    assert [each["part"] for each in answer["troubles"]] == [f"http://{host}/gone.xml"]
    assert done.returncode == 1
    web.answers[address, "/gone.xml"] = plain(f'<urlset xmlns="{space}"></urlset>')
    again = json.loads(produce(pipeline, *arguments).stdout)
    assert (again["confirmed"], again["skipped"]) == (1, {"seen": 2})

    web.answers[address, "/robots.txt"] = plain("User-agent: *\nDisallow: /private\n", "text/plain")
    listed = tmp_path / "urls.txt"
    lines = [f"http://{host}/{found[3].id} list.example", "# a comment", "", f"http://{host}/missing"]
    listed.write_text("\n".join([*lines, f"http://{host}/private/1"]))
    done = produce(pipeline, "produce", "urls", str(listed), *POLITE, "--json")
    answer = json.loads(done.stdout)
    assert (answer["confirmed"], answer["refused"]) == (1, {"status": 1, "robots": 1})
    assert f":4 http://{host}/missing" in answer["failed"][0]["origin"]
    again = json.loads(produce(pipeline, "produce", "urls", str(listed), *POLITE, "--json").stdout)
    assert (again["confirmed"], again["resumed"]) == (0, True)

    pipeline.start(*SERVICES)
    pipeline.wait_idle(120)
    bodies = {source["publisher"]["name"]: source["body"] for source in pipeline.documents().values()}
    assert len(pipeline.documents()) == 4
    assert bodies["list.example"].split("\n\n") == list(found[3].text)
    assert {state.source for state in read_states(pipeline.settings)} == {"sitemap", "urls"}
