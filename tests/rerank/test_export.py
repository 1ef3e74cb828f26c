"""Laws of the exported reranker: the answer depends on the candidates as a set, and on nothing else."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from batch_scorer import BatchScorer
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_shop import DIM, MadeUpShop

from catalog.errors import ArtifactError
from catalog.files import read_json, write_json
from rerank.artifacts import load
from rerank.export import ABSENT_SCORE, OUTPUTS, Reranker
from rerank.lists import request_inputs
from rerank.train import train
from tests.eager import eagerly

CANDIDATES, HISTORY = 12, 6


@pytest.fixture(scope="module")
def trained_dir(made_up_shop: MadeUpShop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rerank")
    config = made_up_shop.config.model_copy(update={"epochs": 1, "max_requests": 300, "max_validation_requests": 50})
    shop = made_up_shop
    with eagerly():
        train(shop.shop, shop.features, shop.tokenizer, shop.pictures, shop.candidates_dir, config, folder)
    return folder


def make_reranker(shop: MadeUpShop, trained_dir: Path, embeddings: tf.Variable | None = None) -> Reranker:
    shared = shop.embeddings if embeddings is None else embeddings
    return Reranker(trained_dir, shop.shop, shop.features, shop.tokenizer, shop.pictures, shared)


@pytest.fixture(scope="module")
def reranker(made_up_shop: MadeUpShop, trained_dir: Path) -> Reranker:
    return make_reranker(made_up_shop, trained_dir)


@pytest.fixture(scope="module")
def score(reranker: Reranker) -> BatchScorer:
    return BatchScorer(reranker)


@pytest.fixture(scope="module")
def requests(made_up_shop: MadeUpShop) -> dict[str, Any]:
    part = made_up_shop.candidates["validation"].take(np.arange(4))
    inputs = request_inputs(made_up_shop.features, part.request, part.query_embedding, HISTORY, ("city",))
    return {"inputs": inputs, "rows": part.rows[:, :CANDIDATES], "scores": part.scores[:, :CANDIDATES]}


def test_outputs(score: BatchScorer, requests: dict[str, Any]) -> None:
    answer = score(**requests)
    assert set(answer) == set(OUTPUTS)
    for name in OUTPUTS:
        assert answer[name].shape == (4, CANDIDATES)
        assert np.isfinite(answer[name]).all()
    for head in OUTPUTS[1:]:
        assert ((answer[head] > 0) & (answer[head] < 1)).all()


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(CANDIDATES)))
def test_a_permutation_of_candidates_permutes_the_scores(
    score: BatchScorer, requests: dict[str, Any], order: list[int]
) -> None:
    straight = score(**requests)
    mixed = score(requests["inputs"], requests["rows"][:, order], requests["scores"][:, order])
    for name in OUTPUTS:
        np.testing.assert_allclose(mixed[name], straight[name][:, order], rtol=1e-4, atol=1e-6)


def call_of(requests: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Inputs of a call of the reranker."""
    inputs = {name: tf.constant(values) for name, values in requests["inputs"].items()}
    profile = {name: inputs.pop(name) for name in list(inputs) if name.startswith("user_")}
    return {
        **inputs,
        "user_columns": {name.removeprefix("user_"): values for name, values in profile.items()},
        "candidate_row": tf.constant(rows),
        "candidate_score": tf.constant(requests["scores"]),
    }


def test_features_score_as_the_call_that_they_were_made_for(reranker: Reranker, requests: dict[str, Any]) -> None:
    call = call_of(requests, requests["rows"])
    features = reranker.features(**call)
    np.testing.assert_allclose(reranker.score(features), reranker(**call)["score"], rtol=1e-5)
    others = features._replace(value=tf.zeros_like(features.value))  # what importance does to a feature
    assert np.abs(reranker.score(others) - reranker.score(features)).max() > 0


def test_the_best_are_those_of_a_call_in_order(reranker: Reranker, requests: dict[str, Any]) -> None:
    rows = requests["rows"].copy()
    rows[0, 2:] = reranker.extractor.size  # so few that absent ones are among the best
    call = call_of(requests, rows)
    straight = {name: values.numpy() for name, values in reranker(**call).items()}
    best, order = reranker.best(4, **call)
    assert set(best) == set(OUTPUTS)
    np.testing.assert_array_equal(order.numpy(), np.argsort(-straight["score"], axis=1, kind="stable")[:, :4])
    for name in OUTPUTS:
        expected = np.take_along_axis(straight[name], order.numpy(), axis=1)
        np.testing.assert_allclose(best[name], expected, rtol=1e-6)


def test_what_was_found_with_a_picture_is_ordered_by_its_cosine_too(
    reranker: Reranker, requests: dict[str, Any]
) -> None:
    rows = requests["rows"].copy()
    rows[0, 2:] = reranker.extractor.size
    call = call_of(requests, rows)
    plain = {name: values.numpy() for name, values in reranker(**call).items()}
    pictured = {name: values.numpy() for name, values in reranker(found_with_picture=True, **call).items()}
    weight = reranker.config.picture_query_weight
    assert weight > 0
    present = rows < reranker.extractor.size
    told = np.where(present, plain["score"] + weight * requests["scores"], ABSENT_SCORE)
    np.testing.assert_allclose(pictured["score"], told, rtol=1e-4, atol=1e-5)
    for name in OUTPUTS[1:]:
        np.testing.assert_array_equal(pictured[name], plain[name])
    best, order = reranker.best(4, found_with_picture=True, **call)
    np.testing.assert_allclose(best["score"], np.take_along_axis(told, order.numpy(), axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(best["score"], -np.sort(-told, axis=1)[:, :4], rtol=1e-4, atol=1e-5)


def test_who_holds_all_words_and_a_name_among_them_comes_first(
    made_up_shop: MadeUpShop, trained_dir: Path, reranker: Reranker, requests: dict[str, Any]
) -> None:
    call = call_of(requests, requests["rows"])
    features = reranker.features(**call)
    column = reranker.extractor.names.index
    all_words = features.numeric.numpy()[..., column("text:all_words")] > 0
    rarest = features.numeric.numpy()[..., column("text:rarest_idf")]
    plain = reranker(**call)["score"].numpy()
    rarely = make_reranker(made_up_shop, trained_dir)
    rarely._name_idf = float(np.median(rarest[all_words]))  # no word of this shop is as rare as a name
    named = all_words & (rarest >= rarely._name_idf)
    assert 0 < named.sum() < named.size
    weight = reranker.config.name_weight
    lifted = rarely(**call)["score"].numpy()
    np.testing.assert_allclose(lifted, plain + weight * named, rtol=1e-4, atol=1e-4)
    told = {name: values.numpy() for name, values in rarely.explain(**call).items()}
    without = {name: values.numpy() for name, values in reranker.explain(**call).items()}
    np.testing.assert_allclose(told["text"] - without["text"], weight * named, rtol=1e-3, atol=1e-3)


def test_who_has_the_query_for_a_title_comes_first(
    made_up_shop: MadeUpShop, reranker: Reranker, requests: dict[str, Any]
) -> None:
    titles = made_up_shop.shop.products["title"].to_pylist()
    lengths = np.array([len(title.split()) for title in titles])
    of_four, of_three = (np.flatnonzero(lengths == words)[:6] for words in (4, 3))
    rows = np.sort(np.concatenate([of_four, of_three])).astype(np.int32)
    for title, weight in ((titles[of_four[0]], reranker.config.name_weight), (titles[of_three[0]], 0.0)):
        inputs = requests["inputs"] | {"query": np.array([title] * 4, object)}
        call = call_of(requests | {"inputs": inputs}, np.tile(rows, (4, 1)))
        features = reranker.features(**call)
        lifted = reranker(**call)["score"].numpy() - reranker.score(features).numpy()
        expected = [weight * (titles[row] == title) for row in rows]
        np.testing.assert_allclose(lifted, np.tile(expected, (4, 1)), atol=1e-4)


@pytest.mark.parametrize("padding", [0.0, 5.0, -np.inf, np.nan])
def test_absent_candidates_score_lowest_and_change_nothing(
    reranker: Reranker, score: BatchScorer, requests: dict[str, Any], padding: float
) -> None:
    rows = np.pad(requests["rows"], ((0, 0), (0, 2)), constant_values=reranker.extractor.size)
    rows[:, -1] = -1
    scores = np.pad(requests["scores"], ((0, 0), (0, 2)), constant_values=padding)
    answer = score(requests["inputs"], rows, scores)
    straight = score(**requests)
    for name in OUTPUTS:
        np.testing.assert_allclose(answer[name][:, :CANDIDATES], straight[name], rtol=1e-4, atol=1e-6)
    assert (answer["score"][:, CANDIDATES:] == np.float32(ABSENT_SCORE)).all()
    assert (answer["score"][:, :CANDIDATES] > ABSENT_SCORE).all()
    assert not answer["click_probability"][:, CANDIDATES:].any()


def test_a_row_does_not_depend_on_its_batch(reranker: Reranker, score: BatchScorer, requests: dict[str, Any]) -> None:
    together = score(**requests)
    alone = BatchScorer(reranker, batch=1)(**requests)
    for name in OUTPUTS:
        np.testing.assert_allclose(alone[name], together[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("query", [b"", b"\xff\xfe\x00", "红色连衣裙".encode(), b"x" * 5000, "👠 ' \\ (".encode()])
def test_any_query_is_answered(score: BatchScorer, requests: dict[str, Any], query: bytes) -> None:
    inputs = {**requests["inputs"], "query": np.array([query] * 4, dtype=object)}
    assert np.isfinite(score(inputs, requests["rows"], requests["scores"])["score"]).all()


def test_no_requests(score: BatchScorer, requests: dict[str, Any]) -> None:
    inputs = {name: values[:0] for name, values in requests["inputs"].items()}
    answer = score(inputs, requests["rows"][:0], requests["scores"][:0])
    assert answer["score"].shape == (0, CANDIDATES)


def test_a_saved_model_answers_in_a_process_without_model_code(
    reranker: Reranker, score: BatchScorer, requests: dict[str, Any], tmp_path: Path
) -> None:
    specs = {
        "query": tf.TensorSpec([None], tf.string),
        "query_embedding": tf.TensorSpec([None, DIM], tf.float32),
        "history_row": tf.TensorSpec([None, HISTORY], tf.int32),
        "history_kind": tf.TensorSpec([None, HISTORY], tf.int32),
        "history_timestamp": tf.TensorSpec([None, HISTORY], tf.int64),
        "timestamp": tf.TensorSpec([None], tf.int64),
        "user_city": tf.TensorSpec([None], tf.string),
        "candidate_row": tf.TensorSpec([None, CANDIDATES], tf.int32),
        "candidate_score": tf.TensorSpec([None, CANDIDATES], tf.float32),
    }

    def serve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        city = inputs.pop("user_city")
        return reranker(**inputs, user_columns={"city": city})

    module = tf.Module()
    module.reranker = reranker
    function = tf.function(serve).get_concrete_function(
        **{name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()}
    )
    options = tf.saved_model.SaveOptions(namespace_whitelist=["TFText"])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=function, options=options)
    inputs = requests["inputs"] | {"candidate_row": requests["rows"], "candidate_score": requests["scores"]}
    texts = {"query", "user_city"}
    np.savez(tmp_path / "inputs.npz", **{k: np.asarray(v, "U") if k in texts else v for k, v in inputs.items()})
    script = f"""
import numpy as np, tensorflow as tf, tensorflow_text
inputs = dict(np.load({str(tmp_path / "inputs.npz")!r}))
model = tf.saved_model.load({str(tmp_path / "model")!r})
fed = {{name: tf.constant(value.tolist() if value.dtype.kind == "U" else value) for name, value in inputs.items()}}
answer = model.signatures["serving_default"](**fed)
np.savez({str(tmp_path / "outputs.npz")!r}, **{{name: value.numpy() for name, value in answer.items()}})
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, timeout=120)
    straight = score(**requests)
    with np.load(tmp_path / "outputs.npz") as answer:
        assert set(answer.files) == set(OUTPUTS)
        for name in OUTPUTS:
            np.testing.assert_allclose(answer[name], straight[name], rtol=1e-4, atol=1e-6)


def test_a_catalogue_with_other_features_is_refused(made_up_shop: MadeUpShop, trained_dir: Path) -> None:
    renamed = tuple(name.replace("click", "view") for name in made_up_shop.features.snapshot_features)
    features = replace(made_up_shop.features, snapshot_features=renamed)
    with pytest.raises(ArtifactError, match="run the rerank stage again"):
        make_reranker(replace(made_up_shop, features=features), trained_dir)


def test_a_history_counts_by_the_weights_that_training_read(
    made_up_shop: MadeUpShop, trained_dir: Path, reranker: Reranker, requests: dict[str, Any]
) -> None:
    trained = tuple(made_up_shop.features.weights.tolist())
    assert load(trained_dir).spec.kind_weights == trained
    # A store with other weights, as of a shop that has not trained again, changes no answer.
    others = {kind: 5.0 - weight for kind, weight in made_up_shop.features.kind_weights.items()}
    shop = replace(made_up_shop, features=replace(made_up_shop.features, kind_weights=others))
    call = call_of(requests, requests["rows"])
    expected = reranker.features(**call).numeric
    np.testing.assert_array_equal(make_reranker(shop, trained_dir).features(**call).numeric, expected)


def test_weights_of_another_version_are_refused(trained_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(trained_dir, tmp_path / "rerank")
    stored = read_json(tmp_path / "rerank" / "features.json")
    del stored["kind_weights"]
    write_json(tmp_path / "rerank" / "features.json", stored)
    with pytest.raises(ArtifactError, match=r"features\.json: written by another version"):
        load(tmp_path / "rerank")


def test_embeddings_can_be_shared(made_up_shop: MadeUpShop, trained_dir: Path, reranker: Reranker) -> None:
    shared = tf.Variable(np.concatenate([made_up_shop.embeddings, np.zeros((1, DIM), np.float32)]), trainable=False)
    other = make_reranker(made_up_shop, trained_dir, shared)
    assert other.extractor.embeddings is shared
    np.testing.assert_array_equal(other.extractor.embeddings, reranker.extractor.embeddings)


def test_explanations_add_up_to_the_score(reranker: Reranker, score: BatchScorer, requests: dict[str, Any]) -> None:
    inputs = {name: tf.constant(values) for name, values in requests["inputs"].items()}
    columns = {"city": inputs.pop("user_city")}
    rows = np.array(requests["rows"])
    rows[0, -1] = reranker.extractor.size  # an absent candidate
    told = reranker.explain(
        **inputs, user_columns=columns, candidate_row=tf.constant(rows), candidate_score=tf.constant(requests["scores"])
    )
    present = rows < reranker.extractor.size
    answer = score(requests["inputs"], rows, requests["scores"])
    np.testing.assert_allclose(told["score"].numpy()[present], answer["score"][present], atol=1e-4)
    parts = sum(told[name].numpy() for name in ("base", "retrieval", "text", "picture", "behaviour", "person"))
    np.testing.assert_allclose(parts, told["score"].numpy(), atol=1e-4)
    assert all(told[name].numpy()[0, -1] == 0 for name in told)
    # With every group masked all candidates are alike.
    assert np.ptp(told["base"].numpy()[present]) < 1e-4
    assert np.ptp(told["text"].numpy()[present]) > 1e-3
