"""The training loop: steps, epochs, checkpoints, early stopping, and what the best epoch is worth."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.errors import TandemError
from catalog.progress import console, track
from rerank.artifacts import (
    Arrays,
    FeatureSpec,
    FittedFeatures,
    TrainedReranker,
    assign_values,
    build_model,
    read_arrays,
    run,
    values_of,
    write_arrays,
)
from rerank.calibration import Predicted, fit_calibration
from rerank.config import RerankConfig
from rerank.examination import Examination, fit_examination
from rerank.features import FeatureExtractor
from rerank.lists import RankingLists
from rerank.losses import list_loss, teacher_loss
from rerank.normalisation import normalisation
from rerank.ranking_model import HeadLogs, RankingModel, order_score, ranking_score
from rerank.slices import Slice, with_features
from rerank.teacher import teach
from rerank.training_data import TrainingData
from rerank.validation import click_gains, head_metrics, mean_ndcg, order_metrics

Floats = npt.NDArray[np.float32]
AfterEpoch = Callable[[list[float]], None]

_GRADIENT_NORM = 5.0
_USUAL_LISTS = 10_000  # that the configured weight decay is for


class Learner:
    """Model, examination curve and optimizer, and the steps that move them.

    Args:
        extractor: features of the lists.
        spec: what the weights belong to.
    """

    def __init__(self, extractor: FeatureExtractor, spec: FeatureSpec, config: RerankConfig) -> None:
        self._extractor = extractor
        self._spec = spec
        self._config = config
        self._model: RankingModel = build_model(config, spec)
        self._examination = Examination(config.max_position, config.position_bias)
        self._optimizer: Any = None
        self._start_curve = self._examination.curve()
        self._predictors: dict[TrainingData, Any] = {}

    def fit(
        self, training: Slice, held_out: Slice, checkpoint: Path, after_epoch: AfterEpoch | None = None
    ) -> list[dict[str, float]]:
        """Train until validation stops improving; the best epoch's weights stay. Returns a record an epoch."""
        steps = max(training.data.size // self._config.batch_requests, 1)
        training, held_out = self._stored(training), self._stored(held_out)
        self._start(training, steps)
        identity = self._identity(training, held_out)
        history, best = self._resume(checkpoint, identity)
        step = self._training_step(training, self._teacher(training))
        for epoch in range(len(history), self._config.epochs):
            if len(history) - 1 - best_epoch(history, self._config.epochs) >= self._config.patience:
                break
            self._use(training)
            losses = []
            for places in track(
                self._batches(training.data.size, epoch), f"rerank: epoch {epoch + 1}/{self._config.epochs}", steps
            ):
                losses.append(_checked(float(step(places)), epoch))
            record = {"loss": float(np.mean(losses)), "ndcg@10": self._ndcg(held_out)}
            history.append(record)
            if best_epoch(history, self._config.epochs) == len(history) - 1:
                best = values_of(self._weights)
            write_arrays(checkpoint, values_of(self._state) + best, {"identity": identity, "history": history})
            console.print(
                f"rerank: epoch {epoch + 1}: loss {record['loss']:.4f}, "
                f"NDCG@10 on validation pages {record['ndcg@10']:.4f}"
            )
            if after_epoch is not None:
                after_epoch([earlier["ndcg@10"] for earlier in history])
        assign_values(self._weights, best, checkpoint)
        return history

    def metrics(self, held_out: Slice) -> dict[str, Any]:
        """Orders before and after, over the candidates and over the page as shown; the heads on shown products."""
        logs, grade = self.predict(held_out)
        score = np.asarray(order_score(logs, grade, self._config))
        lists, curve = held_out.data.lists, self._examination.curve()
        return {
            "candidates": order_metrics(lists, score, curve, lists.retrieved),
            "page": order_metrics(lists, score, curve, lists.shown),
            "heads": head_metrics(lists, logs._asdict(), curve),
        }

    def trained(self, fitted: FittedFeatures, training: Slice, held_out: Slice) -> TrainedReranker:
        """The weights as they are now, with what the features were fitted on; curve and maps fitted once more."""
        parts = (held_out, training)
        held, learned = (
            Predicted(self.predict(part)[0], part.data.lists, part.data.asked, part.data.met, part.data.events)
            for part in parts
        )
        if self._config.position_bias:
            fitted_curve = fit_examination((held, learned), self._examination.curve(), self._config.examination_bend)
            self._examination.start_from(fitted_curve)
        curve = self._examination.curve()
        calibration = fit_calibration(held, learned, curve)
        return TrainedReranker(self._config, self._spec, self._model, curve, fitted, calibration)

    def predict(self, part: Slice) -> tuple[HeadLogs, Floats]:
        """Head logs and expected grades of every list, [R, L] each."""
        if part.data not in self._predictors:
            self._predictors[part.data] = self._predictor(part)
        self._use(part)
        chunks = _chunks(np.arange(part.data.size), self._config.batch_requests)
        answers = [self._predictors[part.data](chunk) for chunk in chunks]
        logs = np.concatenate([answer[0].numpy() for answer in answers], axis=1)
        return HeadLogs(*logs), np.concatenate([answer[1].numpy() for answer in answers])

    @property
    def _weights(self) -> list[Any]:
        return [*self._model.variables, *self._examination.variables]

    @property
    def _state(self) -> list[Any]:
        return [*self._weights, *self._optimizer.variables]

    def _start(self, training: Slice, steps: int) -> None:
        config = self._config
        schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.epochs * steps, alpha=0.1)
        decay = config.weight_decay * float(np.sqrt(_USUAL_LISTS / max(training.data.size, 1)))
        self._optimizer = keras.optimizers.AdamW(schedule, weight_decay=decay, global_clipnorm=_GRADIENT_NORM)
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "logits"])
        if config.precision == "mixed_float16":
            self._optimizer = keras.optimizers.LossScaleOptimizer(self._optimizer)
        self._optimizer.build([*self._model.trainable_variables, *self._examination.trainable_variables])
        self._use(training)
        self._model.adapt(*normalisation(training, self._extractor, self._config.seed))
        self._examination.start_from(half_as_steep(training.data.lists, config.max_position))
        self._start_curve = self._examination.curve()

    def _teacher(self, training: Slice) -> Floats | None:
        if not self._config.teacher_weight:
            return None
        self._use(training)
        return teach(training, self._extractor, self._config)

    def _training_step(self, part: Slice, teacher: Floats | None) -> Any:
        """A step over list numbers; `teacher`: [R, L] scores whose order is followed too."""
        config = self._config
        taught = None if teacher is None else tf.constant(teacher)
        variables = [*self._model.learned_variables, *self._examination.trainable_variables]
        prior = 0.5 / config.examination_bend**2 / max(part.data.size, 1)  # of a normal, in nats a list

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)
        def step(places: tf.Tensor) -> tf.Tensor:
            batch = part.data.batch(places)
            features = part.features(self._extractor, places, batch)
            with tf.GradientTape() as tape:
                logs = run(self._model, features, training=True)
                losses = list_loss(logs, self._examination(batch.position), batch.labels, config)
                if taught is not None:
                    score = ranking_score(logs, config.cart_weight, config.purchase_weight)
                    losses += config.teacher_weight * teacher_loss(score, tf.gather(taught, places), batch.labels)
                loss = tf.reduce_mean(losses) + prior * self._examination.bend()
                scaled = self._optimizer.scale_loss(loss)
            self._optimizer.apply(tape.gradient(scaled, variables), variables)
            return loss

        return step

    def _batches(self, size: int, epoch: int) -> Iterator[npt.NDArray[np.int32]]:
        """List numbers in the epoch's own seeded order; the last, incomplete batch is left out."""
        order = np.random.default_rng((self._config.seed, epoch)).permutation(size).astype(np.int32)
        width = min(self._config.batch_requests, size)
        return (order[at : at + width] for at in range(0, size - width + 1, width))

    def _use(self, part: Slice) -> None:
        """Look products up in the embeddings that the slice's candidates were retrieved by."""
        self._extractor.set_embeddings(part.candidates.product_embeddings)

    def _ndcg(self, held_out: Slice) -> float:
        logs, _ = self.predict(held_out)
        lists = held_out.data.lists
        # By what clicks taught: grades are learned apart, and may put before a person what a query says.
        score = np.asarray(ranking_score(logs, self._config.cart_weight, self._config.purchase_weight))
        # On pages alone: among never-shown candidates nobody could click, so they only say what the old shop showed.
        # Corrected by the curve that all epochs start from: by one that moves they could not be compared.
        value = mean_ndcg(score, click_gains(lists, self._start_curve), lists.shown)
        return value if np.isfinite(value) else 0.0

    def _predictor(self, part: Slice) -> Any:
        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)
        def predict(places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            features = part.features(self._extractor, places, part.data.batch(places))
            logs = run(self._model, features)
            return tf.stack(logs), features.grade

        return predict

    def _stored(self, part: Slice) -> Slice:
        return with_features(part, self._extractor, self._config.feature_memory_gb)

    def _identity(self, training: Slice, held_out: Slice) -> str:
        digest = sha256(f"{version('tandem-search')} {self._config.model_dump_json()}".encode())
        digest.update(repr(asdict(self._spec)).encode())
        digest.update(self._extractor.fingerprint().encode())
        for part in (training, held_out):
            digest.update(part.data.fingerprint().encode())
            digest.update(np.ascontiguousarray(part.candidates.product_embeddings).tobytes())
        return digest.hexdigest()

    def _resume(self, checkpoint: Path, identity: str) -> tuple[list[dict[str, float]], Arrays]:
        start = values_of(self._weights)
        if not checkpoint.exists():
            return [], start
        arrays, notes = read_arrays(checkpoint)
        if notes["identity"] != identity:
            return [], start
        assign_values(self._state, arrays[: len(self._state)], checkpoint)
        console.print(f"rerank: goes on after epoch {len(notes['history'])}")
        return notes["history"], arrays[len(self._state) :]


def click_curve(lists: RankingLists, positions: int) -> Floats:
    """Click rate at each position over that at position 1, [positions]."""
    place = np.minimum(lists.position, positions)[lists.shown & (lists.position > 0)]
    clicked = lists.click[lists.shown & (lists.position > 0)]
    shown = np.bincount(place, minlength=positions + 1)[1:].astype(np.float64)
    clicks = np.bincount(place, weights=clicked, minlength=positions + 1)[1:]
    rate = (clicks + 1.0) / (shown + 1.0 / max(clicked.mean() if len(clicked) else 1.0, 1e-3))
    return np.minimum(rate / rate[0], 1.0).astype(np.float32)


def half_as_steep(lists: RankingLists, positions: int) -> Floats:
    """The power of the position that falls half as steeply as click rates do, [positions].

    Clicks fall with position because attention does and because better products stand higher.
    """
    place = np.minimum(lists.position, positions)[lists.shown & (lists.position > 0)]
    along = np.log(np.arange(1, positions + 1))
    weight = np.bincount(place, minlength=positions + 1)[1:] * along
    power = float(weight @ np.log(click_curve(lists, positions))) / max(float(weight @ along), 1e-9)
    return np.exp(0.5 * power * along).astype(np.float32)


def _chunks(places: npt.NDArray[Any], width: int) -> Iterator[npt.NDArray[np.int32]]:
    return (places[at : at + width].astype(np.int32) for at in range(0, len(places), width))


def best_epoch(history: list[dict[str, float]], epochs: int) -> int:
    """The best epoch so far, from 0, among those of the second half of all, or the last one before that.

    Until then the learning rate is high, and one of the first epochs may be the best by chance alone. Of equals it is
    the last: where no validation page was clicked, all are.
    """
    late = [record["ndcg@10"] for record in history[epochs // 2 :]]
    return len(history) - 1 - (int(np.argmax(late[::-1])) if late else 0)


def _checked(loss: float, epoch: int) -> float:
    if not np.isfinite(loss):
        raise TandemError(
            f"the reranker's loss became {loss} in epoch {epoch + 1}; lower rerank.learning_rate or set "
            "rerank.precision to float32, and delete the stage's checkpoint.npz"
        )
    return loss
