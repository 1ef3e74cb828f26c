from random import Random

from hypothesis import given
from hypothesis import strategies as st

from catalog.misspelling import misspell


@given(st.text(max_size=40), st.integers())
def test_a_misspelling_changes_one_word_a_little(text: str, seed: int) -> None:
    changed = misspell(text, Random(seed))
    before, after = text.split(" "), changed.split(" ")
    assert len(before) == len(after)
    different = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(different) <= 1
    assert all(abs(len(a) - len(b)) <= 1 and a[0] == b[0] for a, b in different)


def test_short_words_stay() -> None:
    assert misspell("red bag", Random(1)) == "red bag"
    assert {misspell("shirt", Random(seed)) for seed in range(60)} >= {"shrt", "sshirt"[1:], "shhirt", "sihrt"}
