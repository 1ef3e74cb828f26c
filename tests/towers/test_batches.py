from collections.abc import Callable

import numpy as np
import pytest

from towers.batches import Batches
from towers.config import TowersConfig
from towers.tables import make_tables, make_vocabulary
from towers.text import Tokenizer, train_tokenizer


def make_batches(toy, config: TowersConfig) -> Batches:
    tokenizer = Tokenizer(train_tokenizer(toy.shop.products["title"].to_pylist(), 400))
    vocabulary = make_vocabulary(toy.shop, toy.features, toy.images_dir, tokenizer, config)
    tables = make_tables(toy.shop, toy.features, toy.images_dir, tokenizer, vocabulary)
    profile = np.zeros((len(toy.features.user_ids), 1), np.int32)
    return Batches(toy.shop, toy.features, tables, tokenizer, profile, config)


def with_training(config: TowersConfig, **changes: object) -> TowersConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


@pytest.fixture(scope="module")
def batches(toy, config: TowersConfig) -> Batches:
    return make_batches(toy, config)


@pytest.fixture(scope="module")
def epoch(batches: Batches) -> list:
    return list(batches.epoch(0))


def test_every_batch_has_one_shape_and_holds_numbers(batches: Batches, epoch: list) -> None:
    sizes = batches.sizes
    assert len(epoch) == batches.steps
    shapes = [{name: (values.shape, values.dtype) for name, values in batch.items()} for batch in epoch]
    assert all(shape == shapes[0] for shape in shapes)
    assert shapes[0]["product"] == ((sizes.queries + sizes.negatives,), np.int32)
    assert shapes[0]["weight"] == ((sizes.queries,), np.float32)
    floats = [name for name, values in epoch[0].items() if values.dtype.kind == "f"]
    assert floats == ["weight"]


def test_an_epoch_is_a_pass_unless_that_is_short_or_it_is_configured(
    toy, config: TowersConfig, batches: Batches
) -> None:
    assert batches.pass_steps < 40 == batches.steps
    by_ones = make_batches(toy, with_training(config, search_examples=1))
    assert by_ones.steps == by_ones.pass_steps == len(by_ones.searches) > 40
    assert make_batches(toy, with_training(config, steps_per_epoch=7)).steps == 7


def test_nothing_of_a_later_slice_is_seen(toy, batches: Batches, epoch: list) -> None:
    features = toy.features
    end = features.slices.towers[1]
    stop = features.day0 + end * 86_400
    assert features.interaction_timestamp.max() >= stop  # there is something to be seen
    for batch in epoch:
        for name in ("search_timestamps", "search_timestamp", "sequence_timestamps", "item_timestamp"):
            assert batch[name].max(initial=0) < stop
        assert batch["day"].max() < end
        assert (features.launched[batch["product"]] < end).all()
        assert batch["day"].min() >= 0


def test_an_epoch_shows_every_search_and_the_event_before_it_at_most(toy, batches: Batches, epoch: list) -> None:
    features = toy.features
    stamps = np.concatenate([batch["search_timestamp"] for batch in epoch])
    assert set(features.example_timestamp[batches.searches]) <= set(stamps)
    for batch in epoch:
        assert (batch["search_timestamps"] < batch["search_timestamp"][:, None]).all()


def test_a_slot_holds_the_event_before_the_target(toy, batches: Batches, epoch: list) -> None:
    features, sizes = toy.features, batches.sizes
    checked = first_events = 0
    for batch in epoch:
        rows, stamps = batch["sequence_rows"].ravel(), batch["sequence_timestamps"].ravel()
        targets = batch["product"][sizes.search : sizes.search + sizes.next_items]
        weights = batch["weight"][sizes.search : sizes.search + sizes.next_items]
        for slot, stamp, target, weight in zip(
            batch["item_slot"], batch["item_timestamp"], targets, weights, strict=True
        ):
            if weight == 0:
                continue
            at = np.flatnonzero((features.interaction_timestamp == stamp) & (features.interaction_product == target))
            before = [i - 1 for i in at if i > features.user_start[features.interaction_user[i]]]
            if slot < 0:
                first_events += len(before) < len(at)
                continue
            assert any(
                features.interaction_product[i] == rows[slot] and features.interaction_timestamp[i] == stamps[slot]
                for i in before
            )
            checked += 1
    assert checked > 50
    assert first_events > 0


def test_the_same_epoch_is_the_same_again_and_another_is_another(batches: Batches, epoch: list) -> None:
    again, other, replica = next(batches.epoch(0)), next(batches.epoch(1)), next(batches.epoch(0, replica=1))
    assert all((again[name] == epoch[0][name]).all() for name in again)
    assert (other["product"] != epoch[0]["product"]).any()
    assert (replica["product"] != epoch[0]["product"]).any()


def test_probabilities_are_those_of_the_draws(batches: Batches) -> None:
    assert batches.probabilities.max() == 1.0
    expected = batches.probabilities / batches.probabilities.sum()
    drawn = np.concatenate([batch["product"] for epoch in range(40) for batch in batches.epoch(epoch)])
    shares = np.bincount(drawn, minlength=len(batches.probabilities)) / len(drawn)
    assert np.abs(shares - expected).max() < 0.01
    assert np.corrcoef(shares, expected)[0, 1] > 0.97


def test_a_shop_without_searches_or_without_histories(make_toy: Callable, config: TowersConfig) -> None:
    batches = make_batches(make_toy(searches=False), config)
    assert batches.sizes.search == batches.sizes.hard == 0
    assert next(batches.epoch(0))["search_tokens"].shape == (0, 8)
    nobody = make_batches(make_toy(users=12), with_training(config, search_examples=0, next_items=0))
    batch = next(nobody.epoch(0))
    assert batch["sequence_rows"].shape == (0, 8)
    assert len(batch["weight"]) == config.training.catalogue_queries


def test_pictures_are_asked_with_now_and_then(toy, config: TowersConfig) -> None:
    batches = make_batches(toy, with_training(config, picture_query_share=1.0))
    pictures = np.concatenate([batch["catalogue_picture"] for batch in batches.epoch(0)])
    tokens = np.concatenate([batch["catalogue_tokens"] for batch in batches.epoch(0)])
    shown = pictures < len(toy.shop.images)
    assert 0.5 < shown.mean() < 1.0  # four fifths of the toy's products have one
    alone = (tokens[shown] == 0).all(axis=1).mean()
    assert 0.3 < alone < 0.7
    assert (tokens[~shown] > 0).any(axis=1).all()


def test_the_first_epochs_may_learn_from_the_catalogue_alone(toy, config: TowersConfig) -> None:
    batches = make_batches(toy, with_training(config, catalogue_epochs=1))
    of_log = batches.sizes.search + batches.sizes.next_items
    first, second = next(batches.epoch(0)), next(batches.epoch(1))
    assert (first["weight"][:of_log] == 0).all()
    assert (first["weight"][of_log:] == 1).all()
    assert (second["weight"][:of_log] > 0).any()
    without = make_batches(toy, with_training(config, catalogue_epochs=1, catalogue_queries=0))
    assert (next(without.epoch(0))["weight"] > 0).any()


def test_hard_negatives_are_those_of_the_batch_s_searches(toy, config: TowersConfig) -> None:
    batches = make_batches(toy, with_training(config, hard_negatives=12, mixed_negatives=0))
    assert len(next(batches.epoch(0))["product"]) == batches.sizes.queries + 12
    batches.hard_negatives = np.full((len(batches.searches), 4), batches.launched[3], np.int32)
    batch = next(batches.epoch(0))
    assert (batch["product"][batches.sizes.queries :] == batches.launched[3]).all()
