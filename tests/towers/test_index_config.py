"""Settings of the index are checked where they are built."""

import pytest
from pydantic import ValidationError

from towers.index_config import IndexConfig, IndexParameters, scann_label


def test_more_leaves_to_search_than_leaves() -> None:
    with pytest.raises(ValidationError, match="leaves_to_search = 5 must not exceed leaves = 4"):
        IndexParameters(kind="scann", leaves=4, leaves_to_search=5, reorder=10)


@pytest.mark.parametrize("target", [0, 1.01])
def test_recall_target_is_a_share(target: float) -> None:
    with pytest.raises(ValidationError):
        IndexConfig(recall_target=target)


def test_one_leaf_is_no_tree() -> None:
    assert [scann_label(leaves) for leaves in (1, 2, 1200)] == [
        "ScaNN, no tree",
        "ScaNN, 2 leaves",
        "ScaNN, 1,200 leaves",
    ]
