"""`newsflow process`: a dry run of the whole pipeline, without Kafka and Elasticsearch."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from schemas.article import CleanArticle, DedupedArticle, Dropped, Entities, Paragraph, RawArticle, TaggedArticle
from schemas.identity import article_id
from schemas.story import Story
from services.cleaner.core import clean_article
from services.cleaner.settings import CleanerSettings
from services.cli.produce import check_publisher
from services.cli.terminal import shown
from services.deduper.boilerplate import sight
from services.deduper.core import drop_repeats
from services.deduper.memory import Memory
from services.deduper.settings import DeduperSettings
from services.linker.core import Links
from services.linker.settings import LinkerSettings
from services.producer.core import Found, Unusable
from services.producer.sources.files import read_files, read_lines
from services.runtime.logging import set_up_logging
from services.store import MemoryStore
from services.tagger.load import Tag, load_tagger
from services.tagger.settings import TaggerSettings

ARTICLES_AT_ONCE = 16
"""Tagged together: the model's own best batch. Output comes in these steps when standard input is slow."""


class Only(StrEnum):
    """The stages that can run alone."""

    CLEANER = "cleaner"
    DEDUPER = "deduper"
    TAGGER = "tagger"


def process(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE…|-]", help="As for `produce seeds`; - is JSON lines.")
    ] = None,
    only: Annotated[Only | None, typer.Option(help="Run one stage on the text exactly as given.")] = None,
    publisher: Annotated[str, typer.Option(help="Publisher of .txt and .html files.")] = "local-files",
    json_: Annotated[bool, typer.Option("--json", help="One JSON object an article.")] = False,
) -> None:
    """What the pipeline makes of articles, in the order given; nothing is sent or stored."""
    if not paths:
        raise typer.BadParameter("give files or folders, or - for standard input")
    check_publisher(publisher)
    missing = [path for path in paths if path != "-" and not Path(path).exists()]
    if missing:
        raise typer.BadParameter(f"there is no {', '.join(missing)}")
    found: Iterable[Found | Unusable] = (
        read_lines(sys.stdin.buffer, "standard input")
        if paths == ["-"]
        else read_files([Path(path) for path in paths], publisher, "seeds")
    )
    settings = LinkerSettings(kafka_bootstrap_servers="not needed here")
    links = Links(settings.window, settings.threshold, settings.min_shared, settings.most_owners)
    for results in _in_steps(found, _steps(only)):
        for origin, result in results:
            # As known when the article came: what comes later may still make it a copy.
            story = None if isinstance(result, str) or only not in STORIES_OF else links.add(result)[result.id]
            line = _line(result, story)
            if json_:
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
            else:
                _show(origin, line)
        sys.stdout.flush()


STORIES_OF = (None, Only.DEDUPER)
"""What was run where stories are told."""

TAGGED_OF = (None, Only.TAGGER)
"""What was run where names are tagged."""

Outcome = TaggedArticle | str
"""What an article became, or the error for which the pipeline would dead-letter it."""


def _steps(only: Only | None) -> Callable[[Sequence[Found]], list[Outcome]]:
    settings = TaggerSettings(kafka_bootstrap_servers="not needed here")
    set_up_logging("WARNING", settings.log_format, "process")
    tag = load_tagger(settings) if only in TAGGED_OF else None
    policy = CleanerSettings(kafka_bootstrap_servers="not needed here").policy
    remember = _memory(DeduperSettings(kafka_bootstrap_servers="not needed here"))

    def deduped(raw: RawArticle) -> DedupedArticle:
        if only is None:
            return remember(clean_article(raw, datetime.now(UTC), policy))
        if only is Only.CLEANER:
            return DedupedArticle.model_validate(clean_article(raw, datetime.now(UTC), policy).model_dump())
        text = raw.body or raw.html or ""
        if only is Only.TAGGER:
            return DedupedArticle.model_validate(_as_given(raw, [text]).model_dump())
        blank_lines = re.search(r"\n[^\S\n]*\n", text)
        parts = re.split(r"\n(?:[^\S\n]*\n)+" if blank_lines else r"\n", text)
        return remember(_as_given(raw, [part for part in parts if part.strip()]))

    def run(articles: Sequence[Found]) -> list[Outcome]:
        before: list[DedupedArticle | str] = []
        for article in articles:
            try:
                before.append(deduped(article.article))
            except Exception as error:  # noqa: BLE001 - as in the stage, one article's failure is its own
                before.append(str(error) or type(error).__name__)
        good = [each for each in before if not isinstance(each, str)]
        tagged = iter(_tag(tag, good))
        return [each if isinstance(each, str) else next(tagged) for each in before]

    return run


def _memory(settings: DeduperSettings) -> Callable[[CleanArticle], DedupedArticle]:
    """The deduper with a memory that ends with the process.

    What was printed stays printed: articles that teach a line keep it here, while the pipeline sends them again.
    """
    memory = Memory(
        MemoryStore(),
        least=settings.boilerplate_articles,
        within=settings.window,
        likeness=settings.boilerplate_likeness,
    )
    offsets = count()

    def remember(article: CleanArticle) -> DedupedArticle:
        deduped = drop_repeats(article)
        sighting = sight(article, min_words=settings.boilerplate_words)
        return memory.take(sighting, next(offsets), lambda: deduped).article or deduped

    return remember


def _tag(tag: Tag | None, articles: Sequence[DedupedArticle]) -> list[Outcome]:
    """The articles with their entities; as in the stage, what fails together is tried one by one."""
    if tag is None:
        return [TaggedArticle.model_validate(each.model_dump()) for each in articles]
    try:
        return list(tag(articles))
    except Exception as error:  # noqa: BLE001 - one article's failure is its own
        if len(articles) == 1:
            return [str(error) or type(error).__name__]
        return [outcome for each in articles for outcome in _tag(tag, [each])]


def _as_given(raw: RawArticle, texts: Sequence[str]) -> CleanArticle:
    """The article with these paragraphs, as they are."""
    return CleanArticle(
        id=article_id(raw),
        revision=raw.revision or 0,
        received=datetime.now(UTC),
        publisher=raw.publisher,
        headline=raw.headline,
        language=raw.language or "en",
        language_confidence=0,
        kept=tuple(Paragraph(index=index, text=text) for index, text in enumerate(texts)),
    )


def _in_steps(
    found: Iterable[Found | Unusable], run: Callable[[Sequence[Found]], list[Outcome]]
) -> Iterator[list[tuple[str, Outcome]]]:
    source = iter(found)
    while step := list(islice(source, ARTICLES_AT_ONCE)):
        outcomes = iter(run([each for each in step if isinstance(each, Found)]))
        yield [(each.origin, next(outcomes) if isinstance(each, Found) else each.error) for each in step]


def _line(outcome: Outcome, story: Story | None) -> dict[str, Any]:
    """An article in the shape of `newsflow process --json`."""
    seen = {each.index: each.id for each in story.paragraphs} if story else {}
    if isinstance(outcome, str):
        empty: dict[str, Any] = dict.fromkeys(("id", "publisher", "headline", "language", "body"))
        lists: dict[str, Any] = {
            name: [] for name in ("paragraphs", "people", "organisations", "places", "mentions")
        }
        return empty | lists | {"story_id": None, "duplicate_of": None, "originality": None, "error": outcome}
    changed: dict[int, list[dict[str, Any]]] = {}
    for change in outcome.changed:
        changed.setdefault(change.index, []).append(
            {"reason": change.reason.value, "rule": change.rule, "removed": change.removed}
        )
    every: tuple[Paragraph | Dropped, ...] = (*outcome.kept, *outcome.dropped)
    paragraphs = [
        {
            "index": each.index,
            "text": each.text,
            "kind": each.kind.value,
            "kept": isinstance(each, Paragraph),
            "reason": each.reason.value if isinstance(each, Dropped) else None,
            "rule": each.rule if isinstance(each, Dropped) else None,
            "repeats": each.repeats if isinstance(each, Dropped) else None,
            "seen_first": each.seen_first if isinstance(each, Dropped) else seen.get(each.index),
            "changed": changed.get(each.index, []),
        }
        for each in every
    ]
    return {
        "id": outcome.id,
        "publisher": outcome.publisher,
        "headline": outcome.headline,
        "language": outcome.language,
        "body": outcome.body,
        "paragraphs": sorted(paragraphs, key=lambda each: int(str(each["index"]))),
        "people": [each.model_dump(mode="json") for each in outcome.people],
        "organisations": [each.model_dump(mode="json") for each in outcome.organisations],
        "places": [each.model_dump(mode="json") for each in outcome.places],
        "mentions": [each.model_dump(mode="json") for each in outcome.mentions],
        "byline": outcome.byline,
        "agency": outcome.agency,
        "located": outcome.located,
        "section": outcome.section,
        "published": outcome.published.isoformat() if outcome.published else None,
        "flags": list(outcome.flags),
        "entities": outcome.entities.value,
        "quality": [each.value for each in outcome.quality],
        "story_id": story.story_id if story else None,
        "duplicate_of": story.duplicate_of if story else None,
        "originality": story.originality if story else None,
        "error": None,
    }


def _show(origin: str, line: dict[str, Any]) -> None:
    console = Console()
    console.print(shown(f"\n{line['headline'] or origin}"), style="bold", highlight=False)
    if line["error"]:
        console.print(shown(f"dead letter: {line['error']}"), highlight=False)
        return
    table = Table("", "paragraph", "dropped because", "changed")
    for each in line["paragraphs"]:
        text = each["text"] if len(each["text"]) <= 120 else f"{each['text'][:119]}…"
        changes = ", ".join(change["rule"] or change["reason"] for change in each["changed"])
        table.add_row(
            str(each["index"]), shown(text), _why_dropped(each), changes, style="" if each["kept"] else "dim"
        )
    console.print(table)
    if line["duplicate_of"]:
        share = f"{1 - line['originality']:.0%}"
        console.print(f"copy of {line['duplicate_of']}: {share} of its text was there first", highlight=False)
    if line["entities"] != Entities.TAGGED:
        console.print(shown(f"no model reads {line['language']}: names were not looked for"), highlight=False)
    if line["quality"]:
        console.print(shown(f"quality: {', '.join(line['quality'])}"), highlight=False)
    for kind in ("people", "organisations", "places"):
        names = ", ".join(f"{each['name']} ({each['count']})" for each in line[kind])
        console.print(shown(f"{kind}: {names}"), highlight=False)


def _why_dropped(paragraph: dict[str, Any]) -> str:
    if paragraph["kept"]:
        return f"kept; first in {paragraph['seen_first']}" if paragraph["seen_first"] else ""
    repeats = "" if paragraph["repeats"] is None else f" of {paragraph['repeats']}"
    rule = f" ({paragraph['rule']})" if paragraph["rule"] else ""
    return f"{paragraph['reason'] or ''}{repeats}{rule}"
