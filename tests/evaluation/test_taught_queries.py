import numpy as np
import pytest

from evaluation.scores import Scores
from evaluation.taught_queries import OTHERS, TAUGHT, taught_table

VALUES = {"ours": [0.9, 0.7, np.nan, 0.5], "BM25": [0.4, np.nan, np.nan, 0.2]}
SCORES = Scores({name: {"ndcg@10": np.array(column)} for name, column in VALUES.items()}, (), {})


def test_means_of_the_queries_that_taught_and_of_the_others():
    # Requests without a value are not among those that a mean counts.
    table = taught_table(SCORES, ["ours", "BM25"], np.array([True, True, False, False]))
    assert table.rows == (
        (TAUGHT, "ours", 2, pytest.approx(0.8)),
        (TAUGHT, "BM25", 1, pytest.approx(0.4)),
        (OTHERS, "ours", 1, pytest.approx(0.5)),
        (OTHERS, "BM25", 1, pytest.approx(0.2)),
    )


def test_nothing_to_find_is_no_mean():
    table = taught_table(SCORES, ["ours"], np.array([False, False, True, False]))
    assert table.rows[0] == (TAUGHT, "ours", 0, None)


@pytest.mark.parametrize("taught", [[True] * 4, [False] * 4])
def test_one_kind_alone_is_no_table(taught):
    assert taught_table(SCORES, ["ours"], np.array(taught)) is None
