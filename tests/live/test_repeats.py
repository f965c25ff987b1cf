"""Repeats across the stream as a user sees them: the whole pipeline, and the commands."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.article import RawArticle
from schemas.identity import article_id
from tests.live.harness import SERVICES, Pipeline, judge, steady, wait_until
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


def test_stories_and_lines_from_producer_to_search(pipeline: Pipeline) -> None:
    copies = [
        raw(0, WIRE, "agency.example"),
        raw(1, ["Our own reporter was there.", *WIRE[:2]], "harbour-post.example"),
        raw(2, [WIRE[2], WIRE[0], WIRE[1]], "inland-echo.example"),
    ]
    others = [raw(number, lines_of(number), "harbour-post.example") for number in range(10, 14)]
    pipeline.start(*SERVICES)
    pipeline.send([*copies[::-1], *others])
    pipeline.wait_idle()
    judge(pipeline, [*copies, *others])
    first, second, third = map(article_id, copies)
    documents = pipeline.documents()
    told = {name: document["pipeline"] for name, document in documents.items()}
    assert {each["dedup"] for each in told.values()} == {"linked"}
    assert {told[name]["story_id"] for name in (first, second, third)} == {first}
    assert [told[name].get("duplicate_of") for name in (first, second, third)] == [None, first, first]
    assert told[first]["originality"] == 1.0
    assert told[second]["originality"] < 0.3
    assert [each["id"] for each in told[third]["seen_first"]] == [first] * 3
    for each in others:
        assert PROMOTION not in documents[article_id(each)]["body"]

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
        said = newsflow(pipeline, "boilerplate", "list", "harbour-post.example", "--json").stdout
        return [json.loads(each) for each in said.splitlines()]

    (line,) = lines()
    assert (line["text"], line["ruling"]) == (PROMOTION, "learned")
    assert set(line["articles"]) <= {article_id(each) for each in others}
    newsflow(pipeline, "boilerplate", "allow", "harbour-post.example", PROMOTION)
    (line,) = lines()
    assert line["ruling"] == "allowed"
    numbers = iter(range(20, 90))

    def stays() -> bool:
        each = raw(number := next(numbers), lines_of(number), "harbour-post.example")
        pipeline.send([each])
        pipeline.wait_idle()
        return PROMOTION in pipeline.documents()[article_id(each)]["body"]

    wait_until(stays, 60, lambda: "an allowed line is dropped")
    newsflow(pipeline, "boilerplate", "withdraw", "harbour-post.example", line["line"])
    wait_until(lambda: not stays(), 60, lambda: "a learned line stays")
    refused = newsflow(pipeline, "boilerplate", "deny", "harbour-post.example", "“Too short”", status=2)
    assert b"a quotation" in refused.stderr.replace(b"\n", b" ")


def test_t15_everything_delivered_three_times_leaves_the_index_as_it_was(pipeline: Pipeline) -> None:
    """No article loses a paragraph as a repeat of itself, and none changes its story."""
    articles = [raw(number, lines_of(number), "harbour-post.example") for number in range(12)]
    articles += [
        raw(40 + number, [*WIRE[number % 2 :], f"Copy number {number}, from us."], f"paper-{number}.example")
        for number in range(8)
    ]
    pipeline.start(*SERVICES)
    pipeline.send(articles)
    pipeline.wait_idle()
    judge(pipeline, articles)
    once = steady(pipeline.documents())
    again = [*articles, *articles]
    random.Random(15).shuffle(again)
    pipeline.send(again)
    pipeline.wait_idle()
    judge(pipeline, articles, clean_run=once)
    bodies = [source["body"] for source in once.values()]
    assert sum(WIRE[1] in body for body in bodies) == 8
    assert not any(PROMOTION in body for body in bodies)
