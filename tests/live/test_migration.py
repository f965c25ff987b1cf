"""From one index to the next on the real Elasticsearch, and back."""

from __future__ import annotations

import json

import pytest
from elasticsearch import Elasticsearch

from schemas.document import INDEX_ALIAS, INDEX_VERSION, NOT_RETRACTED, STANDBY_ALIAS
from services.indexer.migration import Stopped, Work, back, finish, migrate
from tests.live.harness import Pipeline
from tests.live.migrating import behind, fill, newsflow, once, put, soon, source, stored, working

__all__ = ["soon"]


# ---------------------------------------------------------------- there, back, and to the end


@pytest.mark.usefixtures("soon")
def test_migration_switches_goes_back_and_finishes(indices: Pipeline, client: Elasticsearch) -> None:
    main, standby = indices.name(INDEX_ALIAS), indices.name(STANDBY_ALIAS)
    names = fill(client, indices)
    gone = {"id": "gone", "revision": 7, "retracted": {"time": "2026-01-01T00:00:00Z", "by": "producer"}}
    put(client, main, gone)
    old = behind(client, main)
    before = stored(client, old)
    work = working(indices)
    assert migrate(work).state == "nothing to do", "it fits"
    assert not client.indices.exists_alias(name=standby)
    done = migrate(work, force=True)
    new = f"{main}-v{INDEX_VERSION}-000002"
    assert (done.state, done.main, done.standby, done.copied) == ("switched", new, old, len(names) + 1)
    assert stored(client, new) == stored(client, old) == before, "the retracted one too"
    assert client.indices.get_alias(name=main)[new]["aliases"][main] == {
        "filter": NOT_RETRACTED,
        "is_write_index": True,
    }
    assert client.count(index=main)["count"] == len(names)
    meta = client.indices.get_mapping(index=new)[new]["mappings"]["_meta"]
    assert meta["version"] == INDEX_VERSION, "what else it says stays"
    assert migrate(work).state == "switched before"
    assert back(work).state == "switched back"
    assert (behind(client, main), behind(client, standby)) == (old, new)
    assert back(work).state == "not switched"
    again = migrate(work)
    assert (again.state, again.main, again.copied) == ("switched", new, 0), "all is there, nothing is copied again"
    assert finish(work, work.standing()).state == "finished"
    assert not client.indices.exists(index=old)
    assert not client.indices.exists_alias(name=standby)
    assert stored(client, new) == before
    assert finish(work, work.standing()).state == "nothing to finish"
    assert migrate(work, force=True).main == f"{main}-v{INDEX_VERSION}-000003"


@pytest.mark.usefixtures("soon")
def test_index_of_older_version_is_migrated(indices: Pipeline, client: Elasticsearch) -> None:
    """Its mapping does not fit: that is what all of this is for."""
    main = indices.name(INDEX_ALIAS)
    client.indices.delete(index=behind(client, main))
    old = f"{main}-v1-000001"
    client.indices.create(index=old, aliases={main: {"is_write_index": True}}, mappings={"_meta": {"version": 1}})
    names = fill(client, indices, 20)
    said = newsflow(indices, "index", "check", "--json")
    assert (said.returncode, json.loads(said.stdout.splitlines()[-1])["fits"]) == (1, False)
    done = migrate(working(indices))
    assert done.state == "switched"
    said = newsflow(indices, "index", "check")
    assert (said.returncode, "--force" in said.stdout) == (0, False)
    assert "newsflow index back" in said.stdout, "it says that there is a standby"
    assert done.main.startswith(f"{main}-v{INDEX_VERSION}-")
    assert stored(client, done.main).keys() == set(names)


@pytest.mark.usefixtures("soon")
def test_interrupted_copy_resumes(indices: Pipeline, client: Elasticsearch) -> None:
    """Break: leave out the note in `Work.copy`: all is copied again."""

    class Ended(Exception):
        pass

    def end(what: str, count: int) -> None:
        if what == "copy" and count > 150:
            raise Ended

    names = fill(client, indices)
    with pytest.raises(Ended):
        migrate(working(indices, hook=end), force=True)
    assert behind(client, indices.name(INDEX_ALIAS)).endswith("-000001")
    counts: list[int] = []
    done = migrate(working(indices, hook=lambda what, count: counts.append(count) if what == "copy" else None))
    assert done.state == "switched"
    assert 0 < done.copied < 200
    assert done.copied + done.there < len(names), "it does not begin from the beginning"
    assert counts[0] > 64
    assert stored(client, done.main).keys() == set(names)


@pytest.mark.usefixtures("soon")
def test_interrupted_comparison_resumes(indices: Pipeline, client: Elasticsearch) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    fill(client, indices)
    with pytest.raises(KeyboardInterrupt):
        migrate(working(indices, hook=once(end, "compare")), force=True)
    done = migrate(working(indices))
    assert (done.state, done.copied, done.there) == ("switched", 0, 0)


# ---------------------------------------------------------------- what the comparison finds


@pytest.mark.usefixtures("soon")
def test_differences_are_found_and_repaired(indices: Pipeline, client: Elasticsearch) -> None:
    """Missing, older, of another content under the same version, and surplus: written by hand after the copy.

    Break: in `behind_as_copy` return False for equal versions; or leave out the deletion in `_bring_in_line`.
    """
    names = fill(client, indices, 60)
    main, standby = indices.name(INDEX_ALIAS), indices.name(STANDBY_ALIAS)

    def spoil() -> None:
        client.delete(index=standby, id=names[10], version=1, version_type="external_gte")
        put(client, standby, source(names[20], "Another text."))
        put(client, standby, source("surplus"))
        put(client, main, source(names[30], "Corrected.", 5))

    before = migrate(working(indices, hook=once(spoil)), force=True)
    assert before.state == "switched"
    first = before.rounds[0]
    assert (first.copied, first.deleted, before.rounds[-1].lasting) == (3, 1, 0)
    new = stored(client, behind(client, main))
    assert new == stored(client, behind(client, standby))
    assert new.keys() == set(names)
    assert new[names[20]][1]["body"].startswith("Text of")
    assert new[names[30]][0] == 5
    # The other way too.
    put(client, main, source("later", revision=3))
    assert back(working(indices)).rounds[0].copied == 1
    assert stored(client, behind(client, main))["later"][0] == 3


@pytest.mark.usefixtures("soon")
def test_newer_document_in_new_index_stays(indices: Pipeline, client: Elasticsearch) -> None:
    """The indexer was there before the copy."""
    names = fill(client, indices, 60)
    work = working(indices)
    standing = work.standing()
    work.begin(standing, "migrate", "copy")
    put(client, indices.name(STANDBY_ALIAS), source(names[3], "The indexer's."), source(names[4], "Newer.", 8))
    put(client, indices.name(INDEX_ALIAS), source(names[3], "The indexer's."))
    done = migrate(work)
    assert (done.copied, done.there) == (58, 2)
    new = stored(client, done.main)
    assert new[names[3]][1]["body"] == "The indexer's."
    assert new[names[4]][0] == 8


@pytest.mark.usefixtures("soon")
def test_refused_document_prevents_switch(indices: Pipeline, client: Elasticsearch) -> None:
    """Break: leave out `check_refused`."""
    names = fill(client, indices, 30)
    main = indices.name(INDEX_ALIAS)
    old = behind(client, main)
    client.indices.put_mapping(index=old, properties={"colour": {"type": "keyword"}})
    put(client, main, *[source(name, revision=2) | {"colour": "red"} for name in names[5:30]])
    for _ in "copy", "compare":
        with pytest.raises(Stopped, match="refuses 25 documents"):
            migrate(working(indices), force=True)
    assert behind(client, main) == old
    indices.start("migrate", module="services.cli index migrate", wait=False, MIGRATION_GRACE_SECONDS="0")
    assert indices.wait_exit("migrate", 60) == 1
    told = indices.log("migrate")
    assert all(name in told for name in names[5:25])
    assert names[26] not in told, "20 are named"
    assert "colour" in told
    put(client, main, *[source(name, revision=3) for name in names[5:30]])
    assert migrate(working(indices)).state == "switched", "the documents were mended"


@pytest.mark.usefixtures("soon")
def test_indexer_that_writes_to_one_index_prevents_switch(indices: Pipeline, client: Elasticsearch) -> None:
    fill(client, indices, 250)
    main = indices.name(INDEX_ALIAS)
    rounds: list[int] = []

    def write(what: str, count: int) -> None:
        if what == "copy" or count not in (100, 200):
            rounds.append(count)
            put(client, main, source("article-0100", revision=1 + len(rounds)))

    old = behind(client, main)
    with pytest.raises(Stopped, match="is every indexer of this version"):
        migrate(working(indices, hook=write), force=True)
    assert behind(client, main) == old


@pytest.mark.usefixtures("soon")
def test_late_write_to_old_index_is_copied(indices: Pipeline, client: Elasticsearch) -> None:
    """After the last comparison, before the switch; and a kill right after the switch.

    Break: leave out `_look_for_late` in `run`.
    """
    names = fill(client, indices, 250)
    main = indices.name(INDEX_ALIAS)
    ended: list[int] = []

    def write(what: str, count: int) -> None:
        if what == "compare" and count not in (100, 200):
            ended.append(count)
            put(client, main, source("late", revision=len(ended)), source(names[7], "Late.", 1 + len(ended)))

    done = migrate(working(indices, hook=write), force=True)
    assert (done.state, len(done.rounds), done.late) == ("switched", 1, 2)
    new = stored(client, behind(client, main))
    assert new == stored(client, done.standby or "")
    assert (new["late"][0], new[names[7]][0]) == (1, 2)
    assert back(working(indices, hook=write)).late == 2
    assert stored(client, behind(client, main))["late"][0] == 2

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Work, "bring_late", kill)
        with pytest.raises(Killed):
            migrate(working(indices, hook=write))
    assert (migrate(working(indices)).late, migrate(working(indices)).late) == (2, 0)
    assert stored(client, behind(client, main))["late"][0] == 3


# ---------------------------------------------------------------- the verbs


@pytest.mark.usefixtures("soon")
def test_finish_asks_before_it_deletes(indices: Pipeline, client: Elasticsearch) -> None:
    fill(client, indices, 5)
    old = behind(client, indices.name(INDEX_ALIAS))
    said = newsflow(indices, "index", "check")
    assert said.returncode == 0, said.stdout
    migrate(working(indices), force=True)
    said = newsflow(indices, "index", "finish")
    assert said.returncode == 2
    assert f"{old} (5 documents) was searched before" in " ".join(said.stdout.split())
    assert client.indices.exists(index=old)
    assert newsflow(indices, "index", "finish", "--yes").returncode == 0
    assert not client.indices.exists(index=old)
