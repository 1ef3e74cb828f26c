import numpy as np
import pytest

from towers.config import TowersConfig
from towers.next_items import NextItems


def make_items(toy, config: TowersConfig, length: int) -> NextItems:
    short = config.model_copy(
        update={"history": config.history.model_copy(update={"length": length, "search_length": length})}
    )
    return NextItems(toy.features, np.zeros((len(toy.features.user_ids), 2), np.int32), short)


def of_the_slice(toy) -> np.ndarray:
    """[E] whether an interaction is one that the towers may see."""
    features = toy.features
    return features.day(features.interaction_timestamp) < features.slices.towers[1]


@pytest.mark.parametrize("length", [1, 3, 500])
def test_long_users_are_cut_and_nobody_is_left_out(toy, config: TowersConfig, length: int) -> None:
    items = make_items(toy, config, length)
    windows = items.windows(np.random.default_rng(0))
    assert (windows[:, 1] - windows[:, 0]).max() <= length
    covered = np.concatenate([np.arange(first, last) for first, last in windows])
    np.testing.assert_array_equal(np.sort(covered), np.flatnonzero(of_the_slice(toy)))
    assert (toy.features.interaction_user[windows[:, 0]] == toy.features.interaction_user[windows[:, 1] - 1]).all()
    # Cut at a random place, a long user may take one window more.
    assert items.window_count <= len(windows) <= items.window_count + len(toy.features.user_ids)


def test_what_comes_later_is_no_target(toy, config: TowersConfig) -> None:
    items, inside = make_items(toy, config, 8), of_the_slice(toy)
    assert not inside.all()
    assert not items.weight[~inside].any()
    assert len(items.targets) == (items.weight > 0).sum() > 0
    first = toy.features.user_start[:-1]
    assert (items.weight[first[inside[first]]] > 0).all()  # the first event, which nothing came before


def test_none_are_drawn_where_none_are_asked_for(toy, config: TowersConfig) -> None:
    batch, products, days, weights = make_items(toy, config, 8).draw(
        np.zeros((0, 2), np.int64), 0, np.random.default_rng(0)
    )
    assert batch["sequence_rows"].shape == (0, 8)
    assert batch["item_profile"].shape == (0, 2)
    assert len(products) == len(days) == len(weights) == 0
