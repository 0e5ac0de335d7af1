from hypothesis import given
from hypothesis import strategies as st

from aionorth.bulk.seen import SeenIds


@given(st.lists(st.text(max_size=4), max_size=300))
def test_it_agrees_with_a_set(ids: list[str]) -> None:
    seen, known = SeenIds(), set[str]()
    for id_ in ids:
        assert seen.add(id_) == (id_ not in known)
        known.add(id_)


def test_a_hundred_thousand_ids_are_told_apart() -> None:
    seen = SeenIds()
    assert all(seen.add(f"subscription-{n}") for n in range(100_000))
    assert not any(seen.add(f"subscription-{n}") for n in range(0, 100_000, 7))


def test_ids_that_cannot_be_encoded_are_told_apart_too() -> None:
    seen = SeenIds()
    assert seen.add("\ud800")
    assert seen.add("\ud801")
    assert not seen.add("\ud800")
