"""From one index of articles to the next, while articles come in and are searched.

All that is known of it is in Elasticsearch: the alias `news-articles` stands on the index that is searched, and
`news-articles-standby` on the one that takes every write too. That is the next index, while it is filled, and after
the switch the one before, so that one can go back. The mapping of the next one says what it is filled from and how
far that is; whoever calls again goes on from there.

A document comes into the next index in one of three ways. The indexer writes it there as soon as it has seen the
standby, which it looks for before each bulk. The copy brings what was there before. What lies between, a bulk that
was under way when the standby appeared, is found by the comparison, which therefore begins later than any such bulk
can come to its end. What is late all the same, or from an indexer of an older version, is looked for once more
after the switch, when nothing is written into the other index alone any more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import structlog
from elasticsearch import ApiError, Elasticsearch, TransportError
from pydantic import Field

from schemas.document import INDEX_ALIAS, INDEX_VERSION, NOT_RETRACTED, STANDBY_ALIAS
from services.indexer.copying import (
    Compared,
    Comparison,
    Counts,
    Gone,
    Limits,
    Target,
    ask,
    behind_as_copy,
    behind_as_later,
    behind_as_rebuilt,
    pages,
)
from services.indexer.index import Write
from services.setup.app import set_up_index
from services.setup.comparison import compare
from services.setup.settings import SetupSettings

log = structlog.get_logger(__name__)

MOST_ROUNDS = 5
"""Comparisons before it is given up: the first one finds what came in between, the second one that this was all."""

SAVE_SECONDS = 5.0
"""Between two notes on how far the copy is. Each changes the cluster's state, which every node is told of."""

MB = 1024 * 1024

BULKS_IN_FLIGHT = 3
"""While the next page is read. An index of one shard takes each bulk in one thread: one alone leaves cores idle."""

SETTLE_SECONDS = 2.0
"""After the switch, for bulks that Elasticsearch had taken before it and not yet written."""

DIGITS = 6
"""Of the number at the end of an index's name."""


class MigrationSettings(SetupSettings):
    """Where the indices are, how much is brought over at once, and for how long is waited."""

    migration_bulk_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=1024,
        description="Bytes in one bulk request, at the most; half as many are read at once.",
    )
    migration_grace_seconds: float = Field(
        default=40.0,
        ge=0,
        description="After this long no bulk can come to its end that was sent before the indexer saw the new "
        "index. More than INDEXER_BULK_TIMEOUT_SECONDS, after which it is sent again to both, and more than "
        "KAFKA_SESSION_TIMEOUT_SECONDS, after which the records of a process that stands still go to another one.",
    )
    migration_patience_seconds: float = Field(
        default=600.0,
        gt=0,
        description="When Elasticsearch takes nothing at all for this long, it is given up; called again, it goes "
        "on.",
    )


class Stopped(Exception):
    """Nothing was switched; the text says why, and what to do.

    `refused` are some of the documents that the new index refuses, by id, with its words.
    """

    def __init__(self, text: str, refused: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.refused = dict(refused or {})


@dataclass(frozen=True)
class Filling:
    """What the mapping of an index says of how it was filled, under `_meta.migration`."""

    source: str
    """The index that it takes the place of."""
    by: str
    """`migrate` or `rebuild`."""
    started: datetime
    phase: str
    """How far that is."""
    after: str | None = None
    """The last id that was copied, in the phase COPY."""
    since: int | None = None
    """In the phase LATE: what was written into `source` after this sequence number was not compared."""


COPY, KAFKA, COMPARE, LATE = "copy", "kafka", "compare", "late"
"""Phases: filled by copying, filled from Kafka, compared, and looked through for what came late."""


@dataclass(frozen=True)
class Standing:
    """Which concrete index is searched, and which one takes every write too."""

    main: str
    standby: str | None
    of_main: Filling | None = None
    of_standby: Filling | None = None

    @property
    def next(self) -> Filling | None:
        """How the standby was filled from the main index, if it is the one to follow it."""
        found = self.of_standby
        return found if found and found.source == self.main else None

    @property
    def is_switched(self) -> bool:
        """Whether the standby is the index from before the switch."""
        return self.standby is not None and self.next is None and self._has_followed

    @property
    def _has_followed(self) -> bool:
        return self.of_main is not None and self.of_main.source == self.standby

    @property
    def is_rebuilt(self) -> bool:
        """Whether one of the two was filled from Kafka: then they need not be equal field by field."""
        filling = self.next or self.of_main
        return filling is not None and filling.by == "rebuild"


@dataclass
class Done:
    """What was done, for people and for `--json`."""

    state: str
    main: str
    standby: str | None
    refused: dict[str, str] = field(default_factory=dict)
    """Some of Kafka's records that cannot be brought in, with why."""
    refused_records: int = 0
    """All of them; they were dead letters before."""
    kafka: dict[str, int] = field(default_factory=dict)
    """Records read from Kafka, by topic."""
    copied: int = 0
    there: int = 0
    """Documents that the copy found there already, written by the indexer or from Kafka."""
    rounds: list[Compared] = field(default_factory=list)
    late: int = 0
    """Documents that came into the other index alone between the last comparison and the switch."""
    copy_seconds: float = 0.0
    compare_seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


Told = Callable[[str, int, int], None]
"""Is told what is being done, how many documents of it are done, and of about how many."""


@dataclass(frozen=True)
class Work:
    """The two aliases on an Elasticsearch, and the work on what is behind them."""

    client: Elasticsearch
    settings: MigrationSettings
    told: Told

    @property
    def main_alias(self) -> str:
        """What is searched."""
        return self.settings.name(INDEX_ALIAS)

    @property
    def standby_alias(self) -> str:
        """What takes every write too."""
        return self.settings.name(STANDBY_ALIAS)

    @cached_property
    def limits(self) -> Limits:
        """For the copy and the comparison."""
        return Limits(self.settings.migration_bulk_bytes, self.settings.migration_patience_seconds)

    def ask(self, call: Callable[[], Any]) -> Any:
        """See `copying.ask`."""
        return ask(self.limits, call)

    # ------------------------------------------------------------ what is known

    def standing(self) -> Standing:
        """As the aliases and the mappings say; raises `Stopped` where they say nothing that this can go on from."""
        main = self._behind(self.main_alias)
        if main is None:
            raise Stopped(f"there is no index behind {self.main_alias}: newsflow setup makes it")
        standby = self._behind(self.standby_alias)
        of_standby = self._filling(standby) if standby else None
        return Standing(main, standby, self._filling(main), of_standby)

    def _behind(self, alias: str) -> str | None:
        # Without it the client raises for what is an answer here.
        answer = self.ask(lambda: self.client.options(ignore_status=404).indices.get_alias(name=alias)).body
        indices = [index for index, each in answer.items() if isinstance(each, dict) and "aliases" in each]
        if len(indices) > 1:
            raise Stopped(f"{alias} stands on {', '.join(sorted(indices))}: take it from all but the right one")
        return indices[0] if indices else None

    def _meta(self, index: str) -> dict[str, Any]:
        answer = self.ask(lambda: self.client.indices.get_mapping(index=index))
        meta: dict[str, Any] = answer[index]["mappings"].get("_meta", {})
        return meta

    def _filling(self, index: str) -> Filling | None:
        noted = self._meta(index).get("migration")
        return None if noted is None else Filling(**noted | {"started": datetime.fromisoformat(noted["started"])})

    def note(self, index: str, filling: Filling) -> None:
        """Write down how far it is. What else `_meta` says stays: it is replaced as a whole."""
        meta = self._meta(index) | {"migration": _noted(filling)}
        self.ask(lambda: self.client.indices.put_mapping(index=index, meta=meta))

    # ------------------------------------------------------------ filling

    def begin(self, standing: Standing, by: str, phase: str) -> None:
        """Make the next index; from now on the indexer writes to it too."""
        check_room(self.client, standing.main)
        pattern = f"{self.main_alias}-v{INDEX_VERSION}-"
        there = self.ask(lambda: self.client.indices.get(index=f"{pattern}*", features=["aliases"]))
        numbers = [name.removeprefix(pattern) for name in there]
        number = max((int(each) for each in numbers if each.isdigit()), default=0) + 1
        index = f"{pattern}{number:0{DIGITS}}"
        filling = Filling(standing.main, by, datetime.now(UTC), phase)
        try:
            self.client.indices.create(
                index=index,
                # An alias has one index to write to: of two that begin at the same time, one is refused here.
                aliases={self.standby_alias: {"is_write_index": True}},
                # In the same step: ended right after this, it is known what the index is for.
                mappings={"_meta": {"migration": _noted(filling)}},
            )
        except (ApiError, TransportError):
            # Somebody else was first, or we were, and the answer was lost.
            if self.standing().standby is None:
                raise
        log.info("new index", index=index, beside=standing.main)
        self.ask(lambda: self.client.cluster.health(index=index, wait_for_status="yellow", timeout="30s"))

    def target(self) -> Target:
        """What is written into the standby, whichever index that is."""
        return Target(self.client, self.standby_alias, self.limits)

    def copy(self, standing: Standing, filling: Filling, done: Done) -> Counts:
        """Bring over every document that is not there, or older there; notes how far it is."""
        source, standby = standing.main, standing.standby or ""
        total: int = self.ask(lambda: self.client.count(index=source))["count"]
        target = self.target()
        count, start = 0, time.monotonic()
        if filling.after is not None:
            before = {"range": {"id": {"lte": filling.after}}}
            count = self.ask(lambda: self.client.count(index=source, query=before))["count"]
        saved = start
        read = pages(self.client, source, self.limits, filling.after)
        with closing(read), closing(self._brought(read, target)) as brought:
            for page in brought:
                count += len(page)
                self.told(COPY, count, total)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.note(standby, replace(filling, phase=COPY, after=page[-1].id))
                    saved = time.monotonic()
        done.copied += target.counts.written
        done.there += target.counts.present
        done.copy_seconds += time.monotonic() - start
        return target.counts

    def _brought(self, pages: Iterator[list[Write]], target: Target) -> Generator[list[Write], None, None]:
        """The pages in their order, each once it is brought over, with the next ones under way."""
        under_way: deque[tuple[list[Write], Future[None]]] = deque()
        with ThreadPoolExecutor(BULKS_IN_FLIGHT, thread_name_prefix="copy") as threads:
            try:
                for page in pages:
                    under_way.append((page, threads.submit(target.bring, page)))
                    if len(under_way) > BULKS_IN_FLIGHT:
                        yield self._first(under_way)
                while under_way:
                    yield self._first(under_way)
            except BaseException:
                # What is under way may come to its end; nothing waits for a server that takes nothing.
                self.limits.ended.set()
                raise

    @staticmethod
    def _first(under_way: deque[tuple[list[Write], Future[None]]]) -> list[Write]:
        page, brought = under_way.popleft()
        brought.result()
        return page

    # ------------------------------------------------------------ the end

    def wait_for_bulks(self, filling: Filling) -> None:
        """Until no bulk can come to its end that was sent before the standby was seen."""
        since = (datetime.now(UTC) - filling.started).total_seconds()
        grace = self.settings.migration_grace_seconds
        left = min(grace, grace - since)
        if left > 0:
            log.info("waiting for bulks that were under way", seconds=round(left, 1))
            time.sleep(left)

    def bring_in_line(self, standing: Standing, done: Done) -> int:
        """Compare until nothing differs but what is being written; raises `Stopped` where that does not come.

        Returns the sequence number of the index that is searched, after which nothing was compared.
        """
        standby = standing.standby or ""
        target = self.target()
        behind = behind_as_rebuilt if standing.is_rebuilt else behind_as_copy
        comparison = Comparison(self.client, standing.main, standby, target, behind, self.limits)
        start = time.monotonic()
        for _ in range(MOST_ROUNDS):
            since = self._written(standing.main)
            total: int = self.ask(lambda: self.client.count(index=standing.main))["count"]
            compared = comparison.run(lambda count, total=total: self.told(COMPARE, count, total))  # type: ignore[misc]
            self.told(COMPARE, compared.documents, compared.documents)
            done.rounds.append(compared)
            done.compare_seconds = time.monotonic() - start
            check_refused(target.counts, standby)
            if not compared.lasting:
                return since
            log.info("brought in line", index=standby, copied=compared.copied, deleted=compared.deleted)
        raise Stopped(
            f"{standby} still lacks documents of {standing.main} after {MOST_ROUNDS} comparisons "
            f"({done.rounds[-1].lasting} in the last one): is every indexer of this version? An older one does not "
            "write to the second index. Stop it, then call this again"
        )

    def _written(self, index: str) -> int:
        """The sequence number up to which all is written, in each shard."""
        stats = self.ask(lambda: self.client.indices.stats(index=index, level="shards"))
        shards = stats["indices"][index]["shards"].values()
        written: list[int] = [
            copy["seq_no"]["local_checkpoint"] for each in shards for copy in each if copy["routing"]["primary"]
        ]
        return min(written)

    def bring_late(self, source: str, since: int, done: Done) -> None:
        """Bring over what came into `source` alone before the switch, and was not compared any more."""
        time.sleep(SETTLE_SECONDS)
        target = Target(self.client, self.main_alias, self.limits)
        main = self.standing().main
        comparison = Comparison(self.client, source, main, target, behind_as_later, self.limits)
        done.late = comparison.run_since(since)
        check_refused(target.counts, main)

    def switch(self, standing: Standing, done: Done) -> None:
        """Exchange the two, in one step for everyone."""
        main, standby = standing.main, standing.standby or ""
        now = self.standing()
        if (now.main, now.standby) != (main, standby):
            raise Stopped("somebody else changed the aliases meanwhile: newsflow index check shows how they are")
        # What could be found a moment ago can be found a moment later.
        self.ask(lambda: self.client.indices.refresh(index=standby))
        actions: list[dict[str, Any]] = [
            {"remove": {"index": main, "alias": self.main_alias, "must_exist": True}},
            {"remove": {"index": standby, "alias": self.standby_alias, "must_exist": True}},
            {
                "add": {
                    "index": standby,
                    "alias": self.main_alias,
                    "filter": NOT_RETRACTED,
                    "is_write_index": True,
                }
            },
            {"add": {"index": main, "alias": self.standby_alias, "is_write_index": True}},
        ]
        try:
            self.ask(lambda: self.client.indices.update_aliases(actions=actions))
        except Gone:
            # It was asked for again, since the first answer was lost.
            if self.standing().main != standby:
                raise
        self.ask(lambda: self.client.indices.refresh(index=standby))
        log.info("switched", searched=standby, standby=main)
        done.state, done.main, done.standby = "switched", standby, main


def _noted(filling: Filling) -> dict[str, Any]:
    return asdict(filling) | {"started": filling.started.isoformat()}


def check_refused(counts: Counts, index: str) -> None:
    """Raise `Stopped` where the index refused documents, with some of them by name."""
    if counts.refused:
        raise Stopped(
            f"{index} refuses {counts.refused} documents. Mend them and call this again; or mend the mapping, give "
            "the second index up (newsflow index finish), and begin again",
            counts.named,
        )


def check_room(client: Elasticsearch, index: str) -> None:
    """Raise `Stopped` where a second index as large as this one would fill the disks so far that nothing is taken.

    Elasticsearch then blocks the index that is searched too. Where it may not be asked for that, it is not known.
    """
    try:
        size: int = client.indices.stats(index=index, metric="store")["_all"]["total"]["store"]["size_in_bytes"]
        nodes = client.nodes.stats(metric="fs")["nodes"].values()
    except ApiError as error:
        log.warning("the room on the disks is not known", error=f"{error}"[:200])
        return
    disks = [disk for node in nodes for disk in node["fs"].get("data", ())]
    free = sum(disk["available_in_bytes"] - disk.get("low_watermark_free_space_in_bytes", 0) for disk in disks)
    if disks and size > free:
        raise Stopped(
            f"{index} has {size / MB:.0f} MB, and Elasticsearch's disks have room for {max(0, free) / MB:.0f} MB "
            "more until it stops to fill them: make room first"
        )


# ---------------------------------------------------------------- the verbs

Fill = Callable[[Work, Standing, Filling, Done], None]
"""Fills the standby from where it is; done again, it changes nothing that is there."""


def fill_by_copy(work: Work, standing: Standing, filling: Filling, done: Done) -> None:
    """From the index that is searched."""
    check_refused(work.copy(standing, filling, done), standing.standby or "")


MIGRATE, REBUILD = "migrate", "rebuild"


def migrate(work: Work, *, force: bool = False) -> Done:
    """A next index with the mapping of this version, filled from the one that is there; `force`: though that fits.

    Raises `Stopped`, and what `copying.ask` raises; called again, it goes on.
    """
    return run(work, MIGRATE, COPY, fill_by_copy, force=force)


def run(work: Work, by: str, phase: str, fill: Fill, *, force: bool) -> Done:
    """Fill the next index with `fill`, which begins in `phase`, compare, and switch to it."""
    try:
        set_up_index(work.client, work.settings)
    except ValueError as error:
        raise Stopped(str(error)) from None
    standing = work.standing()
    done = Done("", standing.main, standing.standby)
    if standing.is_switched:
        done.state = "switched before"
        _look_for_late(work, standing, done)
        return done
    if standing.standby is None:
        if not force and compare(work.client, work.settings).fits:
            done.state = "nothing to do"
            return done
        work.begin(standing, by, phase)
        standing = work.standing()
    filling = _filling_of(work, standing, by)
    done.standby = standing.standby
    if filling.phase in (COPY, KAFKA):
        fill(work, standing, filling, done)
        work.note(standing.standby or "", replace(filling, phase=COMPARE, after=None))
    work.wait_for_bulks(filling)
    since = work.bring_in_line(standing, done)
    work.note(standing.standby or "", replace(filling, phase=LATE, after=None, since=since))
    work.switch(standing, done)
    _look_for_late(work, work.standing(), done)
    return done


def _look_for_late(work: Work, switched: Standing, done: Done) -> None:
    filling = switched.of_main
    if filling is not None and filling.phase == LATE and filling.since is not None:
        work.bring_late(filling.source, filling.since, done)
        work.note(switched.main, replace(filling, phase=COMPARE, since=None))


def _filling_of(work: Work, standing: Standing, by: str) -> Filling:
    filling = standing.next
    if filling is None:
        raise Stopped(
            f"{standing.standby} takes every write too, and nothing says that it is to follow {standing.main}: "
            f"take {work.standby_alias} from it, or give it up with newsflow index finish"
        )
    if not (standing.standby or "").startswith(f"{work.main_alias}-v{INDEX_VERSION}-"):
        raise Stopped(
            f"{standing.standby} was begun by another version of Newsflow: give it up with newsflow index finish, "
            "and begin again"
        )
    if filling.by != by:
        raise Stopped(
            f"{standing.standby} was begun by newsflow index {filling.by}: call that, or give it up with newsflow "
            "index finish"
        )
    return filling


def back(work: Work) -> Done:
    """Search the index from before the switch again, once it has all that came since."""
    standing = work.standing()
    done = Done("", standing.main, standing.standby)
    if standing.next is not None:
        done.state = "not switched"
        return done
    if not standing.is_switched:
        raise Stopped(f"there is no index to go back to from {standing.main}: no switch came before it")
    since = work.bring_in_line(standing, done)
    work.switch(standing, done)
    work.bring_late(standing.main, since, done)
    done.state = "switched back"
    return done


def finish(work: Work, standing: Standing) -> Done:
    """Delete the standby, whatever it is; nothing is written to a second index any more."""
    now = work.standing()
    if now.standby is None and standing.standby is None:
        return Done("nothing to finish", now.main, None)
    if now.standby != standing.standby or now.main != standing.main:
        raise Stopped("somebody else changed the aliases meanwhile: newsflow index check shows how they are")
    # The alias goes with it, in one step.
    work.ask(lambda: work.client.indices.update_aliases(actions=[{"remove_index": {"index": now.standby}}]))
    return Done("finished", now.main, None)
