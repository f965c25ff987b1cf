"""What is left of a retracted article at the indexer, whatever the order of the records and whenever it is killed.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import pytest

from schemas.retraction import BY_PERSON
from schemas.story import Story
from tests.live.articles import new_ids
from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request
from tests.live.harness import Pipeline, wait_until
from tests.live.versions import (
    history,
    index,
    retraction,
    send,
    stored,
    version,
    visible,
    whole_index,
)


def test_retracted_article_leaves_none_of_its_text(indexing: Pipeline) -> None:
    """Break: in `Writing._retractions` leave the story where it is, or write the trace beside the document."""
    gone, kept = new_ids(2)
    index(indexing, version(1, gone), version(2, gone), version(1, kept), Story(id=gone, story_id=kept))
    index(indexing, retraction(3, gone))
    assert visible(indexing, gone, kept).keys() == {kept}
    assert stored(indexing, gone) == {
        "id": gone,
        "revision": version(2, gone).revision,
        "retracted": {"time": "2026-01-01T00:03:00Z", "by": "producer", "hold": False, "withdrawn": False},
    }
    content = whole_index(indexing)
    for text in (f"Version 1 of {gone}", f"Version 2 of {gone}"):
        assert text not in content
    assert content.count(gone) == 1, "only the trace has its id, and no story"
    assert f"Version 1 of {kept}" in content


def test_tombstone_rejects_older_copy_and_accepts_newer_revision(indexing: Pipeline) -> None:
    """Break: in `_may_come` let everything in (`document.event.created > cleared` -> `True`)."""
    (name,) = new_ids(1)
    index(indexing, version(1, name), retraction(3, name), version(1, name), version(2, name))
    index(indexing, Story(id=name, story_id=name))
    assert visible(indexing, name) == {}
    index(indexing, version(4, name))
    assert history(indexing, name) == ["Headline 4"], "a retracted version is no history"
    # The tombstone again, as after a restart: it is older than the article.
    index(indexing, retraction(3, name))
    assert history(indexing, name) == ["Headline 4"]


def test_retraction_by_person_holds_until_withdrawn(indexing: Pipeline) -> None:
    """Break: in `_may_come` leave out `hold`."""
    (name,) = new_ids(1)
    held = retraction(3, name, by=BY_PERSON, reason="A court's order.", hold=True)
    index(indexing, version(1, name), held, version(4, name), retraction(5, name), version(6, name))
    assert visible(indexing, name) == {}
    found = (stored(indexing, name) or {})["retracted"]
    assert (found["hold"], found["reason"]) == (True, "A court's order.")
    index(indexing, retraction(7, name, by=BY_PERSON, withdrawn=True))
    assert visible(indexing, name) == {}, "it is indexed when it is sent again"
    index(indexing, version(8, name))
    assert history(indexing, name) == ["Headline 8"]


def test_tombstone_before_article_rejects_it(indexing: Pipeline) -> None:
    """Break: in `retract` answer None where there is no document."""
    name, other = new_ids(2)
    index(indexing, retraction(3, name), version(2, name), version(1, other))
    assert visible(indexing, name, other).keys() == {other}
    index(indexing, version(4, name))
    assert history(indexing, name) == ["Headline 4"]


ORDERS = ("v1 v2 out v4 v5", "v1 v2 v4 v5 out", "out v5 v4 v2 v1", "v5 out v2 v4 v1", "v2 v4 out v1 v5")
"""Versions of one article and its retraction in the third minute, as they may come from two topics."""


def test_tombstone_cuts_history(indexing: Pipeline) -> None:
    """Versions before it are no history of those behind it, in any order of the records.

    Break: in `retract` answer None for a document that was received later, with its history as it is.
    """
    names = dict(zip(ORDERS, new_ids(len(ORDERS)), strict=True))
    for step in range(5):
        for order, name in names.items():
            what = order.split()[step]
            send(indexing, retraction(3, name) if what == "out" else version(int(what[1]), name))
        indexing.wait_idle(groups=["indexer"])
    found = {order: history(indexing, name) for order, name in names.items()}
    assert found == {order: ["Headline 5", "Headline 4"] for order in ORDERS}


@pytest.mark.usefixtures("through_proxy")
def test_kill_between_trace_and_story_leaves_article_retracted(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Killed before the bulk that deletes the story is applied, and after it, before the commit.

    Break: commit before the documents are written (`enable_auto_commit=True`).
    """
    pipeline.start("indexer")
    for applied in (False, True):
        gone, kept = new_ids(2)
        index(pipeline, version(1, gone), version(1, kept), Story(id=gone, story_id=kept))
        bulks = len(proxy.bulks)

        def kill(request: Request, applied: bool = applied, number: int = bulks + 2) -> Reply | None:
            if not request.is_bulk or len(proxy.bulks) != number:
                return None
            if applied:
                proxy.forward(request)
            pipeline.kill("indexer")
            return NO_ANSWER

        proxy.fault = kill
        send(pipeline, retraction(3, gone))
        wait_until(lambda: "indexer" not in pipeline.running, 60, pipeline.tails)
        proxy.fault = lambda _: None
        pipeline.start("indexer")
        pipeline.wait_idle(groups=["indexer"])
        assert visible(pipeline, gone, kept).keys() == {kept}
        index(pipeline, version(1, gone), version(2, gone))
        assert visible(pipeline, gone, kept).keys() == {kept}
        assert whole_index(pipeline).count(gone) == 1, "only the trace has its id, and no story"
    assert pipeline.dead() == []
