"""The signatures' graphs, with stand-ins for towers and index whose answers are obvious."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.composition import (
    ABSENT_SCORE,
    MAX_QUERY_BYTES,
    Catalogue,
    Composition,
    first_places,
    request_specs,
    rerank_specs,
)

PRODUCTS = ["a", "b", "红"]
SNAPSHOT = 1_700_000_000


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(PRODUCTS, tmp_path / "products.txt", SNAPSHOT)


def request(history: list[str], kinds: list[str], timestamp: int = 0) -> dict[str, tf.Tensor]:
    return {
        "query": tf.constant(["shirt"]),
        "history_product_id": tf.constant([history]),
        "history_kind": tf.constant([kinds]),
        "history_timestamp": tf.constant([[5] * len(history)], tf.int64),
        "timestamp": tf.constant([timestamp], tf.int64),
    }


class CountingIndex:
    """Answers rows 2, 1, 0 and then padding, with falling scores."""

    def search(self, queries: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        rows = [2, 1, 0] + [-1] * (k - 3)
        batch = tf.shape(queries)[0]
        scores = tf.range(k, 0, -1, dtype=tf.float32)
        return tf.tile(tf.constant([rows]), [batch, 1]), tf.tile(scores[None], [batch, 1])


class RowReranker:
    """Prefers the smallest row; the absent row 3 comes last."""

    def __call__(self, candidate_row: tf.Tensor, **_: object) -> dict[str, tf.Tensor]:
        return self._outputs(-tf.cast(candidate_row, tf.float32))

    def best(self, count: int, candidate_row: tf.Tensor, **_: object) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        score, order = tf.math.top_k(-tf.cast(candidate_row, tf.float32), k=count)
        return self._outputs(score), order

    def _outputs(self, score: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict.fromkeys(("score", "click_probability", "cart_probability", "purchase_probability"), score)


def composition(catalogue: Catalogue, groups: np.ndarray | None = None) -> Composition:
    def encode(query: tf.Tensor, **_: object) -> tf.Tensor:
        return tf.ones([tf.shape(query)[0], 2])

    return Composition(catalogue, encode, CountingIndex(), RowReranker(), candidates=5, results=4, title_groups=groups)


def test_ids_and_rows(catalogue: Catalogue) -> None:
    assert catalogue.rows(tf.constant(["红", "gone", "", "a"])).numpy().tolist() == [2, 3, 3, 0]
    assert [item.decode() for item in catalogue.ids(tf.constant([2, 0, 3, -1])).numpy()] == ["红", "a", "", ""]


def test_history_items_that_are_gone_count_as_absent(catalogue: Catalogue) -> None:
    # KINDS is impression, view, click, ...: click is 3 when counted from 1; "b" comes with a kind nobody knows.
    read = catalogue.request(request(["", "gone", "b", "a"], ["", "click", "sniff", "click"]))
    assert read["history_row"].numpy().tolist() == [[3, 3, 3, 0]]
    assert read["history_kind"].numpy().tolist() == [[0, 0, 0, 3]]
    assert read["history_timestamp"].numpy().tolist() == [[0, 0, 0, 5]]


def test_what_was_only_shown_is_no_history(catalogue: Catalogue) -> None:
    read = catalogue.request(request(["a", "b"], ["impression", "view"]))
    assert read["history_row"].numpy().tolist() == [[3, 1]]
    assert read["history_kind"].numpy().tolist() == [[0, 2]]


def test_histories_close_up_wherever_items_are_gone(catalogue: Catalogue) -> None:
    """The towers and the reranker read the same places: the last one is the latest event."""
    holes = request(["a", "gone", "b", "", "红", "gone"], ["click", "view", "view", "", "cart", "view"])
    holes["history_timestamp"] = tf.constant([[1, 2, 3, 0, 5, 6]], tf.int64)
    read = catalogue.request(holes)
    assert read["history_row"].numpy().tolist() == [[3, 3, 3, 0, 1, 2]]
    assert read["history_kind"].numpy().tolist() == [[0, 0, 0, 3, 2, 4]]
    assert read["history_timestamp"].numpy().tolist() == [[0, 0, 0, 1, 3, 5]]


def test_a_query_of_spaces_is_none(catalogue: Catalogue) -> None:
    seen: list[str] = []

    def encode(query: tf.Tensor, **_: object) -> tf.Tensor:
        seen.append(query.numpy()[0].decode())
        return tf.ones([1, 2])

    asked = Composition(catalogue, encode, CountingIndex(), RowReranker(), candidates=5, results=4)
    for query in ("  \t ", " red shirt\n"):
        asked.query_tower(request(["a"], ["view"]) | {"query": tf.constant([query])})
    assert seen == ["", "red shirt"]


def test_a_query_embedding_of_no_numbers_is_read_as_zeros(catalogue: Catalogue) -> None:
    class Echo(RowReranker):
        def __call__(self, query_embedding: tf.Tensor, **_: object) -> dict[str, tf.Tensor]:
            return {"score": query_embedding}

    inputs = request(["a"], ["view"]) | {
        "query_embedding": tf.constant([[np.nan, 0.5, np.inf]]),
        "candidate_product_id": tf.constant([["a"]]),
        "candidate_score": tf.constant([[1.0]]),
    }
    assert Composition(catalogue, rerank=Echo()).rerank(inputs)["score"].numpy().tolist() == [[0.0, 0.5, 0.0]]


def test_timestamp_zero_is_the_snapshot(catalogue: Catalogue) -> None:
    assert catalogue.request(request(["a"], ["view"]))["timestamp"].numpy().tolist() == [SNAPSHOT]
    assert catalogue.request(request(["a"], ["view"], 42))["timestamp"].numpy().tolist() == [42]


def test_retrieval_answers_ids_best_first(catalogue: Catalogue) -> None:
    answer = composition(catalogue).retrieval(request(["a"], ["view"]))
    assert [item.decode() for item in answer["product_id"].numpy()[0]] == ["红", "b", "a", "", ""]
    assert answer["score"].numpy().tolist() == [[5, 4, 3, 2, 1]]
    assert answer["query_embedding"].shape == (1, 2)


def test_what_words_find_takes_its_place_by_its_score(catalogue: Catalogue) -> None:
    def words(
        query: tf.Tensor, embedding: tf.Tensor, rows: tf.Tensor, scores: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        assert query.numpy().tolist() == [b"shirt"]
        return tf.constant([[2, -1, 0, 1, -1]]), tf.constant([[5.0, -np.inf, 3.0, 4.5, -np.inf]])

    def encode(query: tf.Tensor, **_: object) -> tf.Tensor:
        return tf.ones([1, 2])

    graph = Composition(catalogue, encode, CountingIndex(), RowReranker(), candidates=5, results=4, words=words)
    answer = graph.retrieval(request(["a"], ["view"]) | {"query": tf.constant([" shirt "])})
    assert [item.decode() for item in answer["product_id"].numpy()[0]] == ["红", "b", "a", "", ""]
    np.testing.assert_allclose(answer["score"].numpy(), [[5, 4.5, 3, ABSENT_SCORE, ABSENT_SCORE]])
    found = graph.search(request(["a"], ["view"]) | {"query": tf.constant([" shirt "])})
    assert [item.decode() for item in found["product_id"].numpy()[0]] == ["a", "b", "红", ""]
    assert found["retrieval_score"].numpy()[0, :3].tolist() == [3, 4.5, 5]


def test_search_reorders_and_keeps_each_products_own_scores(catalogue: Catalogue) -> None:
    answer = composition(catalogue).search(request(["a"], ["view"]))
    assert [item.decode() for item in answer["product_id"].numpy()[0]] == ["a", "b", "红", ""]
    assert answer["score"].numpy().tolist() == [[0, -1, -2, -3]]
    assert answer["retrieval_score"].numpy()[0, :3].tolist() == [3, 4, 5]
    assert set(answer) == {
        "product_id", "score", "retrieval_score", "click_probability", "cart_probability", "purchase_probability",
    }  # fmt: skip


def test_rerank_keeps_the_candidates_order(catalogue: Catalogue) -> None:
    inputs = request(["a"], ["view"]) | {
        "query_embedding": tf.ones([1, 2]),
        "candidate_product_id": tf.constant([["b", "gone", "a"]]),
        "candidate_score": tf.constant([[1.0, 2.0, 3.0]]),
    }
    assert composition(catalogue).rerank(inputs)["score"].numpy().tolist() == [[-1, -3, 0]]


def test_the_reranker_is_told_of_pictures(catalogue: Catalogue) -> None:
    told: list[object] = []

    class Reranker(RowReranker):
        def __call__(self, candidate_row: tf.Tensor, **inputs: object) -> dict[str, tf.Tensor]:
            told.append(inputs.get("found_with_picture", False))
            return super().__call__(candidate_row)

        def best(self, count: int, candidate_row: tf.Tensor, **inputs: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            told.append(inputs["found_with_picture"])
            return super().best(count, candidate_row)

    graph = Composition(catalogue, lambda **_: tf.ones([1, 2]), CountingIndex(), Reranker(), candidates=5, results=4)
    asked = request(["a"], ["view"])
    graph.search(asked)
    graph.search(asked | {"query_image": tf.zeros([1, 8, 8, 3], tf.uint8)})
    candidates = {
        "query_embedding": tf.ones([1, 2]),
        "candidate_product_id": tf.constant([["b", "a"]]),
        "candidate_score": tf.constant([[1.0, 2.0]]),
    }
    graph.rerank(asked | candidates)
    graph.rerank_found_with_image(asked | candidates)
    assert told == [False, True, False, True]


def test_every_dimension_but_the_batch_is_static() -> None:
    for specs in (request_specs(50, ("country",), 64), rerank_specs(50, ("country",), 64, 200)):
        for spec in specs.values():
            assert spec.shape[0] is None
            assert all(size is not None for size in spec.shape[1:])
    assert "query_image" not in request_specs(50, ())
    assert request_specs(50, ("country",))["user_country"].dtype == tf.string


@pytest.mark.parametrize("query", ["", "shirt", "红" * 1000, "x" * 5000])
def test_no_part_sees_more_of_a_query_than_its_first_bytes(catalogue: Catalogue, query: str) -> None:
    seen: list[bytes] = []

    def encode(query: tf.Tensor, **_: object) -> tf.Tensor:
        seen.append(query.numpy()[0])
        return tf.ones([1, 2])

    class Reranker(RowReranker):
        def best(self, count: int, candidate_row: tf.Tensor, **inputs: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            seen.append(inputs["query"].numpy()[0])
            return super().best(count, candidate_row)

    graph = Composition(catalogue, encode, CountingIndex(), Reranker(), candidates=5, results=4)
    graph.search(request(["a"], ["view"]) | {"query": tf.constant([query])})
    assert seen == [query.encode()[:MAX_QUERY_BYTES]] * 2


def test_first_places_are_the_first_of_each_group_and_then_the_repeats() -> None:
    groups = tf.constant([[7, 2, 7, 0, 2, 2], [1, 1, 1, 1, 1, 1], [5, 4, 3, 2, 1, 0]], tf.int64)
    places, repeated = first_places(groups)
    assert places.numpy().tolist() == [[0, 1, 3, 2, 4, 5], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert repeated.numpy().tolist() == [[False] * 3 + [True] * 3, [False] + [True] * 5, [False] * 6]


def test_search_answers_with_the_best_placed_of_each_title(catalogue: Catalogue) -> None:
    # "a" and "红" share a title; the reranker prefers "a".
    answer = composition(catalogue, np.array([0, 1, 0], np.int32)).search(request(["a"], ["view"]))
    assert [item.decode() for item in answer["product_id"].numpy()[0]] == ["a", "b", "", ""]
    assert answer["score"].numpy()[0, :3].tolist() == [0, -1, -3]
    assert answer["retrieval_score"].numpy()[0, :2].tolist() == [3, 4]
    # The last place could only repeat: nothing fills it.
    assert answer["score"].numpy()[0, 3] == np.float32(ABSENT_SCORE)
    assert answer["click_probability"].numpy()[0, 3] == 0


def test_without_repeats_collapsing_changes_nothing(catalogue: Catalogue) -> None:
    plain = composition(catalogue).search(request(["a"], ["view"]))
    collapsed = composition(catalogue, np.array([2, 1, 0], np.int32)).search(request(["a"], ["view"]))
    assert collapsed["product_id"].numpy().tolist() == plain["product_id"].numpy().tolist()
    for name in ("score", "retrieval_score", "click_probability"):
        assert collapsed[name].numpy()[0, :3].tolist() == plain[name].numpy()[0, :3].tolist()
