"""Features of hand-made products for hand-made requests, but those of text."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hand_made_products import ABSENT, HISTORY, SLICES, TITLES, build_extractor, column, no_searches, request
from made_up_shop import DAY0, make_products, make_shop, train_tokenizer

from catalog.schema import KIND_WEIGHTS, KINDS
from rerank.associations import fit_associations
from rerank.config import RerankConfig
from rerank.features import FeatureExtractor, retrieval_ranks
from rerank.product_tables import CATEGORY_KEYS, behaviour_table, build_tables, choose_keys, first_value


def test_counters_come_from_the_day_of_the_request(extractor: FeatureExtractor) -> None:
    assert column(extractor, "behaviour:log_click_all", request()) == [0] * 6
    expected = round(float(np.log(8)), 4)
    later = request(day_slot=np.array([1], np.int32))
    assert column(extractor, "behaviour:log_click_all", later) == [expected] * 5 + [0]


def history(rows: list[int], kinds: list[str], hours: list[int]) -> dict[str, Any]:
    padding = HISTORY - len(rows)
    return {
        "history_row": np.array([[ABSENT] * padding + rows], np.int32),
        "history_kind": np.array([[0] * padding + [KINDS.index(kind) + 1 for kind in kinds]], np.int32),
        "history_timestamp": np.array([[0] * padding + [DAY0 - 3600 * hour for hour in hours]], np.int64),
    }


def test_history_features(extractor: FeatureExtractor) -> None:
    inputs = request(**history([0, 2], ["purchase", "click"], [3, 1]))
    # Weights: purchase 5 x 0.5, click 1 x 1; of 3.5.
    shirts, heels = 2.5 / 3.5, 1 / 3.5
    expected = [round(value, 4) for value in (shirts, shirts, heels, 0, 0, 0)]
    assert column(extractor, "person:same_category_leaf", inputs) == expected
    assert column(extractor, "person:cosine_max", inputs) == [1, 0, 1, 0, 0, 0]
    assert column(extractor, "person:cosine_mean", inputs)[:3] == [round(shirts, 4), 0, round(heels, 4)]
    assert column(extractor, "person:cosine_last", inputs) == [0, 0, 1, 0, 0, 0]
    assert column(extractor, "person:bought", inputs) == [1, 0, 0, 0, 0, 0]
    assert column(extractor, "person:seen", inputs) == [1, 0, 1, 0, 0, 0]
    assert column(extractor, "person:hours_since_seen", inputs)[0] == round(float(np.log(4)), 4)
    mean = (2.5 * np.log(11) + np.log(41)) / 3.5
    gap = column(extractor, "person:price_gap", inputs)
    assert gap[1] == round(float(np.log(21) - mean), 4)
    assert gap[3] == 0
    assert column(extractor, "person:price_comparable", inputs) == [1, 1, 1, 0, 1, 0]


def test_events_of_a_history_weigh_what_the_shops_kinds_do(tmp_path: Path) -> None:
    weights = {**KIND_WEIGHTS, "click": 4.0, "purchase": 8.0, "view": 0.0}
    extractor = build_extractor(tmp_path, weights)
    inputs = request(**history([0, 2, 3], ["purchase", "click", "view"], [3, 2, 1]))
    # With halves of age: purchase 8 x 0.25, click 4 x 0.5, view nothing; of 4. A view was seen all the same.
    assert column(extractor, "person:same_category_leaf", inputs) == [0.5, 0.5, 0.5, 0, 0, 0]
    assert column(extractor, "person:seen", inputs) == [1, 0, 1, 1, 0, 0]
    # Lasting weights are 8/12 and 4/12: of the first's picture (1, 0) and the third's (0.6, 0.8).
    assert column(extractor, "picture:cosine_lasting", inputs)[0] == round((8 + 4 * 0.6) / 12, 4)


def test_picture_features(extractor: FeatureExtractor) -> None:
    inputs = request(**history([0, 2], ["purchase", "click"], [3, 1]))
    assert column(extractor, "picture:cosine_max", inputs) == [1, 0.8, 1, 0, -0.6, 0]
    # Recent weights as above; lasting ones are 5/6 and 1/6.
    assert column(extractor, "picture:cosine_mean", inputs)[1] == round(0.8 / 3.5, 4)
    assert column(extractor, "picture:cosine_last", inputs) == [0.6, 0.8, 1, 0, -0.6, 0]
    assert column(extractor, "picture:cosine_lasting", inputs)[:2] == [round(5.6 / 6, 4), round(0.8 / 6, 4)]
    assert column(extractor, "picture:taste_0", inputs)[4] == round(-5.6 / 6, 4)
    # Both shirts are of the first item's kind, the heels of the second's, and nothing else is.
    assert column(extractor, "picture:kind_max", inputs) == [1, 0, 1, 0, 0, 0]
    assert column(extractor, "picture:kind_mean", inputs) == [1, 0, 1, 0, 0, 0]
    assert column(extractor, "picture:kind_share", inputs)[:3] == [round(w / 3.5, 4) for w in (2.5, 2.5, 1)]


def test_a_history_without_pictures_says_nothing_of_looks(extractor: FeatureExtractor) -> None:
    inputs = request(**history([3], ["click"], [1]))
    names = [name for name in extractor.names if name.startswith("picture:")]
    assert len(names) == 9
    assert not any(any(column(extractor, name, inputs)) for name in names)


def test_without_history_person_and_picture_features_are_zero(extractor: FeatureExtractor) -> None:
    numeric = extractor(request("red")).numeric.numpy()
    person = [place for place, name in enumerate(extractor.names) if name.startswith(("person:", "picture:"))]
    assert not numeric[..., person].any()


def test_history_items_that_are_gone_count_as_absent(extractor: FeatureExtractor) -> None:
    gone = request(**history([ABSENT, 2], ["click", "click"], [2, 1]))
    kept = request(**history([2], ["click"], [1]))
    np.testing.assert_array_equal(extractor(gone).numeric, extractor(kept).numeric)


def test_padding_the_candidates_changes_nothing(extractor: FeatureExtractor) -> None:
    short = request(
        "red heels", candidate_row=np.array([[2, 0]], np.int32), candidate_score=np.zeros((1, 2), np.float32)
    )
    short["candidate_rank"] = tf.zeros([1, 2])
    long = request("red heels", candidate_row=np.array([[2, 0, ABSENT, -1]], np.int32))
    long["candidate_score"] = long["candidate_rank"] = tf.zeros([1, 4])
    features = extractor(long)
    np.testing.assert_array_equal(features.numeric[:, :2], extractor(short).numeric)
    assert not features.numeric[:, 2:].numpy().any()
    assert features.present.numpy().tolist() == [[True, True, False, False]]


def test_traced_once_features_follow_the_width_of_lists_and_other_embeddings(
    extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = extractor.embeddings.numpy()
    monkeypatch.setattr(extractor, "_traced", None)
    for width, embeddings in ((6, kept[:-1]), (2, kept[:-1]), (6, kept[:-1][::-1].copy())):
        extractor.set_embeddings(embeddings)
        inputs = {
            name: tf.constant(value[:, :width] if name.startswith("candidate_") else value)
            for name, value in request("red shirt").items()
        }
        for found, expected in zip(extractor.traced(inputs), extractor(inputs), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    extractor.set_embeddings(kept[:-1])
    assert extractor._traced.experimental_get_tracing_count() == 1


def test_ranks_count_better_candidates_among_those_present() -> None:
    score, present = tf.constant([[0.5, 0.9, 0.5, 2.0]]), tf.constant([[True, True, True, False]])
    rank, best = retrieval_ranks(score, present)
    assert rank[0, :3].numpy().tolist() == [1, 0, 1]
    assert best.numpy() == pytest.approx([0.9])
    assert retrieval_ranks(score, tf.zeros_like(present))[1].numpy().tolist() == [0]


def test_first_value() -> None:
    assert [first_value(value) for value in (None, [], ["a", "b"], 3, {"x": 1}, " red ")] == [
        "",
        "",
        "a",
        "3",
        "",
        "red",
    ]


def test_how_rare_a_word_is_does_not_depend_on_later_launches(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(tmp_path / "model", TITLES * 3, 60)
    config = RerankConfig().lexical

    def tables(titles: list[str], launched: list[int]) -> Any:
        features = SimpleNamespace(launched=np.array(launched, np.int32), slices=SLICES)
        return build_tables(make_shop(make_products(titles, {})), features, tokenizer, CATEGORY_KEYS, config)  # type: ignore[arg-type]

    before = tables(["Red Shirt", "Blue Shirt"], [0, 1])
    after = tables(["Red Shirt", "Blue Shirt", "Red Shirt"], [0, 1, 2])
    np.testing.assert_array_equal(after.word_idf, before.word_idf)
    np.testing.assert_array_equal(after.token_idf, before.token_idf)
    assert after.tokens[2].any()  # it is read all the same
    assert tables(["Red Shirt", "Blue Shirt", "Red Shirt"], [0, 1, 1]).word_idf.sum() != before.word_idf.sum()


def test_catalogue_without_any_text(tmp_path: Path) -> None:
    shop = make_shop(make_products(["?", "!"], {}))
    features = SimpleNamespace(
        launched=np.zeros(2, np.int32), slices=SLICES, snapshots=np.zeros((1, 2, 0), np.float32), snapshot_features=()
    )
    tokenizer = train_tokenizer(tmp_path / "model", TITLES * 3, 60)
    config = RerankConfig(history_length=HISTORY)
    keys = choose_keys(shop, config.lexical)
    tables = build_tables(shop, features, tokenizer, keys, config.lexical)  # type: ignore[arg-type]
    behaviour = behaviour_table(tables, features, [0])  # type: ignore[arg-type]
    none = np.zeros((3, 0), np.float32)
    associations = fit_associations(no_searches(), tables, config.lexical)
    embeddings = np.eye(2, 6, dtype=np.float32)
    weights = [0.0] * len(KINDS)
    empty = FeatureExtractor(tables, behaviour, (), embeddings, none, associations, tokenizer, config, weights)
    inputs = request("red")
    inputs["candidate_row"] = tf.constant([[0, 1, 2, 2, 2, 2]])
    assert np.isfinite(empty(inputs).numeric.numpy()).all()
