import numpy as np
import pytest
import tensorflow as tf

from towers.config import TowersConfig
from towers.sequence_towers import SequenceTowers

CONFIG = TowersConfig.model_validate({"dim": 8, "history": {"length": 4, "blocks": 1, "heads": 2, "dropout": 0.0}})


def test_products_are_ids_plus_the_scaled_sum_of_their_attributes() -> None:
    towers = SequenceTowers(CONFIG, 3, [(0,), (), (0, 1)], 2)
    alone = SequenceTowers(CONFIG, 3)
    alone.identity.set_weights(towers.identity.get_weights())
    table = np.asarray(towers.attributes.table.embeddings)
    added = towers.products() - alone.products()
    np.testing.assert_allclose(added, [table[0], np.zeros(8), table.sum(axis=0) / 2**0.5], atol=1e-6)


def test_padding_and_the_future_change_nothing() -> None:
    towers = SequenceTowers(CONFIG, 5)
    products = towers.products()
    short = towers.queries(products, tf.constant([[1, 2]]))
    np.testing.assert_allclose(towers.queries(products, tf.constant([[-1, -1, 1, 2]]))[:, 2:], short, atol=1e-5)
    np.testing.assert_allclose(towers.queries(products, tf.constant([[1, 2, 4]]))[:, :2], short, atol=1e-5)


@pytest.mark.parametrize("off", ["gaps", "kinds"])
def test_what_histories_need_not_read_has_no_weights(off: str) -> None:
    settings = CONFIG.model_copy(update={"history": CONFIG.history.model_copy(update={off: False})})
    dropped = {"gaps": 2, "kinds": 1}[off]  # gap and since; kind
    assert len(SequenceTowers(settings, 3).weights) == len(SequenceTowers(CONFIG, 3).weights) - dropped


def test_the_towers_never_run_as_one() -> None:
    with pytest.raises(NotImplementedError, match="`products` or `queries`"):
        SequenceTowers(CONFIG, 3).call(None)
