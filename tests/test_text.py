from hypothesis import given
from hypothesis import strategies as st

from aionorth.text import LONGEST_SHOWN, shown, visible, visible_lines, without_userinfo


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


def test_a_long_text_is_cut() -> None:
    assert shown("a" * 8_000_000) == "a" * (LONGEST_SHOWN - 1) + "…"
    assert len(shown("\n" * LONGEST_SHOWN)) == LONGEST_SHOWN


def test_credentials_of_urls_are_left_out() -> None:
    assert (
        without_userinfo("at http://me:pass@word@proxy:1/x, and https://a/b@c")
        == "at http://proxy:1/x, and https://a/b@c"
    )
