"""The cleaner under a fuzzer, run by `make fuzz`: no input may break what it declares.

Each input becomes a record as a producer could send it: a plain text, or a page, put together from pieces of what
the web holds (tags, entities, broken encodings, JSON-LD, dates) and of whatever the fuzzer comes up with. Only
declared refusals may come out beside articles, the paragraphs kept come through a second cleaning unchanged, and
each input keeps to libFuzzer's limits of time and memory, which `-timeout` and `-rss_limit_mb` give.

    python -m tests.fuzz.cleaner --seed FOLDER  first inputs, where the folder holds none
    python -m tests.fuzz.cleaner [options of libFuzzer] [FOLDER]
    python -m tests.fuzz.cleaner FILE           one input again, e.g. a crash that libFuzzer wrote
    python -m tests.fuzz.cleaner --show FILE    the record that it stands for

Findings are written as `crash-…`, `timeout-…` or `oom-…` to where `-artifact_prefix` says.
"""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import atheris  # type: ignore[import-untyped]  # it is in the fuzzer's own environment alone

with atheris.instrument_imports(include=["schemas", "services", "trafilatura", "ftfy"]):
    from schemas.article import CleanArticle, RawArticle
    from schemas.reading import Refused, read_record, write_record
    from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW
    from services.cleaner.core import clean_article

RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)

SEEDS = 200
LONGEST_INPUT = 600
"""Bytes, some 100 pieces; `-max_len` is the same."""

LONGEST_REPEAT = 3_000
"""Times that one piece may follow itself: what is quadratic shows, and a linear step stays below a second."""

PIECES = (
    *(
        "<p>",
        "</p>",
        "<div>",
        "</div>",
        "<br>",
        "<br/>",
        "<li>",
        "<ul>",
        "</ul>",
        "<ol>",
        "<blockquote>",
        "</blockquote>",
    ),
    *("<h1>", "</h1>", "<h2>", "<table>", "<tr>", "<td>", "</table>", "<figure>", "<figcaption>", "</figure>"),
    *(
        "<html>",
        "<html lang='de'>",
        "<head>",
        "</head>",
        "<body>",
        "</body>",
        "<!doctype html>",
        "<main>",
        "<article>",
    ),
    *(
        "</article>",
        "<section>",
        "<nav>",
        "<aside>",
        "<footer>",
        "<form>",
        "<input type='password'>",
        "<pre>",
        "</pre>",
    ),
    *(
        "<b>",
        "</b>",
        "<a href='/x'>",
        "</a>",
        "<span class='caption'>",
        "<svg>",
        "<math>",
        "<template>",
        "<iframe>",
    ),
    *(
        "<script>",
        "</script>",
        "<style>",
        "<title>",
        "</title>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?xml ?>",
        "<o:p>",
    ),
    *(
        "<textarea>",
        "<noscript>",
        "<select>",
        "<option>",
        "<time datetime='2024-05-01T10:00'>",
        "<p",
        "<",
        ">",
        "</",
    ),
    '<script type="application/ld+json">',
    '{"@type": "NewsArticle", "headline": "',
    '{"@graph": [{"@type": ["NewsArticle", "Article"], "datePublished": "',
    '{"@type": "LiveBlogPosting", "liveBlogUpdate": [{"articleBody": "',
    *(
        '", "articleBody": "',
        '", "author": {"name": "',
        '"}]}</script>',
        '"}</script>',
        "\\ud83d",
        "\\u0000",
        "\\n",
    ),
    *("[" * 64, "]" * 64, '{"a":' * 64, "1e400", "null", "NaN"),
    '<meta property="article:published_time" content="',
    '<meta property="og:title" content="',
    '<meta name="author" content="',
    '<meta charset="utf-16">',
    '<link rel="canonical" href="',
    *('">', "2024-02-30", "2024-05-01T10:00:00+25:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    *("Thu, 01 Jan 1970 00:00:00 GMT", "http://[", "https://example.org:99999/", "javascript:", "2024-W01-1"),
    *(
        "&amp;",
        "&amp;amp;",
        "&nbsp;",
        "&#0;",
        "&#xD800;",
        "&#1114112;",
        "&lt;p&gt;",
        "&quot;",
        "&#x80;",
        "&notanentity;",
    ),
    *("Ã©", "â€™", "â€œ", "Ã¢â‚¬â„¢", "Â ", "ï»¿", "ð\x9f\x98\x80", "\ufffd", "\x85", "\x92", "Ð¿Ñ€Ð¸", "ÃƒÂ©"),
    *(
        "\u200b",
        "\u200d",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\xad",
        "\u0301",
        "\u2028",
        "\u2029",
        "\xa0",
        "\u202f",
        "\u3000",
    ),
    *(
        "\U000e0041",
        "\U0001f3f4",
        "👩\u200d🚀",
        "e\u0301",
        "ﬁ",
        "Ａ",
        "\x00",
        "\x0b",
        "\x1b",
        "\x7f",
        "\uffff",
        "\ufdd0",
    ),
    *("\n", "\n\n", "\r\n", "\r", "\t", " ", "  ", "-\n", "\xad\n", "•", "* ", "> ", "— ", "| ", "1. ", "10 000 €"),
    *("« mot »", "“", "”", "’", "'", '"', "…", "(", ")", "[", "]"),
    "The minister said on Monday that the bridge would open in May. ",
    "Der Minister sagte am Montag, die Brücke werde im Mai geöffnet. ",
    "Le ministre a déclaré lundi que le pont ouvrirait en mai. ",
    "部长周一说,大桥将于五月开放。",
    "قال الوزير يوم الاثنين إن الجسر سيفتح في مايو. ",
    *(
        "Follow us on Facebook",
        "Sign up for our newsletter",
        "Read more: ",
        "Share this article",
        "Scan the QR code",
    ),
    *("© 2024 Example Herald", "All rights reserved", "Comments are closed.", "Photo: ", "Subscribe now!"),
    *(
        "(Reporting by A. Writer; editing by B. Writer)",
        "PARIS, May 3 (Reuters) - ",
        "BERLIN (dpa) – ",
        "(AFP)",
        "— dpa",
    ),
    *("We use cookies", "Log in to read", "404 Not Found", "Access denied", "interna-", "tional"),
)


STATED = {
    "language": ("en", "de-CH", "zxx", "english"),
    "published": ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2024-05-01T10:00:00", "1970-01-01"),
    "url": (
        "https://example.org/a",
        "http://[::1]/",
        "http://[",
        "https://example.org:99999/",
        "ftp://example.org/",
    ),
}


class Broken(AssertionError):
    """The cleaner did what it declares not to do."""


def record(data: bytes) -> bytes:
    """The record that the fuzzer's bytes stand for, as a producer would send it."""
    source = atheris.FuzzedDataProvider(data)
    fields: dict[str, Any] = {"publisher": "fuzz.example"}
    text = "html" if source.ConsumeBool() else "body"
    for name in ("headline", "byline", "summary"):
        if source.ConsumeIntInRange(0, 7) == 0:
            fields[name] = _text(source, 6)
    for name, values in STATED.items():
        if source.ConsumeIntInRange(0, 7) == 0:
            fields[name] = values[source.ConsumeIntInRange(0, len(values) - 1)]
    fields[text] = _text(source, 60)
    # A lone surrogate stays one in the record: it is for the contract to refuse.
    return json.dumps(fields).encode()


def _text(source: atheris.FuzzedDataProvider, most: int) -> str:
    parts = []
    for _ in range(source.ConsumeIntInRange(0, most)):
        if not source.remaining_bytes():
            break
        kind = source.ConsumeIntInRange(0, 127)
        if kind < 8:
            parts.append(source.ConsumeUnicodeNoSurrogates(24) if kind else source.ConsumeUnicode(24))
        else:
            piece = PIECES[source.ConsumeIntInRange(0, len(PIECES) - 1)]
            parts.append(piece * source.ConsumeIntInRange(1, LONGEST_REPEAT) if kind == 8 else piece)
    return "".join(parts)


def check(value: bytes) -> None:
    """Clean the record twice. Raises `Broken`, or the error that nobody declared."""
    article = _clean(value)
    if article is None:
        return
    if read_record(ARTICLES_CLEAN, write_record(article)) != article:
        raise Broken("the article does not come back from its own bytes")
    text = article.body
    second = _clean(write_record(RawArticle(publisher="fuzz.example", body=text)))
    again = second.body if second else None
    if again != text:
        raise Broken(
            f"a second cleaning changes the text\nfirst:  {text[:2000]!r}\nsecond: {(again or '')[:2000]!r}"
        )


def _clean(value: bytes) -> CleanArticle | None:
    """The clean article, `None` where it was refused with a reason."""
    try:
        raw: RawArticle = read_record(ARTICLES_RAW, value)
    except Refused:
        return None
    try:
        return clean_article(raw, RECEIVED)
    except Exception as error:
        if isinstance(getattr(error, "dead_letter", None), str):
            return None
        raise


def seed(folder: Path) -> None:
    """Write first inputs, always the same, if the folder holds none: libFuzzer itself begins with single bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    source = random.Random(5)
    if not any(folder.iterdir()):
        for number in range(SEEDS):
            (folder / f"seed-{number:03}").write_bytes(source.randbytes(source.randint(30, LONGEST_INPUT)))


def main() -> None:
    """Fuzz with the options of libFuzzer, write its first inputs, or show the record of one."""
    if sys.argv[1:2] == ["--seed"]:
        seed(Path(sys.argv[2]))
        return
    if sys.argv[1:2] == ["--show"]:
        print(json.dumps(json.loads(record(Path(sys.argv[2]).read_bytes())), ensure_ascii=False, indent=1))
        return
    _clean(b'{"publisher": "fuzz.example", "body": "Loads the detector of languages before the clock starts."}')
    atheris.Setup(sys.argv, lambda data: check(record(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
