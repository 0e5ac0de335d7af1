import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionorth.common.text import HIDDEN, LONGEST_SHOWN, hidden, shown, visible, visible_lines, without_userinfo


@given(st.text(st.characters()))
def test_whatever_is_shown_is_printable_and_bounded(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= LONGEST_SHOWN
    assert shown(shown(text)) == shown(text)
    assert all(line.isprintable() for line in visible_lines(text).split("\n"))


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert visible("no.\naionorth: all is well\x1b[2J\x00\u202e\ud800") == (
        r"no.\naionorth: all is well\x1b[2J\x00\u202e\ud800"
    )
    assert visible("schön 你好") == "schön 你好"


def test_prose_is_shown_in_one_line() -> None:
    assert shown("no.\r\n\taionorth: all is well\x1b[2J") == r"no. aionorth: all is well\x1b[2J"


def test_a_long_text_is_cut() -> None:
    assert shown("a" * 8_000_000) == "a" * (LONGEST_SHOWN - 1) + "…"
    assert len(shown("\x00" * LONGEST_SHOWN)) == LONGEST_SHOWN


def test_credentials_of_urls_are_left_out() -> None:
    assert (
        without_userinfo("at http://me:pass@word@proxy:1/x, and https://a/b@c")
        == "at http://proxy:1/x, and https://a/b@c"
    )


# --- Secrets that are echoed

SECRET = "pä/ss+w'or\"d <1>"

WRAPPINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "percent in lower case": lambda text: quote(text, safe="").replace("%C3%A4", "%c3%a4").replace("%2F", "%2f"),
    "percent in part": quote,
    "form": quote_plus,
    "html": html.escape,
    "html in numbers": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "html in hex": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "json": lambda text: json.dumps({"secret": text}),
    "json as it is": lambda text: json.dumps({"secret": text}, ensure_ascii=False),
    "repr": repr,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "basic": lambda text: "Basic " + base64.b64encode(f"my-app:{text}".encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(f"{'x' * 70}{text}{'y' * 70}".encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "upper case": str.upper,
}


BINARY = {"base64", "base64 for urls", "basic", "base64 in lines", "hex"}


@pytest.mark.parametrize("inner", WRAPPINGS)
def test_a_secret_is_hidden_in_whatever_guise(inner: str) -> None:
    for outer, wrap in WRAPPINGS.items():
        if (inner in BINARY and outer in BINARY) or outer == "upper case":
            continue  # nobody writes base64 in base64, or in other letters
        echo = wrap(WRAPPINGS[inner](SECRET))
        told = hidden(f"you sent {echo}, which is wrong", ["another", SECRET])
        assert HIDDEN in told, outer
        assert echo not in told, outer


words = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=6)


@given(words, st.sampled_from(sorted(set(WRAPPINGS) - {"upper case"})), st.text(), st.text())
def test_no_secret_is_left_whatever_is_around_it(secret: str, wrapping: str, before: str, after: str) -> None:
    echo = WRAPPINGS[wrapping](secret)
    assert echo not in hidden(f"{before} {echo} {after}", [secret])


def test_the_beginning_of_a_long_text_is_kept_though_secrets_follow() -> None:
    told = hidden("no " * 2000 + "s3cret", ["s3cret"])
    assert "no " * 1000 in told
    assert "s3cret" not in told


def test_what_holds_no_secret_stays_as_it_is() -> None:
    text = 'AppId or secret is not right: {"appId": "a%20b", "sum": "aGVsbG8gd29ybGQ="} &amp; &lt;b&gt; deadbeef'
    assert hidden(text, ["s3cret", "t0ken"]) == text
    assert hidden(text, []) == text
    assert hidden("a s3cret, the s3cret", ["s3cret", "t0ken"]) == f"a {HIDDEN}, the {HIDDEN}"


@pytest.mark.parametrize("length", [20, 300, 5000, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("wrapping", ["as it is", "base64", "percent", "hex", "html in hex"])
def test_no_part_of_a_secret_is_left_where_a_long_text_is_cut(wrapping: str, length: int) -> None:
    secret = "".join(f"S3cr/{number}" for number in range(length))[:length]
    echo = WRAPPINGS[wrapping](secret)
    for before in (0, 990, 3990, 4000 - length // 2):
        for times in (1, 40):
            told = hidden("x" * max(0, before) + f" {echo}" * times + " end", [secret])
            assert "S3cr" not in told
            assert echo[:12] not in told
