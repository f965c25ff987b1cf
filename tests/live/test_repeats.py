"""Repeats across the stream as a user sees them: the whole pipeline, and the commands."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.article import RawArticle
from schemas.identity import article_id
from tests.live.harness import Pipeline, judge, steady, wait_until
from tests.live.test_boilerplate import PROMOTION, article
from tests.live.test_pipeline import newsflow

WIRE = [
    "The council of Aldport voted on Monday to close the old Lindgren bridge to lorries until the crack in its "
    "western pier is mended, which engineers say will take four months.",
    "Hauliers in Brackwater and Corrin will have to go round by the coast road, an hour more on each journey, and "
    "asked the government on Tuesday to pay for the fuel.",
    "Mayor Dilys Hansen said that nobody could have known of the crack before divers looked at the pier in April, "
    "and that the bridge was safe for cars and for people on foot.",
]

CABLE = [
    "Two hundred growers of the Ostrey valley marched to the gates of the sugar mill on Thursday and asked for the "
    "price that its owners had promised them in the spring, before the rains came late.",
    "The mill, which crushes a third of the nation's beet, said that it would open its books to an accountant whom "
    "both sides trust, and that nobody would lose a contract for having marched.",
    "Rosamund Teal, who grows beet on forty hectares near Pellow, said that half her neighbours would sow barley "
    "next year whatever the accountant found, as they could no longer pay for the diesel.",
]
"""What an agency sent, of which other papers bring copies; each test has one of its own."""


def raw(number: int, texts: list[str], publisher: str) -> RawArticle:
    return RawArticle(
        publisher=publisher,
        id=f"a{number}",
        headline=f"Headline {number}",
        body="\n\n".join(texts),
        published=datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=number),
        language="en",
    )


def lines_of(number: int) -> list[str]:
    """Three paragraphs that nothing else has, and the publisher's own line."""
    return [paragraph.text for paragraph in article(number, PROMOTION).kept]


def test_stories_and_lines_from_producer_to_search(running: Pipeline) -> None:
    pipeline = running
    copies = [
        raw(0, WIRE, "agency.example"),
        raw(1, ["Our own reporter was there.", *WIRE[:2]], "harbour-post.example"),
        raw(2, [WIRE[2], WIRE[0], WIRE[1]], "inland-echo.example"),
    ]
    others = [raw(number, lines_of(number), "harbour-post.example") for number in range(10, 14)]
    places = pipeline.send([*copies[::-1], *others])
    pipeline.wait_idle()
    judge(pipeline, [*copies, *others], places=places)
    first, second, third = map(article_id, copies)
    documents = pipeline.get([article_id(article) for article in (*copies, *others)])
    findings = {name: document["pipeline"] for name, document in documents.items()}
    assert {finding["dedup"] for finding in findings.values()} == {"linked"}
    assert {findings[name]["story_id"] for name in (first, second, third)} == {first}
    assert [findings[name].get("duplicate_of") for name in (first, second, third)] == [None, first, first]
    assert findings[first]["originality"] == 1.0
    assert findings[second]["originality"] < 0.3
    assert [copy["id"] for copy in findings[third]["seen_first"]] == [first] * 3
    for other in others:
        assert PROMOTION not in documents[article_id(other)]["body"]

    hits = json.loads(newsflow(pipeline, "search", "Lindgren bridge", "--json").stdout)
    assert hits["total"] == 3
    assert {hit["story_id"] for hit in hits["hits"]} == {first}
    (hit,) = json.loads(newsflow(pipeline, "search", "Lindgren bridge", "--stories", "--json").stdout)["hits"]
    assert hit["copies"] == 3
    story = json.loads(newsflow(pipeline, "story", second, "--json").stdout)
    assert (story["story_id"], story["total"]) == (first, 3)
    assert [copy["id"] for copy in story["copies"]] == [first, second, third]
    assert story["copies"][1]["only_here"] == ["Our own reporter was there."]
    assert story["copies"][1]["missing_here"] == [WIRE[2]]
    assert story["copies"][2]["only_here"] == []
    assert b"Headline 2" in newsflow(pipeline, "story", first).stdout
    assert b"There is no article" in newsflow(pipeline, "story", "f" * 32, status=1).stderr

    def lines() -> list[dict[str, Any]]:
        output = newsflow(pipeline, "boilerplate", "list", "harbour-post.example", "--json").stdout
        return [json.loads(line) for line in output.splitlines()]

    (line,) = lines()
    assert (line["text"], line["ruling"]) == (PROMOTION, "learned")
    assert set(line["articles"]) <= {article_id(other) for other in others}
    newsflow(pipeline, "boilerplate", "allow", "harbour-post.example", PROMOTION)
    (line,) = lines()
    assert line["ruling"] == "allowed"
    numbers = iter(range(20, 90))

    def stays() -> bool:
        probe = raw(number := next(numbers), lines_of(number), "harbour-post.example")
        pipeline.send([probe])
        name = article_id(probe)
        return PROMOTION in pipeline.wait_indexed([name])[name]["body"]

    wait_until(stays, 60, lambda: "an allowed line is dropped")
    newsflow(pipeline, "boilerplate", "withdraw", "harbour-post.example", line["line"])
    wait_until(lambda: not stays(), 60, lambda: "a learned line stays")
    refused = newsflow(pipeline, "boilerplate", "deny", "harbour-post.example", "“Too short”", status=2)
    assert b"a quotation" in refused.stderr.replace(b"\n", b" ")


def test_three_deliveries_leave_the_index_as_one_does(running: Pipeline) -> None:
    """No article loses a paragraph as a repeat of itself, and none changes its story."""
    articles = [raw(number, lines_of(number), "delivered.example") for number in range(200, 212)]
    articles += [
        raw(240 + number, [*CABLE[number % 2 :], f"Copy number {number}, from us."], f"delivered-{number}.example")
        for number in range(8)
    ]
    places = running.send(articles)
    running.wait_idle()
    judge(running, articles, places=places)
    once = steady(running.documents({article.publisher for article in articles}))
    again = [*articles, *articles]
    random.Random(15).shuffle(again)
    places += running.send(again)
    running.wait_idle()
    judge(running, articles, clean_run=once, places=places)
    bodies = [source["body"] for source in once.values()]
    assert sum(CABLE[1] in body for body in bodies) == 8
    assert not any(PROMOTION in body for body in bodies)
