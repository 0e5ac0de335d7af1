import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st

from aionorth import AppNotAuthorizedError, ArgumentError, NorthError
from aionorth.common.arguments import Message, argument, renamed, shown_marked


def error() -> NorthError:
    return ArgumentError(f"{argument('Owner.calls')}=0: give more, or leave {argument('burst')} out")


def test_people_of_python_read_the_names_of_python() -> None:
    for one in (error(), copy.copy(error()), pickle.loads(pickle.dumps(error()))):
        assert str(one) == one.args[0] == one.to_dict()["message"] == "Owner.calls=0: give more, or leave burst out"
        assert repr(one) == "ArgumentError('Owner.calls=0: give more, or leave burst out')"
        assert renamed(one.marked, lambda name, _: f"--{name}") == "--Owner.calls 0: give more, or leave --burst out"
    assert AppNotAuthorizedError.remedy.startswith("Leave authorized_app_id out")


@given(st.text())
def test_a_text_that_names_nothing_stays_as_it_is(text: str) -> None:
    if text.isprintable():
        assert Message(text) == text == renamed(text, lambda name, _: f"--{name}")


def test_only_what_is_marked_gets_another_name() -> None:
    text = Message(f"{argument('calls')}={'calls=True'!r}: leave {argument('other')}=False out")
    assert (
        renamed(text, lambda name, _: {"calls": "--calls"}.get(name)) == "--calls 'calls=True': leave other=False out"
    )


def test_what_is_written_down_keeps_its_marks_and_nothing_else_that_cannot_be_seen() -> None:
    text = Message(f"no\x1b[2J\n{argument('ca_file')}: give one")
    assert renamed(shown_marked(shown_marked(text)), lambda name, _: f"--{name}") == r"no\x1b[2J --ca_file: give one"


def test_a_mark_that_was_cut_off_does_not_show() -> None:
    for length in range(990, 1003):
        cut = renamed(shown_marked(f"{'x' * length}{argument('ca_file')}"), lambda name, _: f"--{name}")
        assert cut.isprintable()
