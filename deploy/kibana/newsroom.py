"""What a newsroom sees in Kibana: one data view, one Discover session and one dashboard, from top to bottom."""

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
"""Id of the data view. It matches the alias and the indices behind it; Elasticsearch counts a document once."""

SINCE = "now-10y"
"""Articles stand at their time of publication, which for the samples and for an archive is years ago."""

COLUMNS = ("headline", "publisher.name", "language", "people.name", "organisations.name", "places.name")

DEAD_LETTERS = """\
An article that cannot be processed is not in this index. It is kept in Kafka, in the topic `articles-dlq`, as its
original bytes with the reason. Read dead letters on the command line:

- `newsflow dlq list` shows what failed, where and why
- `newsflow dlq show` shows one with its original bytes
- `newsflow dlq replay` sends them through again

`newsflow status` counts them.
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

OBJECTS: tuple[Json, ...] = (
    data_view(ARTICLES, "news-articles*", "News articles", "@timestamp"),
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
)
"""In the order in which they are imported: what is referred to comes first."""
