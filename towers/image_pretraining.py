"""Train the picture network on the catalogue's own labels, when nobody brings weights."""

import json
import math
import time
import zipfile
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.files import atomic_path
from catalog.progress import console, track
from towers.fused import FusedAdam
from towers.image_config import ImageConfig
from towers.image_labels import MISSING, PictureLabels
from towers.image_pixels import LOOKS, augment, looks, resize

_WARMUP_SHARE = 0.1
_FEWEST_STEPS = 400
_HASHED_AT_ONCE = 1024  # pictures
_EVALUATED = 4000  # held-out pictures that are scored at most


def pretrain_on_labels(
    backbone: keras.Model,
    images: npt.NDArray[np.uint8],
    labels: PictureLabels,
    held_out: npt.NDArray[np.bool_],
    config: ImageConfig,
    checkpoint: Path,
) -> dict[str, Any]:
    """Train `backbone` in place: one softmax head a label task, missing labels masked, and one head for looks.

    The loss is the mean over tasks of the smoothed cross-entropy, plus `looks_weight` times the squared error of
    `looks`. The first part of the steps runs at half the size (progressive resizing, Tan and Le 2021, section 4).
    An interrupted training goes on from `checkpoint`.

    Args:
        backbone: pixels [batch, S, S, 3] -> [batch, dim].
        images: [pictures, S, S, 3] uint8.
        labels: classes of the pictures.
        held_out: [pictures] bool, pictures that only measure.
        config: the training's settings.
        checkpoint: file of the interrupted training's state; removed when done.

    Returns:
        Steps, seconds, and for each task the accuracy on held-out pictures beside that of the commonest class.
    """
    rows = np.flatnonzero(~held_out)
    trainer = _Trainer(backbone, images, labels, rows, config)
    batch = _batch_size(len(rows), config)
    steps = _step_count(len(rows), batch, config)
    started = time.monotonic()
    first = trainer.restore(checkpoint, steps)
    small = int(steps * config.pretrain_small_share)
    saved = time.monotonic()
    losses: list[Any] = []
    batches = _batches(rows, batch, first, steps, config.seed)
    for step, chosen in enumerate(track(batches, "training the picture network", steps - first), start=first):
        side = config.size // 2 if step < small else config.size
        rate = _learning_rate(step, steps, config)
        losses.append(trainer.step(images[chosen], labels.values[chosen], side, step, rate))
        if time.monotonic() - saved > config.checkpoint_seconds:
            trainer.save(checkpoint, step + 1, steps)
            saved = time.monotonic()
    seconds = time.monotonic() - started
    measured = np.flatnonzero(held_out)[:_EVALUATED]
    report = trainer.evaluate(images, labels, measured, rows)
    checkpoint.unlink(missing_ok=True)
    return {
        "steps": steps,
        "batch": batch,
        "seconds": round(seconds, 1),
        "pictures_per_second": round((steps - first) * batch / max(seconds, 1e-9), 1),
        "last_loss": round(float(np.mean([float(loss) for loss in losses[-20:]])), 4) if losses else None,
        "held_out_pictures": len(measured),
        "tasks": report,
    }


class _Trainer:
    """The heads, the optimizer and the compiled step."""

    def __init__(
        self,
        backbone: keras.Model,
        images: npt.NDArray[np.uint8],
        labels: PictureLabels,
        rows: npt.NDArray[np.int64],
        config: ImageConfig,
    ) -> None:
        self.network = backbone.get_layer("pictures_of_any_size")
        self.embed = tf.function(
            lambda pixels: self.network(tf.cast(pixels, tf.float32), training=False),
            input_signature=[tf.TensorSpec([None, config.size, config.size, 3], tf.uint8)],
            autograph=False,
        )
        dim = int(backbone.output_shape[-1])
        self.sizes = [len(classes) for classes in labels.classes]
        self.heads = keras.layers.Dense(sum(self.sizes), name="labels") if self.sizes else None
        self.looks_head = keras.layers.Dense(LOOKS, name="looks")
        self.layers = [self.network, *([self.heads] if self.heads else []), self.looks_head]
        for layer in self.layers[1:]:
            layer.build((None, dim))
        if self.heads is not None:
            self.heads.bias.assign(_log_frequencies(labels, rows))
        self.trained = [variable for layer in self.layers for variable in layer.trainable_variables]
        self.optimizer = FusedAdam(config.learning_rate, weight_decay=config.weight_decay)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        self.optimizer.build(self.trained)
        self.config = config
        pixels = tf.TensorSpec([None, config.size, config.size, 3], tf.uint8)
        targets = tf.TensorSpec([None, len(self.sizes)], tf.int32)
        scalar = tf.TensorSpec([], tf.int32)
        self._compiled = tf.function(self._step, input_signature=[pixels, targets, scalar, scalar], autograph=False)
        self.state = [
            *(variable for layer in self.layers for variable in layer.variables),
            *self.optimizer.variables,
        ]
        self._images, self._labels, self._rows = images, labels, rows

    @cached_property
    def identity(self) -> str:
        """SHA-256 in hex of what a training depends on: version, settings, pictures, labels, which of them it sees."""
        digest = sha256(f"{version('tandem-search')} {self.config.model_dump_json()}".encode())
        digest.update(json.dumps([self._labels.names, self._labels.classes]).encode())
        digest.update(np.ascontiguousarray(self._labels.values).tobytes() + self._rows.tobytes())
        for at in range(0, len(self._images), _HASHED_AT_ONCE):
            digest.update(self._images[at : at + _HASHED_AT_ONCE].tobytes())
        return digest.hexdigest()

    def step(
        self,
        pixels: npt.NDArray[np.uint8],
        targets: npt.NDArray[np.int32],
        side: int,
        number: int,
        learning_rate: float,
    ) -> Any:
        """One step on a batch at `side` pixels; the loss."""
        self.optimizer.learning_rate.assign(learning_rate)
        return self._compiled(pixels, targets, side, number)

    def _step(self, pixels: Any, targets: Any, side: Any, number: Any) -> Any:
        if self.config.augment:
            pixels = augment(pixels, side, tf.stack([self.config.seed + number, 0]))
        else:
            pixels = resize(pixels, side)
        with tf.GradientTape() as tape:
            embedding = self.network(pixels, training=True)
            error = tf.reduce_mean(tf.square(self.looks_head(embedding) - looks(pixels)))
            loss = self.config.looks_weight * error
            if self.heads is not None:
                loss += self._label_loss(self.heads(embedding), targets)
        gradients = tape.gradient(loss, self.trained)
        gradients, _ = tf.clip_by_global_norm(gradients, 5.0)
        self.optimizer.apply_gradients(list(zip(gradients, self.trained, strict=True)))
        return loss

    def _label_loss(self, logits: Any, targets: Any) -> Any:
        losses = []
        smoothing = self.config.label_smoothing
        for task, scores in enumerate(tf.split(logits, self.sizes, axis=1)):
            known = tf.cast(targets[:, task] != MISSING, tf.float32)
            logs = tf.nn.log_softmax(scores)
            right = tf.gather(logs, tf.maximum(targets[:, task], 0), batch_dims=1)
            crossed = -(1 - smoothing) * right - smoothing * tf.reduce_mean(logs, axis=1)
            losses.append(tf.reduce_sum(crossed * known) / tf.maximum(tf.reduce_sum(known), 1.0))
        return tf.add_n(losses) / len(losses)

    def evaluate(
        self,
        images: npt.NDArray[np.uint8],
        labels: PictureLabels,
        measured: npt.NDArray[np.int64],
        trained: npt.NDArray[np.int64],
    ) -> dict[str, dict[str, float | int]]:
        """Accuracy by task on the `measured` rows, beside always answering the class commonest in `trained`."""
        if self.heads is None or not len(measured):
            return {}
        size = self.config.embed_batch
        starts = range(0, len(measured), size)
        logits = np.concatenate([self.heads(self.embed(images[measured[at : at + size]])).numpy() for at in starts])
        report: dict[str, dict[str, float | int]] = {}
        edges = np.cumsum([0, *self.sizes])
        for task, name in enumerate(labels.names):
            truth = labels.values[measured, task]
            known = truth != MISSING
            if not known.any():
                continue
            answer = logits[:, edges[task] : edges[task + 1]].argmax(axis=1)
            seen = labels.values[trained, task]
            commonest = np.bincount(seen[seen != MISSING], minlength=self.sizes[task]).argmax()
            report[name] = {
                "classes": self.sizes[task],
                "accuracy": round(float((answer == truth)[known].mean()), 4),
                "commonest_class": round(float((truth == commonest)[known].mean()), 4),
            }
        return report

    def save(self, path: Path, step: int, steps: int) -> None:
        arrays: dict[str, Any] = {str(index): np.asarray(variable) for index, variable in enumerate(self.state)}
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.savez(handle, step=step, steps=steps, identity=self.identity, **arrays)

    def restore(self, path: Path, steps: int) -> int:
        """Take up the state in `path` if it is of this very training; the step to go on from."""
        if not path.exists():
            return 0
        try:
            with np.load(path, allow_pickle=False) as stored:
                if str(stored["identity"]) != self.identity or int(stored["steps"]) != steps:
                    return 0
                arrays = [stored[str(index)] for index in range(len(self.state))]
                step = int(stored["step"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            console.print(f"[yellow]{path}: not a readable checkpoint ({error}); training starts again[/yellow]")
            return 0
        for variable, array in zip(self.state, arrays, strict=True):
            variable.assign(array)
        console.print(f"training of the picture network goes on at step {step} of {steps}")
        return step


def _log_frequencies(labels: PictureLabels, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """[classes of all tasks] where the heads' biases start, so that no step goes into learning what is common."""
    parts = []
    for task, classes in enumerate(labels.classes):
        codes = labels.values[rows, task]
        counts = np.bincount(codes[codes != MISSING], minlength=len(classes)) + 1.0
        parts.append(np.log(counts / counts.sum()))
    return np.concatenate(parts).astype(np.float32)


def _batch_size(pictures: int, config: ImageConfig) -> int:
    """The configured batch, or half of it where that would leave a small shop too few steps to learn anything."""
    batch = config.pretrain_batch
    return batch if _step_count(pictures, batch, config) >= _FEWEST_STEPS else max(2, batch // 2)


def _step_count(pictures: int, batch: int, config: ImageConfig) -> int:
    return math.ceil(min(config.pretrain_epochs * pictures, config.max_pretrain_images) / batch)


def _learning_rate(step: int, steps: int, config: ImageConfig) -> float:
    """Linear warm-up over the first tenth, then half a cosine down to zero."""
    warmup = max(1, int(_WARMUP_SHARE * steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _batches(
    rows: npt.NDArray[np.int64], batch: int, first: int, steps: int, seed: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of the steps `first`..`steps`-1: one shuffled pass after another, the same however often it is resumed."""
    passes: dict[int, npt.NDArray[np.int64]] = {}

    def order(epoch: int) -> npt.NDArray[np.int64]:
        if epoch not in passes:
            passes.pop(epoch - 2, None)
            passes[epoch] = np.random.default_rng((seed, epoch)).permutation(rows)
        return passes[epoch]

    for step in range(first, steps):
        positions = np.arange(step * batch, (step + 1) * batch)
        epochs = positions // len(rows)
        chosen = np.concatenate(
            [order(int(epoch))[positions[epochs == epoch] % len(rows)] for epoch in np.unique(epochs)]
        )
        yield np.sort(chosen)  # in the file's order: the pictures are memory-mapped
