"""Training on a shop whose clicks follow a known rule."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from batch_scorer import score_candidates
from made_up_shop import EXAMINATION, MadeUpShop

import rerank.learner as learner
from catalog.errors import ArtifactError, DataError, TandemError
from evaluation.metrics import ndcg_at
from rerank.artifacts import load
from rerank.export import Reranker
from rerank.learner import AfterEpoch, click_curve, half_as_steep
from rerank.lists import build_lists
from rerank.train import prepare, select_requests, train


def run(shop: MadeUpShop, out_dir: Path, after_epoch: AfterEpoch | None = None, **changes: object) -> None:
    config = shop.config.model_copy(update=changes)
    train(shop.shop, shop.features, shop.tokenizer, shop.pictures, shop.candidates_dir, config, out_dir, after_epoch)


@pytest.fixture(scope="module")
def trained_dir(made_up_shop: MadeUpShop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rerank")
    run(made_up_shop, folder)
    return folder


def test_the_order_is_much_closer_to_the_truth_than_retrievals(made_up_shop: MadeUpShop, trained_dir: Path) -> None:
    part = made_up_shop.candidates["validation"]
    reranker = Reranker(
        trained_dir,
        made_up_shop.shop,
        made_up_shop.features,
        made_up_shop.tokenizer,
        made_up_shop.pictures,
        made_up_shop.embeddings,
    )
    answer = score_candidates(
        reranker, made_up_shop.features, part.request, part.query_embedding, part.rows, part.scores
    )
    truth = np.take_along_axis(made_up_shop.appeal[part.request], part.rows, axis=1)

    def ndcg(score: np.ndarray) -> float:
        ranked = np.take_along_axis(truth, np.argsort(-score, axis=1), axis=1)
        return float(np.mean(ndcg_at(ranked, -np.sort(-truth, axis=1), 10)))

    assert ndcg(part.scores) < 0.4
    assert ndcg(answer["score"]) > 0.96
    # Most candidates were never shown and are worse than what was: their probabilities are an extrapolation.
    assert 0.7 < answer["click_probability"].mean() / truth.mean() < 1.4


def test_the_examination_curve_is_nearer_the_truth_than_clicks_are(made_up_shop: MadeUpShop, trained_dir: Path) -> None:
    learned = load(trained_dir).examination
    lists = build_lists(made_up_shop.features, made_up_shop.candidates["rerank"], 30, 0)
    clicks = click_curve(lists, len(EXAMINATION))
    assert learned[0] == clicks[0] == 1

    def error(curve: np.ndarray) -> float:
        return float(np.mean(np.abs(np.log(curve[1:12] / EXAMINATION[1:12]))))

    # The old shop put better products higher, so its clicks fall faster than attention does.
    assert error(clicks) > 0.4
    assert error(learned) < 0.25


def test_the_curve_starts_as_a_power_half_as_steep_as_the_clicks() -> None:
    shown = np.broadcast_to(np.array([True] * 4 + [False]), (2400, 5))
    # Clicks on 600, 300, 200 and 150 of the pages: they fall by the first power of the position.
    click = np.arange(2400)[:, None] < np.array([600, 300, 200, 150, 0])
    lists: Any = SimpleNamespace(position=np.where(shown, np.arange(1, 6), 0), shown=shown, click=click)
    np.testing.assert_allclose(half_as_steep(lists, 9), np.arange(1, 10) ** -0.5, rtol=0.01)
    unknown: Any = SimpleNamespace(position=np.zeros((3, 2), int), shown=shown[:3, :2], click=click[:3, :2])
    assert half_as_steep(unknown, 3).tolist() == [1, 1, 1]


def test_metrics_are_written(trained_dir: Path) -> None:
    metrics = json.loads((trained_dir / "metrics.json").read_text())
    click = metrics["validation"]["heads"]["click"]
    assert click["auc"] > 0.75
    assert click["log_loss"] < 0.95 * click["base_rate_log_loss"]
    page = metrics["validation"]["page"]
    assert page["corrected_ndcg@10_after"] > page["corrected_ndcg@10_before"]
    assert len(metrics["examination"]) == len(EXAMINATION)


@pytest.mark.usefixtures("eagerly")
def test_a_killed_run_goes_on_and_ends_where_an_unbroken_one_does(
    made_up_shop: MadeUpShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"epochs": 2, "max_requests": 200, "max_validation_requests": 50, "teacher_weight": 10.0}
    told: list[list[float]] = []
    run(made_up_shop, tmp_path / "whole", told.append, **changes)
    written = learner.write_arrays

    def kill_after_one(path: Path, arrays: list[np.ndarray], notes: dict[str, list[object]]) -> None:
        written(path, arrays, notes)
        if len(notes["history"]) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(learner, "write_arrays", kill_after_one)
    with pytest.raises(KeyboardInterrupt):
        run(made_up_shop, tmp_path / "killed", **changes)
    monkeypatch.undo()
    run(made_up_shop, tmp_path / "killed", **changes)
    assert not list(tmp_path.rglob("checkpoint.npz"))  # a finished run is not gone on with
    whole, killed = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "killed"))
    assert len(killed["epochs"]) == 2
    assert told == [[epoch["ndcg@10"] for epoch in whole["epochs"][:count]] for count in (1, 2)]
    np.testing.assert_allclose(
        [epoch["loss"] for epoch in killed["epochs"]], [epoch["loss"] for epoch in whole["epochs"]], rtol=1e-4
    )
    np.testing.assert_allclose(killed["examination"], whole["examination"], rtol=1e-3)


def test_the_best_epoch_is_one_of_the_second_half() -> None:
    history = [{"ndcg@10": value} for value in (0.9, 0.1, 0.5, 0.6, 0.4)]
    # Of six epochs the first three do not count: the latest of them is what there is so far.
    assert [learner.best_epoch(history[:count], 6) for count in (1, 2, 3, 4, 5)] == [0, 1, 2, 3, 3]
    assert learner.best_epoch(history[:1], 1) == 0
    # Without a click on the validation days all epochs are worth nothing: the training goes on to its end.
    nothing = [{"ndcg@10": 0.0}] * 6
    assert [learner.best_epoch(nothing[:count], 6) for count in range(1, 7)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.usefixtures("eagerly")
def test_other_pictures_are_not_gone_on_with(made_up_shop: MadeUpShop, tmp_path: Path) -> None:
    told: list[list[float]] = []

    def kill(ndcg: list[float]) -> None:
        told.append(ndcg)
        raise KeyboardInterrupt

    others = replace(made_up_shop, pictures=made_up_shop.pictures[::-1])
    for shop in (made_up_shop, others):
        with pytest.raises(KeyboardInterrupt):  # each after its first epoch, which is told once it is written
            run(shop, tmp_path, kill, epochs=2, max_requests=200, max_validation_requests=50)
        assert (tmp_path / "checkpoint.npz").exists()
    # Gone on with, the second run would have told of two epochs.
    assert [len(ndcg) for ndcg in told] == [1, 1]
    assert told[0] != told[1]


@pytest.mark.usefixtures("eagerly")
def test_a_checkpoint_of_another_version_is_not_gone_on_with(
    made_up_shop: MadeUpShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[float]] = []

    def kill(ndcg: list[float]) -> None:
        told.append(ndcg)
        raise KeyboardInterrupt

    for number in ("1", "1", "2"):
        monkeypatch.setattr(learner, "version", lambda _, number=number: number)
        with pytest.raises(KeyboardInterrupt):
            run(made_up_shop, tmp_path, kill, epochs=3, max_requests=64, max_validation_requests=50, teacher_weight=0)
    assert [len(ndcg) for ndcg in told] == [1, 2, 1]


@pytest.mark.usefixtures("eagerly")
def test_a_loss_that_is_no_number_stops_the_run(made_up_shop: MadeUpShop, tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="learning_rate"):
        run(made_up_shop, tmp_path, learning_rate=1e30, max_requests=200, max_validation_requests=50)


def test_histories_weigh_kinds_as_the_store_does(made_up_shop: MadeUpShop) -> None:
    weights = {kind: 7.0 - weight for kind, weight in made_up_shop.features.kind_weights.items()}
    shop = replace(made_up_shop, features=replace(made_up_shop.features, kind_weights=weights))
    part = shop.candidates["rerank"].take(np.arange(1))
    spec = prepare(shop.shop, shop.features, shop.tokenizer, shop.pictures, [part], shop.config).spec
    assert spec.kind_weights == (7.0, 6.5, 6.0, 4.0, 5.0, 2.0)  # impression, view, click, cart, favourite, purchase


@pytest.mark.usefixtures("eagerly")
def test_a_shop_without_profile_columns_trains_without_a_warning(
    made_up_shop: MadeUpShop, tmp_path: Path, recwarn: pytest.WarningsRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    run(made_up_shop, tmp_path, epochs=1, max_requests=100, profile_columns=())
    said = " ".join(capsys.readouterr().err.split())
    assert "NDCG@10 on validation pages 0." in said  # another number than the last line's, of all candidates
    assert "rerank: kept the weights of epoch 1 of 1; NDCG@10 among all candidates on validation clicks" in said
    assert [str(warning.message) for warning in recwarn if "Gradients" in str(warning.message)] == []


@pytest.mark.usefixtures("eagerly")
def test_final_metrics_are_of_a_sample_of_all_validation_days(
    made_up_shop: MadeUpShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[np.ndarray] = []
    metrics = learner.Learner.metrics

    def noted(self: Any, held_out: Any) -> Any:
        judged.append(held_out.candidates.request)
        return metrics(self, held_out) | {"of nothing": float("nan")}

    monkeypatch.setattr(learner.Learner, "metrics", noted)
    monkeypatch.setattr("rerank.train._FINAL_REQUESTS", 20)
    run(made_up_shop, tmp_path, epochs=1, max_requests=100)
    days = made_up_shop.features.request_day
    assert len(judged[0]) == 20
    # The first twenty are all of the first of the two days.
    assert set(days[made_up_shop.candidates["validation"].request[:20]]) == {8}
    assert set(days[judged[0]]) == {8, 9}
    assert json.loads((tmp_path / "metrics.json").read_text())["validation"]["of nothing"] is None  # NaN is no JSON


def test_missing_candidates(made_up_shop: MadeUpShop, tmp_path: Path) -> None:
    shop = made_up_shop
    with pytest.raises(ArtifactError, match="run the candidates stage"):
        train(shop.shop, shop.features, shop.tokenizer, shop.pictures, tmp_path, shop.config, tmp_path)


def test_requests_are_the_latest_or_a_sample(made_up_shop: MadeUpShop) -> None:
    part, features = made_up_shop.candidates["rerank"], made_up_shop.features
    latest = select_requests(features, part, 10, None)
    chosen = features.request_timestamp[latest.request]
    assert chosen.min() >= np.sort(features.request_timestamp[part.request])[-10]
    sample = select_requests(features, part, 10, 3)
    assert len(set(sample.request)) == 10
    assert sample.request.tolist() == select_requests(features, part, 10, 3).request.tolist()
    with pytest.raises(DataError, match="has an impression"):
        select_requests(features, part.take(np.zeros(0, np.int64)), 10, None)
