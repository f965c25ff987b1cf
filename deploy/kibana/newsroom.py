"""What a newsroom sees in Kibana, from top to bottom: the articles, and what became of none.

Of each there is a data view, a Discover session and a dashboard.
"""

from __future__ import annotations

from deploy.kibana.shapes import (
    Control,
    Json,
    Panel,
    Placed,
    bars,
    count,
    dashboard,
    data_view,
    discover_session,
    donut,
    markdown,
    over_time,
    point_map,
    table,
    top,
    total,
)

ARTICLES = "news-articles"
"""Id of the data view, which is the alias by its name alone: while a new index is filled, both indices have all
articles, and only the alias leaves out what was retracted."""

DEAD = "news-dead-letters"
"""Id of the data view of the dead letters that wait; also an alias."""

SINCE = "now-10y"
"""Articles stand at their time of publication, which for the samples and for an archive is years ago."""

COLUMNS = ("headline", "publisher.name", "language", "people.name", "organisations.name", "places.name")

DEAD_COLUMNS = ("stage", "reason", "publisher", "error", "attempt")
"""Beside the time, which Discover always shows."""

DEAD_LETTERS = """\
An article that cannot be processed is not among these. It is kept in Kafka, in the topic `articles-dlq`, as its
original bytes with the reason. [Dead letters](dashboards#/view/dead-letters) shows those that wait; on the command
line you bring them in or give them up:

- `newsflow dlq list` shows what failed, where and why
- `newsflow dlq show` shows one with its original bytes
- `newsflow dlq replay` sends them through again
- `newsflow dlq purge` gives them up
"""


def most_named(title: str, field: str) -> Panel:
    """The names that the most articles mention."""
    columns = {"name": top(field, title, size=15, by="articles"), "articles": count("Articles")}
    return bars(ARTICLES, title, columns, x="name", y=["articles"], horizontal=True)


articles_over_time = bars(
    ARTICLES,
    "Articles over time by publisher",
    {
        "publisher": top("publisher.name", "Publisher", size=10, by="articles", other=True),
        "time": over_time("@timestamp"),
        "articles": count("Articles"),
    },
    x="time",
    y=["articles"],
    split="publisher",
)

languages = donut(
    ARTICLES,
    "Languages",
    {"language": top("language", "Language", size=10, by="articles", other=True), "articles": count("Articles")},
    group="language",
    size="articles",
)

# An article that no model reads has no names because nobody looked: that must be seen.
entities = donut(
    ARTICLES,
    "Names looked for",
    {"entities": top("pipeline.entities", "Names", size=3, by="articles"), "articles": count("Articles")},
    group="entities",
    size="articles",
)

dropped_paragraphs = bars(
    ARTICLES,
    "Dropped paragraphs by reason",
    {
        "time": over_time("@timestamp"),
        "boilerplate": total("pipeline.paragraphs.dropped_by.boilerplate", "Boilerplate"),
        "exact_duplicate": total("pipeline.paragraphs.dropped_by.exact_duplicate", "Exact duplicate"),
        "near_duplicate": total("pipeline.paragraphs.dropped_by.near_duplicate", "Near-duplicate"),
    },
    x="time",
    y=["boilerplate", "exact_duplicate", "near_duplicate"],
)

stories = bars(
    ARTICLES,
    "Stories with the most copies",
    {"story": top("pipeline.story_id", "Story", size=10, by="articles"), "articles": count("Articles")},
    x="story",
    y=["articles"],
    horizontal=True,
)

PANELS = (
    Placed("over-time", articles_over_time, x=0, y=0, w=34, h=13),
    Placed("languages", languages, x=34, y=0, w=14, h=13),
    Placed("people", most_named("Top people", "people.name"), x=0, y=13, w=16, h=15),
    Placed("organisations", most_named("Top organisations", "organisations.name"), x=16, y=13, w=16, h=15),
    Placed("places", most_named("Top places", "places.name"), x=32, y=13, w=16, h=15),
    Placed("map", point_map(ARTICLES, "Map of places", "Articles", "places.location"), x=0, y=28, w=30, h=22),
    Placed("dropped", dropped_paragraphs, x=30, y=28, w=18, h=11),
    Placed("dead-letters", markdown("Dead letters", DEAD_LETTERS), x=30, y=39, w=18, h=11),
    Placed("stories", stories, x=0, y=50, w=34, h=11),
    Placed("entities", entities, x=34, y=50, w=14, h=11),
    Placed("newest", table(ARTICLES, "Newest articles", COLUMNS, "@timestamp"), x=0, y=61, w=48, h=20),
)

CONTROLS = (
    Control("publisher", "Publisher", "publisher.name"),
    Control("language", "Language", "language"),
    Control("person", "Person", "people.name"),
)


def most_dead(title: str, field: str) -> Panel:
    """By what the most dead letters wait."""
    columns = {"value": top(field, title, size=15, by="letters"), "letters": count("Dead letters")}
    return bars(DEAD, title, columns, x="value", y=["letters"], horizontal=True)


dead_over_time = bars(
    DEAD,
    "Dead letters over time by reason",
    {
        "reason": top("reason", "Reason", size=10, by="letters", other=True),
        "time": over_time("@timestamp"),
        "letters": count("Dead letters"),
    },
    x="time",
    y=["letters"],
    split="reason",
)

DEAD_PANELS = (
    Placed("over-time", dead_over_time, x=0, y=0, w=48, h=11),
    Placed("stages", most_dead("By stage", "stage"), x=0, y=11, w=16, h=11),
    Placed("reasons", most_dead("By reason", "reason"), x=16, y=11, w=16, h=11),
    Placed("publishers", most_dead("By publisher", "publisher"), x=32, y=11, w=16, h=11),
    Placed("newest", table(DEAD, "Dead letters that wait", DEAD_COLUMNS, "@timestamp"), x=0, y=22, w=48, h=20),
)

DEAD_CONTROLS = (
    Control("stage", "Stage", "stage"),
    Control("reason", "Reason", "reason"),
    Control("publisher", "Publisher", "publisher"),
)

OBJECTS: tuple[Json, ...] = (
    data_view(ARTICLES, "news-articles", "News articles", "@timestamp"),
    discover_session("news-newest", ARTICLES, "Newest articles", COLUMNS, "@timestamp", SINCE),
    dashboard(
        "newsroom",
        ARTICLES,
        "Newsroom",
        "What is published, by whom, and whom it names.",
        since=SINCE,
        panels=PANELS,
        controls=CONTROLS,
    ),
    data_view(DEAD, "news-dead-letters", "Dead letters", "@timestamp"),
    discover_session("news-dead-letters", DEAD, "Dead letters", DEAD_COLUMNS, "@timestamp", SINCE),
    dashboard(
        "dead-letters",
        DEAD,
        "Dead letters",
        "What could not be processed, where and why: until it is replayed or purged.",
        since=SINCE,
        panels=DEAD_PANELS,
        controls=DEAD_CONTROLS,
    ),
)
"""In the order in which they are imported: what is referred to comes first."""
