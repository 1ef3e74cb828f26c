"""Train `SequenceTowers` on sequences at all positions, in a given time; the validation targets choose the epoch."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from benchmarks.sequence_clock import Clock
from benchmarks.sequence_data import Attributes, HeldOut, Rows, Sequences
from benchmarks.sequence_scores import metrics, target_ranks
from catalog.errors import DataError
from catalog.progress import console, track
from towers.averaging import WeightAverage
from towers.config import SequenceConfig, TowersConfig
from towers.full_softmax import FullSoftmaxTask
from towers.fused import FusedAdam
from towers.retrieval_task import RetrievalTask
from towers.sampled_softmax import SampledSoftmaxTask
from towers.sequence_towers import SequenceTowers
from towers.train import TrainingError

_GROUPS = 4  # of like length in a batch, as many targets each, padded to their own longest: few are that long
_STEERS_BY = "ndcg@10"
_EPOCH = (20, 1000)  # updates at least and at most: patience counts neither in handfuls of them nor in hours
_STEERING = (50_000, 10**9)  # users, and scores, that validate an epoch, at most: half a minute on one core
# Beyond either, the softmax over the whole catalogue gives way to that over the batch's products:
_FULL_WORK = 10**10  # targets times products: five minutes a pass on one core
_FULL_LOGITS = 2 * 10**8  # of one batch: 0.8 GB, held three times
_TRIAL = 1000  # users who are scored before training, to learn how long it takes

# Settings that not every loss reads:
_READS = {"full": {"smoothing"}, "sampled": {"uniform_negatives"}, "in_batch": {"uniform_negatives", "logq"}}

Groups = list[tuple[Rows, Rows]]
Loss = Literal["full", "sampled", "in_batch"]


@dataclass(frozen=True)
class Epoch:
    """What lies between two validations: a pass over the sequences, or several where they are few, or part of one.

    Attributes:
        number: from 1. updates: how many it had. loss: their mean. seconds: of training.
        validation: metrics after it.
    """

    number: int
    updates: int
    loss: float
    seconds: float
    validation: dict[str, float]


def windows(sequences: tuple[Rows, ...], length: int) -> tuple[Rows, ...]:
    """Pieces of at most `length` + 1 items, cut from the end and sharing one item, so that each target comes once."""
    return tuple(
        sequence[max(0, stop - length - 1) : stop]
        for sequence in sequences
        for stop in range(len(sequence), 1, -length)
    )


def batches(pieces: tuple[Rows, ...], targets: int, rng: np.random.Generator) -> Iterator[Groups]:
    """One pass over the pieces in random order, about `targets` targets a batch.

    Yields:
        _GROUPS pairs of [users, H] int32: items, and the item after each; -1 on the left where there is none.
    """
    order = rng.permutation(len(pieces))
    lengths = np.array([len(piece) - 1 for piece in pieces])
    number = (np.cumsum(lengths[order]) - 1) // targets
    for chosen in np.split(order, np.flatnonzero(np.diff(number)) + 1):
        by_length = chosen[np.argsort(lengths[chosen], kind="stable")]
        filled = np.cumsum(lengths[by_length])
        cuts = np.searchsorted(filled, filled[-1] * np.arange(1, _GROUPS) / _GROUPS)
        groups = [[pieces[index] for index in group] for group in np.split(by_length, cuts)]
        yield [(_padded(group, 0), _padded(group, 1)) for group in groups]


def chosen_loss(settings: SequenceConfig, targets: int, items: int) -> Loss:
    """The loss of the settings, but "in_batch" where "full" would take too long.

    Args:
        settings: of the training.
        targets: of a pass. items: of the file.
    """
    small = targets * items <= _FULL_WORK and settings.targets * items <= _FULL_LOGITS
    return "in_batch" if settings.loss == "full" and not small else settings.loss


def history_length(config: TowersConfig, lengths: Sequence[int]) -> int:
    """Items that a history holds: as many as 99 of 100 sequences have, within the settings' bounds.

    Args:
        lengths: [sequences] items of each training sequence.
    """
    usual = int(np.percentile(lengths, 99, method="inverted_cdf"))
    return max(config.history.length, min(usual, config.sequences.longest))


def effective_settings(config: TowersConfig, sequences: Sequences) -> TowersConfig:
    """The settings with the loss that a file gets; those that only other losses read are as by default."""
    targets = sum(max(0, len(sequence) - 1) for sequence in sequences.training())
    loss = chosen_loss(config.sequences, targets, len(sequences.items))
    unread = {name for names in _READS.values() for name in names} - _READS[loss]
    changes = {"loss": loss, **{name: getattr(SequenceConfig(), name) for name in unread}}
    return config.model_copy(update={"sequences": config.sequences.model_copy(update=changes)})


class SequenceTraining:
    """One training: the towers, their batches and the steps.

    Args:
        sequences: only the training part and the validation targets are read.
        attributes: of the items, or None.
        config: of the towers.
        seed: of weights, batches and dropout.
        minutes: that all may take, to the last scores of both targets; the training ends in time for them.

    Attributes:
        model: the towers; after `run` with the averaged weights of the best epoch.
        epochs: what was measured after each epoch.
        loss: of the settings, but "in_batch" where "full" would take too long.
        length: items that a history holds.
        out_of_time: whether it was the time that ended the training.
    """

    def __init__(
        self,
        sequences: Sequences,
        attributes: Attributes | None,
        config: TowersConfig,
        seed: int,
        minutes: float = math.inf,
    ) -> None:
        keras.utils.set_random_seed(seed)
        self.settings = config.sequences
        self.length = history_length(config, [len(sequence) for sequence in sequences.training()])
        self.validation = sequences.validation()
        users, scores = _STEERING
        self.steering = self.validation.sample(min(users, max(1, scores // len(sequences.items))))
        self._clock = Clock(minutes, len(self.steering) + 2 * len(self.validation))
        self.out_of_time = False
        self.pieces = windows(sequences.training(), self.length)
        if not self.pieces:
            raise DataError(
                f"{sequences!r}: no user has two items before the two targets, so there is nothing to learn from; "
                "give sequences of four items and more"
            )
        self._targets = sum(len(piece) - 1 for piece in self.pieces)
        self.loss = chosen_loss(self.settings, self._targets, len(sequences.items))
        if self.loss != self.settings.loss:
            console.print(
                f"{self._targets:,} targets among {len(sequences.items):,} items: loss in_batch, since full would "
                "take too long",
                soft_wrap=True,
            )
        known = (attributes.rows, attributes.count) if attributes else ((), 0)
        history = config.history.model_copy(update={"length": self.length})
        self.model = SequenceTowers(config.model_copy(update={"history": history}), len(sequences.items), *known)
        self.optimizer = FusedAdam(self.settings.learning_rate)
        self.optimizer.build(self.model.trainable_variables)
        self.average = WeightAverage(self.model.trainable_variables, self.settings.average)
        self.epochs: list[Epoch] = []
        self._rng = np.random.default_rng(seed)
        self._probabilities = tf.constant(self._draw_probabilities())
        self._full = FullSoftmaxTask(self.settings.smoothing)
        self._in_batch = RetrievalTask(self.settings.logq)
        self._sampled = SampledSoftmaxTask(self.model.n_products)
        pair = (tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None), tf.int32))
        self._update = tf.function(self._step, autograph=False, input_signature=[[pair] * _GROUPS])
        self._score = tf.function(
            self._last_scores, input_signature=[tf.TensorSpec((None, None)), tf.TensorSpec((None, None), tf.int32)]
        )

    def run(self) -> Epoch:
        """Train until the validation or the clock stops it; the epoch that was best, whose weights the model then has.

        Raises:
            TrainingError: if the loss of the first epoch is not a number; that of a later one ends the training.
        """
        best: tuple[Epoch, list[Any]] | None = None
        for _ in range(2):  # so that the clock knows how long it takes; the first one traces
            self.measure(self.steering.sample(_TRIAL))
        stream = self._stream()
        for number in range(1, self.settings.epochs + 1):
            started = time.perf_counter()
            losses = self._updates(number, stream)
            loss, seconds = float(np.mean(losses)), time.perf_counter() - started
            if not np.isfinite(loss):
                console.print(f"epoch {number}: the loss is {loss}, which ends the training")
                break
            with self.average.applied():
                epoch = Epoch(number, len(losses), loss, seconds, self.measure(self.steering))
                if best is None or epoch.validation[_STEERS_BY] > best[0].validation[_STEERS_BY]:
                    best = epoch, self.model.get_weights()
            self.epochs.append(epoch)
            found = ", ".join(f"{name} {value:.4f}" for name, value in epoch.validation.items() if name.endswith("@10"))
            console.print(
                f"epoch {number}: {epoch.updates} updates, loss {loss:.4f}, {seconds:.0f} s, validation {found}",
                soft_wrap=True,
            )
            self.out_of_time = self._clock.training_is_over()
            if self.out_of_time or number - best[0].number >= self.settings.patience:
                break
        if best is None:
            raise TrainingError(
                f"the loss of the first epoch is {loss}; expected a number. Lower sequences.learning_rate "
                f"(now {self.settings.learning_rate})"
            )
        self.model.set_weights(best[1])
        return best[0]

    def measure(self, held_out: HeldOut) -> dict[str, float]:
        """Recall and NDCG of the model as it is."""
        return metrics(self.ranks(held_out))

    def ranks(self, held_out: HeldOut) -> npt.NDArray[np.int64]:
        """[users] how many items the model as it is places above each target."""
        started, products = time.perf_counter(), self.model.products()
        ranks = target_ranks(
            held_out, lambda rows: self._score(products, rows).numpy(), self.length, self.model.n_products
        )
        self._clock.scored(len(held_out), time.perf_counter() - started)
        return ranks

    def _stream(self) -> Iterator[Groups]:
        """Batches of one pass after the other."""
        while True:
            yield from batches(self.pieces, self.settings.targets, self._rng)

    def _updates(self, number: int, stream: Iterator[Groups]) -> list[float]:
        """The losses of an epoch's updates: all, or as many as there is time for, and at least one."""
        updates = int(np.clip(-(-self._targets // self.settings.targets), *_EPOCH))
        losses = []
        for groups in track(islice(stream, updates), f"epoch {number}", updates):
            losses.append(float(self._update(groups)))
            if self._clock.training_is_over():
                break
        return losses

    def _step(self, groups: list[tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._loss(groups)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        given = [pair for pair in zip(gradients, variables, strict=True) if pair[0] is not None]
        self.optimizer.apply(*map(list, zip(*given, strict=True)))
        self.average.update()
        return loss

    def _loss(self, groups: list[tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
        products = self.model.products()
        states = [self.model.queries(products, items, training=True) for items, _ in groups]
        # The loss sees no padding: it is most of the work.
        queries = tf.concat([tf.boolean_mask(s, t >= 0) for s, (_, t) in zip(states, groups, strict=True)], axis=0)
        rows = tf.concat([tf.boolean_mask(targets, targets >= 0) for _, targets in groups], axis=0)
        weights, temperature = tf.ones_like(rows, tf.float32), tf.constant(1.0)
        if self.loss == "full":
            return self._full(queries, products, rows, weights, temperature)
        drawn = tf.random.uniform((self.settings.uniform_negatives,), 0, self.model.n_products, tf.int32)
        if self.loss == "sampled":
            own, negatives = tf.gather(products, rows), tf.gather(products, drawn)
            return self._sampled(queries, own, rows, negatives, drawn, weights, temperature)
        candidates = tf.concat([rows, drawn], axis=0)
        return self._in_batch(
            queries,
            tf.gather(products, candidates),
            candidates,
            weights,
            temperature,
            tf.gather(self._probabilities, candidates),
        )

    def _draw_probabilities(self) -> npt.NDArray[np.float32]:
        """[products] how likely a candidate of a batch is this product: Q of the logQ correction, over the largest Q.

        RetrievalTask takes what is below 1e-6 for 1e-6, as most products of a large file would be.
        """
        counts = np.bincount(np.concatenate([piece[1:] for piece in self.pieces]), minlength=self.model.n_products)
        targets = min(self.settings.targets, self._targets)
        drawn = targets * counts / self._targets + self.settings.uniform_negatives / len(counts)
        return (drawn / drawn.max()).astype(np.float32)

    def _last_scores(self, products: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        return tf.matmul(self.model.queries(products, rows)[:, -1], products, transpose_b=True)


def _padded(pieces: list[Rows], shift: int) -> Rows:
    """[pieces, H] each piece without its last (shift 0) or first item (shift 1), -1 on the left; H is at least 1."""
    width = max((len(piece) - 1 for piece in pieces), default=1)
    padded = np.full((len(pieces), width), -1, np.int32)
    for row, piece in enumerate(pieces):
        padded[row, width - len(piece) + 1 :] = piece[shift : len(piece) - 1 + shift]
    return padded
