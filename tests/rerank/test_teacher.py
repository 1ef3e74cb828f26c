"""Trees that are grown on training pages, for the network to follow."""

import numpy as np
import pytest
from made_up_shop import MadeUpShop

from evaluation.metrics import ndcg_at
from rerank.slices import Slice, with_features
from rerank.teacher import shuffled, teach
from rerank.train import Prepared, prepare


@pytest.fixture(scope="module")
def ready(made_up_shop: MadeUpShop) -> Prepared:
    shop = made_up_shop
    return prepare(shop.shop, shop.features, shop.tokenizer, shop.pictures, list(shop.candidates.values()), shop.config)


def training(shop: MadeUpShop, ready: Prepared, requests: int) -> Slice:
    return ready.lists(shop.candidates["rerank"].take(np.arange(requests)), 30)


def test_the_trees_order_is_nearer_the_truth_than_retrievals(made_up_shop: MadeUpShop, ready: Prepared) -> None:
    part = with_features(training(made_up_shop, ready, 250), ready.extractor, 1.0)
    score = teach(part, ready.extractor, ready.config)
    assert score is not None
    lists = part.data.lists
    truth = np.append(made_up_shop.appeal, np.zeros((len(made_up_shop.appeal), 1)), 1)
    truth = np.take_along_axis(truth[part.candidates.request], lists.row, 1)
    unseen = ~lists.shown & (truth > 0)

    def ndcg(score: np.ndarray) -> float:
        # Of the products that no page showed, which the trees did not see either.
        ranked = np.take_along_axis(truth * unseen, np.argsort(np.where(unseen, -score, np.inf), axis=1), axis=1)
        return float(np.nanmean(ndcg_at(ranked, -np.sort(-truth * unseen, axis=1), 10)))

    assert ndcg(score) > ndcg(lists.score) + 0.1


def test_a_log_with_few_clicks_grows_no_trees(made_up_shop: MadeUpShop, ready: Prepared) -> None:
    assert teach(training(made_up_shop, ready, 5), ready.extractor, ready.config) is None


def test_stored_features_teach_the_same(made_up_shop: MadeUpShop, ready: Prepared) -> None:
    part = training(made_up_shop, ready, 100)
    stored = with_features(part, ready.extractor, 1.0)
    computed, kept = (teach(some, ready.extractor, ready.config) for some in (part, stored))
    np.testing.assert_allclose(kept, computed, atol=1e-5)


def test_trees_learn_from_the_heads_that_the_network_does(made_up_shop: MadeUpShop, ready: Prepared) -> None:
    lists = training(made_up_shop, ready, 20).data.lists
    worth = {"cart_weight": 3.0, "purchase_weight": 5.0}
    gains = {
        heads: shuffled(lists, ready.config.model_copy(update={"heads": heads, **worth}))[2]
        for heads in ("conditional", "independent", "click", "cart", "purchase")
    }
    assert lists.click.sum() > lists.cart.sum() > lists.purchase.sum() > 0
    np.testing.assert_array_equal(gains["click"], lists.click)
    np.testing.assert_array_equal(gains["cart"], 3 * lists.cart)
    np.testing.assert_array_equal(gains["purchase"], 5 * lists.purchase)
    every = lists.click + 3 * lists.cart + 5 * lists.purchase
    np.testing.assert_array_equal(gains["conditional"], every)
    np.testing.assert_array_equal(gains["independent"], every)
