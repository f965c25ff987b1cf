from __future__ import annotations

import re
from pathlib import Path
from re import _constants as opcodes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from schemas.article import Quality
from services.cleaner.quality import (
    BESIDE_A_HINT,
    BESIDE_AN_ERROR,
    FRONT_HEADINGS,
    LONGEST_PREVIEW,
    LONGEST_SENTENCE,
    LONGEST_WALL,
    WALLS,
    PageFacts,
    Wall,
    WallFileError,
    judge_quality,
    read_walls,
)

ALL = [wall for walls in WALLS.values() for wall in walls]
SENTENCE = "The council voted on Monday to close the old bridge for two years while its deck is replaced."
OTHER_SENTENCE = "Engineers will start on the north side, and the road below stays open to buses and bicycles."
FRONT = PageFacts(stated_article=False, linked_headings=24, linked_share=0.8, page_characters=3_000)
LANGUAGES = set(re.findall("..", "enfrdeesptitnlsvdanofiplcsruuktrarzhjako"))


def judge(*kept: str, headline: str | None = None, dropped: tuple[str, ...] = ()) -> set[Quality]:
    """What is found of plain text besides its length."""
    return set(judge_quality(headline, kept, dropped, None, 0, 1_000_000))


@pytest.mark.parametrize(
    ("characters", "expected"),
    [(99, (Quality.TOO_SHORT,)), (100, ()), (200, ()), (201, (Quality.TOO_LONG,))],
)
def test_length_is_of_the_paragraphs_joined_by_blank_lines(characters: int, expected: tuple[Quality, ...]) -> None:
    kept = ["a" * 40, "b" * (characters - 42)]
    assert len("\n\n".join(kept)) == characters
    assert judge_quality(None, kept, ["c" * 500], None, 100, 200) == expected


def test_nothing_kept_is_too_short_and_nothing_else() -> None:
    assert judge_quality(None, [], [], None, 1, 10) == (Quality.TOO_SHORT,)
    assert judge_quality(None, [], [], None, 0, 10) == ()


def test_order_is_that_of_the_schema() -> None:
    kept = ["Page not found", "Log in to continue reading."]
    found = judge_quality(None, kept, [], FRONT, 100, 1_000)
    assert found == (Quality.TOO_SHORT, Quality.SECTION_FRONT, Quality.LOGIN_WALL, Quality.ERROR_PAGE)


def test_walls_match_their_examples() -> None:
    missed = []
    for wall in ALL:
        for example in wall.examples:
            # Consent takes more than a sentence; the same one again is as good as the next.
            again = 1 if wall.quality is not Quality.COOKIE_WALL else -(-80 // len(example))
            if wall.quality not in judge(*[example] * again):
                missed.append((wall.quality, example))

    assert missed == []


def test_hints_count_where_nothing_else_stands() -> None:
    hints = [(wall, hint) for wall in ALL for hint in wall.hints]

    assert [(wall.quality, hint) for wall, hint in hints if wall.quality not in judge(hint)] == []
    assert {hint: judge(hint, SENTENCE, OTHER_SENTENCE, headline=hint) for _, hint in hints} == {
        hint: set() for _, hint in hints
    }


def test_briefs_of_reporting_are_no_walls() -> None:
    sentences = [sentence for wall in ALL for sentence in wall.reporting]
    briefs = {sentence: judge(sentence, headline="News in brief") for sentence in sentences}
    longer = {sentence: judge(f"{sentence} {SENTENCE}", headline=sentence) for sentence in sentences}

    assert {sentence: found for sentence, found in briefs.items() if found} == {}
    assert {sentence: found for sentence, found in longer.items() if found} == {}


def test_articles_that_contain_a_walls_words_are_no_walls() -> None:
    article = [SENTENCE, OTHER_SENTENCE] * 6
    examples = [example for wall in ALL for example in (*wall.examples, *wall.hints)]
    found = {example: judge(*article[:6], example, *article[6:], headline=example) for example in examples}

    assert {example: qualities for example, qualities in found.items() if qualities} == {}


def test_every_language_has_every_wall() -> None:
    languages = {quality: {wall.language for wall in walls} - {"und"} for quality, walls in WALLS.items()}

    assert languages == dict.fromkeys(WALLS, LANGUAGES)


# Pages of each kind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headline", "kept"),
    [
        ("Just a moment...", ["Enable JavaScript and cookies to continue"]),
        (
            "Attention Required! | Gate",
            [
                "Sorry, you have been blocked",
                "You are unable to access example.com.",
                "This website uses a service to protect itself from attacks.",
                "Ray ID: 8f3a1c2b4d5e6f70",
            ],
        ),
        (
            "Access Denied",
            [
                'You don\'t have permission to access "http://example.com/news" on this server.',
                "Reference #18.2c5f16",
            ],
        ),
        ("404 Not Found", ["nginx"]),
        ("Example Herald", ["503 Service Unavailable", "No server is available to handle this request."]),
        (
            "Page not found | Example Herald",
            ["We looked everywhere. Try the search, or go back to our home page.", "Most read", "Bridge to close"],
        ),
        ("Example Herald", ["Oops! We can't find the page you were looking for.", "Try our home page."]),
        ("Are you a robot?", ["Please click the box below to let us know that you are not."]),
        ("Le Journal – Page introuvable", ["Retournez à la page d'accueil ou utilisez la recherche."]),
        ("Beispielzeitung", ["Die von Ihnen gesuchte Seite existiert leider nicht mehr.", "Zur Startseite"]),
        ("Página no encontrada - El Diario de Ejemplo", ["Vuelva a la portada."]),
        (None, ["К сожалению, запрашиваемая страница не найдена.", "Перейдите на главную страницу."]),
        ("例新闻", ["抱歉,您访问的页面不存在。", "返回首页。"]),
        (None, ["お探しのページは見つかりませんでした。", "トップページへお戻りください。"]),
        (None, ["عذراً، الصفحة التي تبحث عنها غير موجودة.", "العودة إلى الصفحة الرئيسية."]),
        ("Sidan hittades inte", []),
    ],
)
def test_error_pages(headline: str | None, kept: list[str]) -> None:
    assert Quality.ERROR_PAGE in judge(*kept, headline=headline)


@pytest.mark.parametrize(
    ("headline", "kept"),
    [
        ("Page not found: museum shows a history of error pages", [SENTENCE]),
        ("Access denied", [f"{SENTENCE} {OTHER_SENTENCE}"]),
        ("Just a moment of doubt", ["She stopped, the coach said, and the race was lost."]),
        ("Ministry not found", ["Nobody at the ministry could be found to answer, reporters said on Monday."]),
        ("Probe reports a 404 error in space", ["The probe answered a command with 404, engineers said."]),
        ("Server failure", ['Visitors saw the words "404 Not Found" all morning, the tax office said.']),
        (
            "Error pages",
            ["“Page not found.”", "That is what half of all links from 1998 say today, a study found."],
        ),
        ("Article 404", ["Section 403 of the law forbids the sale, the court said."]),
        (
            "500",
            [f"So many people signed the letter. {SENTENCE}"],
        ),
    ],
)
def test_reporting_of_errors(headline: str, kept: list[str]) -> None:
    assert judge(*kept, headline=headline) == set()


def test_sentences_within_a_quotation_are_somebodys() -> None:
    assert judge("“I clicked. Page not found. I gave up,” she said.") == set()
    assert judge("“Log in. Subscribe to continue reading. I hate it,” she said.") == set()
    # They count as prose in full.
    assert judge("Page not found", f"“{'word ' * (BESIDE_AN_ERROR // 5)}.”") == set()


def test_an_error_page_has_little_other_prose() -> None:
    def other(characters: int) -> str:
        return "a" * (characters - 1) + "."

    assert judge("Page not found", other(BESIDE_AN_ERROR)) == {Quality.ERROR_PAGE}
    assert judge("Page not found", other(BESIDE_AN_ERROR + 1)) == set()
    assert judge("Access denied", other(BESIDE_A_HINT)) == {Quality.ERROR_PAGE}
    assert judge("Access denied", other(BESIDE_A_HINT + 1)) == set()


def test_labels_and_teasers_are_no_prose() -> None:
    assert judge("Page not found", *["Bridge to close for two years"] * 30) == {Quality.ERROR_PAGE}


def test_an_error_stands_among_the_first_paragraphs() -> None:
    assert judge(*["Menu"] * 4, "Page not found") == {Quality.ERROR_PAGE}
    assert judge(*["Menu"] * 5, "Page not found") == set()


def test_an_error_is_seen_where_a_rule_dropped_it() -> None:
    assert judge("Home", dropped=("Page not found",)) == {Quality.ERROR_PAGE}


@pytest.mark.parametrize(
    "kept",
    [
        [
            "We value your privacy",
            "We and our 842 partners store and access information on a device, such as cookies, and process data.",
            "With your consent, we and our partners use precise location data.",
            "Accept all",
            "More options",
        ],
        [
            "Avec votre accord, nos partenaires et nous utilisons des cookies pour mesurer l'audience de ce site.",
            "Vous pouvez retirer votre consentement à tout moment.",
            "Tout accepter",
        ],
        [
            "Wir und unsere 213 Partner speichern Informationen auf Ihrem Gerät und verarbeiten Daten.",
            "Mit Klick auf Zustimmen willigen Sie ein, dass Cookies gesetzt werden.",
            "Einstellungen",
        ],
        ["Utilizziamo i cookie per migliorare la tua esperienza e mostrarti annunci che ti interessano davvero."],
        ["Używamy plików cookie, aby ulepszyć naszą stronę. Możesz wycofać zgodę w dowolnym momencie."],
        ["Мы используем файлы cookie, чтобы улучшить работу сайта.", "Вы можете отозвать согласие на cookie."],
        [
            "当サイトでは、利便性の向上のためにCookieを使用しています。",
            "閲覧を続けることで、クッキーの使用に同意したものとみなします。詳しくは方針をご覧ください。",
        ]
        * 2,
    ],
)
def test_cookie_walls(kept: list[str]) -> None:
    assert judge(*kept, headline="Example Herald") == {Quality.COOKIE_WALL}


def test_a_long_cookie_wall() -> None:
    notice = "We use cookies on our website and share what they tell us with those who advertise on it."
    assert judge(*[notice] * 200) == {Quality.COOKIE_WALL}


def test_a_cookie_wall_whose_notice_a_rule_dropped() -> None:
    notice = "We use cookies and similar technologies to show you advertisements and to count our visitors."
    assert judge("Accept all", "Settings", dropped=(notice,)) == {Quality.COOKIE_WALL}


@pytest.mark.parametrize(
    "kept",
    [
        ["The company said: “We use cookies to see which pages are read, and we ask for consent every time.”"],
        ["The regulator fined three websites that set cookies before visitors had agreed to them.", SENTENCE],
        ["Bakers use cookies to raise money for the school, and every child may take two of them home."],
        [SENTENCE, "We use cookies to improve your experience on our website."],
    ],
)
def test_reporting_of_cookies(kept: list[str]) -> None:
    assert judge(*kept, headline="Cookies") == set()


def test_a_brief_below_a_cookie_banner_is_no_wall() -> None:
    notice = "We use cookies and similar technologies to show you advertisements and to count our visitors."
    assert judge("The bridge closed on Monday.", dropped=(notice, notice, notice)) == set()


@pytest.mark.parametrize(
    "kept",
    [
        [SENTENCE, "Subscribe to continue reading."],
        [SENTENCE, OTHER_SENTENCE, "This article is for subscribers only.", "Already a subscriber? Log in"],
        [f"{SENTENCE} To read the full story, subscribe or sign in."],
        ["Le conseil a voté lundi la fermeture du pont.", "Il vous reste 75 % de cet article à lire."],
        ["Der Rat hat am Montag beschlossen, die Brücke zu sperren.", "Melden Sie sich an, um weiterzulesen."],
        ["El puente cierra el lunes.", "Suscríbete para seguir leyendo."],
        ["Silta suljetaan maanantaina.", "Kirjaudu sisään jatkaaksesi lukemista."],
        ["Most zamknięto w poniedziałek.", "Zaloguj się, aby czytać dalej."],
        ["Мост закрыли в понедельник.", "Подпишитесь, чтобы читать дальше."],
        ["大桥于周一关闭。", "请登录后继续阅读。"],
        ["橋は月曜日に閉鎖された。", "この記事は有料会員限定です。残り1234文字"],
        ["أغلق الجسر يوم الاثنين.", "سجل الدخول لمتابعة القراءة."],
    ],
)
def test_login_walls(kept: list[str]) -> None:
    assert judge(*kept, headline="Example Herald") == {Quality.LOGIN_WALL}


def test_a_login_wall_that_a_rule_dropped() -> None:
    assert judge(SENTENCE, dropped=("Share", "Log in to continue reading.")) == {Quality.LOGIN_WALL}


def test_links_to_log_in_that_a_rule_dropped_say_nothing() -> None:
    assert judge("The bridge closed on Monday.", dropped=("Log in", "Subscribe now", "Already a member?")) == set()


@pytest.mark.parametrize(
    "kept",
    [
        ["Readers will have to log in to continue reading from May, the publisher said.", SENTENCE],
        ["The newspaper lost a tenth of those who subscribe, and its full articles stay free to read."],
        ["Hackers stole 4 million logins.", "“Sign in to continue reading,” said the page that they had faked."],
        ["Register to vote by May to take part in the election, the commission told citizens abroad."],
    ],
)
def test_reporting_of_logins(kept: list[str]) -> None:
    assert judge(*kept, headline="Subscribers") == set()


def test_a_preview_is_short() -> None:
    wall = "Subscribe to continue reading."
    assert judge("a" * LONGEST_PREVIEW, wall) == {Quality.LOGIN_WALL}
    assert judge("a" * (LONGEST_PREVIEW + 1), wall) == set()


def test_a_chinese_character_counts_as_three() -> None:
    wall = "请登录后继续阅读。"
    assert judge("桥" * 333, wall) == {Quality.LOGIN_WALL}
    assert judge("桥" * 334, wall) == set()


# Section fronts ----------------------------------------------------------------------------------------------


def front(kept: list[str], facts: PageFacts | None) -> bool:
    return Quality.SECTION_FRONT in judge_quality("Example Herald", kept, [], facts, 0, 1_000_000)


def facts(*, stated: bool = False, headings: int = 24, share: float = 0.35) -> PageFacts:
    return PageFacts(stated_article=stated, linked_headings=headings, linked_share=share, page_characters=4_000)


TEASER = "Some 400 workers went back to the docks after both sides agreed on higher pay."


@pytest.mark.parametrize(
    "kept", [[], ["Bridge to close"] * 24, [TEASER] * 24, ["Bridge to close", TEASER] * 20, [SENTENCE]]
)
def test_section_fronts(kept: list[str]) -> None:
    assert front(kept, facts())


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        ([SENTENCE, OTHER_SENTENCE] * 5, facts()),  # an article with many related ones
        ([f"{SENTENCE} {OTHER_SENTENCE}"] * 20, facts()),
        ([TEASER], facts(stated=True)),
        ([TEASER], facts(headings=FRONT_HEADINGS - 1)),
        ([TEASER], facts(share=0.2)),
        ([TEASER] * 24, None),
    ],
)
def test_articles_are_no_fronts(kept: list[str], found: PageFacts | None) -> None:
    assert not front(kept, found)


# The file, and what a hostile text costs ---------------------------------------------------------------------


def test_patterns_take_linear_time() -> None:
    """No quantifier stands inside another one but of a few repeats, and every gap is bounded."""
    patterns = {pattern.pattern for wall in ALL for pattern in (wall.sure, wall.hint) if pattern}

    assert [text for text in patterns if nested_repeat(_parser.parse(text, re.IGNORECASE), inside=1)] == []


def nested_repeat(node: Any, *, inside: int) -> bool:
    if isinstance(node, tuple) and node and node[0] in (opcodes.MAX_REPEAT, opcodes.MIN_REPEAT):
        _, most, repeated = node[1]
        times = inside * most
        return (most > 1 and inside > 4) or nested_repeat(repeated, inside=times)
    if isinstance(node, (tuple, list, _parser.SubPattern)):
        return any(nested_repeat(part, inside=inside) for part in node)
    return False


def test_a_long_text_is_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Pattern:
        def match(self, text: str) -> None:
            seen.append(len(text))

    hostile = Pattern()
    walls = {
        quality: (Wall(quality, "en", ("a",), hostile, hostile, (), (), ()),)  # type: ignore[arg-type]
        for quality in WALLS
    }
    monkeypatch.setattr("services.cleaner.quality.WALLS", walls)
    long = "a" * 1_000_000
    judge_quality(long, [long], [long] * 3, None, 0, 1)
    judge_quality(long, ["a. " * 300_000], ["a. " * 300_000], None, 0, 1)
    judge_quality(long, ["a"], ["a" * LONGEST_WALL] * 10_000, None, 0, 1)
    assert max(seen) <= LONGEST_SENTENCE
    assert sum(seen) < 100_000


ENTRY = """
[[walls]]
quality = "login_wall"
language = "en"
words = ["log in"]
starts = ["log in to read"]
examples = ["Log in to read on."]
reporting = ["Clerks log in to read the files."]
"""


def test_reads_a_file(tmp_path: Path) -> None:
    file = tmp_path / "walls.toml"
    file.write_text(ENTRY)
    walls = read_walls(file)
    assert [wall.language for wall in walls[Quality.LOGIN_WALL]] == ["en"]
    assert walls[Quality.ERROR_PAGE] == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("walls = [", "walls.toml: "),
        ("", "walls.toml, walls: Field required"),
        (ENTRY.replace("login_wall", "too_short"), "walls.toml, walls 0 quality: "),
        (ENTRY + 'colour = "red"\n', "walls.toml, walls 0 colour: "),
        (ENTRY.replace("log in to read", "log (in"), r"walls.toml, login_wall en: missing \), .* in \(\?:log \(in"),
        (
            ENTRY.replace('"log in"', '"Log in"'),
            "walls.toml, login_wall en: the word Log in is not in small letters",
        ),
        (ENTRY.replace("Log in to read on", "Sign in"), "none of its words is in the example Sign in"),
        (ENTRY.replace('starts = ["log in to read"]', ""), "it has neither lines nor starts"),
        (ENTRY.replace('reporting = ["Clerks log in to read the files."]', ""), "walls.toml, walls 0 reporting: "),
        (ENTRY + ENTRY, "walls.toml, login_wall en: it is there twice"),
    ],
)
def test_a_broken_file_names_itself(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "walls.toml"
    file.write_text(text)
    with pytest.raises(WallFileError, match=says):
        read_walls(file)
