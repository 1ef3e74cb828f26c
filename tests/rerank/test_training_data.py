"""What a killed training must find as it was, to be gone on with."""

from dataclasses import replace

import numpy as np
from made_up_shop import MadeUpShop

from catalog.feature_store import FeatureStore
from rerank.lists import build_lists
from rerank.training_data import TrainingData


def test_all_that_batches_hold_tells_data_apart(made_up_shop: MadeUpShop) -> None:
    features, config = made_up_shop.features, made_up_shop.config
    part = made_up_shop.candidates["rerank"].take(np.arange(20))
    lists = build_lists(features, part, 30, 0)
    slots = {day: day for day in range(12)}

    def fingerprint(features: FeatureStore = features, day: int | None = None, **changes: np.ndarray) -> str:
        days = slots if day is None else dict.fromkeys(slots, day)
        return TrainingData(features, part, replace(lists, **changes), days, config).fingerprint()

    others = [
        fingerprint(replace(features, user_columns={"city": features.user_columns["city"][::-1]})),
        fingerprint(replace(features, interaction_kind=features.interaction_kind % 5 + np.int8(1))),
        fingerprint(replace(features, interaction_timestamp=features.interaction_timestamp - 1)),
        fingerprint(replace(features, request_timestamp=features.request_timestamp + 1)),
        fingerprint(replace(features, queries=features.queries[::-1])),
        fingerprint(day=3),
        fingerprint(click=~lists.click),
        fingerprint(position=lists.position + 1),
        fingerprint(score=lists.score + 1),
    ]
    assert len({fingerprint(), *others}) == 1 + len(others)
    assert fingerprint() == fingerprint()
