"""What holds for any text and any spans."""

from __future__ import annotations

import unicodedata
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from schemas.article import Label, TaggedArticle
from services.tagger.names import Span

from .marking import tag

_WORDS = st.sampled_from(
    [
        *(
            "Kim",
            "Kim’s",
            "Jong",
            "Un",
            "UN",
            "U.S.",
            "the",
            "The",
            "Mr",
            "Kim-Putin",
            "Putin",
            "group",
            "in",
            "12",
        ),
        *("“", "(", ")", ".", "\n\n", "\n", "'s", "-made", "non-", "Wałęsa", "मोदी", "习近平", "\ufdfa", "İ"),
    ]
)
_BODIES = st.lists(_WORDS | st.text(max_size=4), max_size=24).map(" ".join)
_SPANS = st.lists(
    st.builds(
        Span,
        st.integers(-2, 140),
        st.integers(-2, 140),
        st.sampled_from(list(Label)),
        st.none() | st.sampled_from(["Kim Jong Un", "the UN", "習"]),
    ),
    max_size=24,
)


def _entities(tagged: TaggedArticle) -> dict[str, int]:
    return {
        **{one.id: one.count for one in (*tagged.people, *tagged.organisations)},
        **{place.id: place.count for place in tagged.places},
    }


@given(body=_BODIES, spans=_SPANS)
def test_every_mention_is_in_the_body_and_of_an_entity(body: str, spans: list[Span]) -> None:
    tagged = tag(body, spans)
    assert tagged.body == body
    end = 0
    for mention in tagged.mentions:
        assert end <= mention.start < mention.end
        assert body[mention.start : mention.end] == mention.text
        # A span of the user's own gazetteer stays as it is; a model's lies in one paragraph.
        assert "\n\n" not in mention.text or any(
            span.entity and (span.start, span.end) == (mention.start, mention.end) for span in spans
        )
        assert any(letter.isalpha() for letter in unicodedata.normalize("NFKD", mention.text))
        end = mention.end
    assert Counter(mention.entity_id for mention in tagged.mentions) == _entities(tagged)


@given(body=_BODIES, spans=_SPANS)
def test_every_mention_lies_in_a_span_or_repeats_one_that_does(body: str, spans: list[Span]) -> None:
    mentions = tag(body, spans).mentions
    within = {
        mention
        for mention in mentions
        if any(span.start <= mention.start and mention.end <= span.end for span in spans)
    }
    texts = {mention.text for mention in within}
    assert {mention.text for mention in mentions if mention not in within} <= texts


@given(body=_BODIES, spans=_SPANS)
def test_an_entity_has_one_id_and_a_text_one_label(body: str, spans: list[Span]) -> None:
    tagged = tag(body, spans)
    for label, entities in (
        (Label.PERSON, tagged.people),
        (Label.ORGANISATION, tagged.organisations),
        (Label.PLACE, tagged.places),
    ):
        counts = [one.count for one in entities]
        assert counts == sorted(counts, reverse=True)
        assert len({one.id for one in entities}) == len(entities)
        assert all(one.id.startswith(f"{label.value}:") for one in entities)
        assert {one.entity_id for one in tagged.mentions if one.label is label} == {one.id for one in entities}
    labels = {(one.text.casefold(), one.label) for one in tagged.mentions}
    assert len({text for text, _ in labels}) == len(labels)
