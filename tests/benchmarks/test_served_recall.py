"""The questions of the recall benchmark, and recall itself."""

import pytest

from benchmarks.served_recall import crossed, recall

SAMPLES = [{"query": query, "history_product_id": [query]} for query in "abc"]


def test_samples_are_asked_first_and_then_crossed() -> None:
    asked = crossed(SAMPLES, 5)
    assert asked[:3] == SAMPLES
    assert [(one["query"], one["history_product_id"][0]) for one in asked[3:]] == [("a", "b"), ("b", "c")]


def test_no_question_comes_twice() -> None:
    assert len({str(one) for one in crossed(SAMPLES, 9)}) == 9  # 3 queries x 3 histories
    with pytest.raises(ValueError, match="make 9 different questions; 10 are wanted"):
        crossed(SAMPLES, 10)


def test_recall_counts_products_of_the_first_k() -> None:
    # of the first three, b and c are found; "" is no product
    assert recall([b"b", b"x", b"c", b"a"], [b"a", b"b", b"c", b"d"], 3) == pytest.approx(2 / 3)
    assert recall([b"a", b""], [b"a", b""], 2) == 1.0


def test_exact_search_without_a_product_is_an_error() -> None:
    with pytest.raises(ValueError, match="no product"):
        recall([b"a"], [b""], 1)
