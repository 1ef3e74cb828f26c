"""Train the towers: searches, sequences and the catalogue's own words at once."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.errors import DataError, TandemError
from catalog.feature_store import FeatureStore
from catalog.files import write_json
from catalog.progress import console, track
from catalog.schema import ShopData
from towers.averaging import WeightAverage
from towers.batches import Batches
from towers.behaviour import RAW_BEHAVIOUR
from towers.checkpoints import Checkpoints, Progress, checkpoints_folder, load_weights, save_weights
from towers.config import TowersConfig
from towers.devices import make_strategy, precision
from towers.finetuning import PictureTraining
from towers.fused import FusedAdam
from towers.mining import mine_hard_negatives
from towers.prepared_text import prepare_text, training_key
from towers.tables import GraphTables, Vocabulary, make_tables
from towers.text import Tokenizer
from towers.trained import Towers, profile_table
from towers.training_step import TrainingStep, make_update
from towers.two_towers import TwoTowers
from towers.validation import Validation

_FINAL_RATE = 5.0  # times the learning rate after the warm-up, at the end of the training
_WARMUP_SHARE = 0.1  # of the training, at most
_ADAPT_SAMPLE = 20_000
_PREFETCH = 4

AfterEpoch = Callable[[list[float]], None]


class TrainingError(TandemError):
    """A training that cannot go on."""


def train(
    shop: ShopData,
    features: FeatureStore,
    images_dir: Path,
    config: TowersConfig,
    out_dir: Path,
    after_epoch: AfterEpoch | None = None,
) -> None:
    """Train both towers on the towers' slice, choosing the epoch by the recall on the validation slice.

    Writes config.json, vocabulary.json, tokenizer.model, towers.weights.h5, metrics.json, tensorboard/, and with
    `finetune_images` pictures/. A killed training goes on after its last whole epoch.

    Args:
        shop: the validated tables.
        features: the log's features.
        images_dir: what `prepare_images` wrote.
        config: of the towers.
        out_dir: where everything goes.
        after_epoch: called with `recall/mean` of each epoch so far once an epoch's checkpoint is written.

    Raises:
        TrainingError: if the loss is not a number.
        DataError: if there is nothing to train on.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    key = training_key(shop, features, images_dir, config)
    tokenizer, vocabulary = prepare_text(shop, features, images_dir, config, out_dir, key)
    with precision(config.device.precision):
        _Training(shop, features, images_dir, config, out_dir, key, tokenizer, vocabulary).run(after_epoch)


class _Training:
    """One training from its data to its files."""

    def __init__(
        self,
        shop: ShopData,
        features: FeatureStore,
        images_dir: Path,
        config: TowersConfig,
        out_dir: Path,
        key: str,
        tokenizer: Tokenizer,
        vocabulary: Vocabulary,
    ) -> None:
        self.features, self.config, self.out_dir, self.key = features, config, out_dir, key
        keras.utils.set_random_seed(config.seed)
        tables = make_tables(shop, features, images_dir, tokenizer, vocabulary)
        self.batches = Batches(shop, features, tables, tokenizer, profile_table(features, config), config)
        if not self.batches.sizes.queries:
            raise DataError(
                f"nothing to train on in the towers' slice: {features!r}, and the config draws "
                f"{config.training.catalogue_queries} catalogue queries a batch"
            )
        self.pictures = PictureTraining(shop, images_dir) if config.training.finetune_images else None
        self.strategy = make_strategy(config.device)
        steps = config.training.epochs * self.batches.steps
        with self.strategy.scope():
            backbone = self.pictures.backbone if self.pictures else None
            self.model = TwoTowers(config, vocabulary, tokenizer.vocab_size, backbone)
            self.optimizer = _optimizer(config, steps)
            self.optimizer.build(self.model.trainable_variables)
            self.average = WeightAverage(self.model.trainable_variables, config.training.average)
        graph = GraphTables(tables, config.dim, images_change=self.pictures is not None)
        self.towers = Towers(self.model, graph, tokenizer, vocabulary, config, features)
        training = config.training
        self.validation = Validation(features, config.history.length, training.validation_examples, config.seed)
        days = features.slices.towers[1]
        snapshots = np.asarray(features.snapshots[:days], np.float32)
        self._adapt(snapshots)
        pixels = self.pictures.pixels if self.pictures else None
        self.step = TrainingStep(
            self.model, graph, snapshots, self.batches.probabilities, self.batches.sizes, config, pixels
        )

    def _adapt(self, snapshots: npt.NDArray[np.float32]) -> None:
        """Give the behaviour encoder the statistics of the products that batches hold, and the catalogue's means."""
        wanted = max(1, _ADAPT_SAMPLE // max(self.batches.sizes.queries, 1))
        sample = list(islice(self.batches.epoch(0), min(wanted, self.batches.steps)))
        rows = np.concatenate([batch["product"] for batch in sample])
        days = np.concatenate([batch["day"] for batch in sample])
        inputs = self.towers.tables.product(rows, days, tf.constant(snapshots[days, rows]))
        launched = self.batches.launched
        self.model.product.behaviour.adapt(
            {name: inputs[name].numpy() for name in RAW_BEHAVIOUR},
            np.asarray(self.features.snapshots[len(snapshots)])[launched].mean(axis=0),
            float(self.towers.tables.rating_count.numpy()[launched].mean()),
        )

    def run(self, after_epoch: AfterEpoch | None) -> None:
        checkpoints = Checkpoints(checkpoints_folder(self.out_dir), self.model, self.optimizer, self.average)
        progress = checkpoints.restore(self.key)
        if progress.epoch:
            console.print(f"towers: going on after epoch {progress.epoch}")
        else:
            self._describe()
        update = make_update(self.step, self.optimizer, self.strategy, self.average)
        writer = tf.summary.create_file_writer(str(self.out_dir / "tensorboard"))
        with self.average.applied():
            products = self._refresh()
        while progress.epoch < self.config.training.epochs and not progress.stopped:
            self._mine(products, progress.epoch)
            started = time.perf_counter()
            loss = self._epoch(update, progress)
            seconds = time.perf_counter() - started
            with self.average.applied():
                products = self._refresh()
                recall = self.validation.recall(self.towers.query_embeddings, products)
            self._record(progress, loss, seconds, recall, writer)
            checkpoints.save(progress)
            if after_epoch is not None:
                after_epoch([epoch["recall/mean"] for epoch in progress.epochs])
        load_weights(self.model, checkpoints.best_weights)
        if self.pictures:
            self.pictures.write(self.model.backbone, self.out_dir / "pictures")
        self._finish(progress)
        checkpoints.clear()
        writer.close()

    def _refresh(self) -> npt.NDArray[np.float32]:
        if self.pictures:
            self.towers.tables.set_images(self.pictures.embed(self.model.backbone))
        return self.towers.refresh(self.validation.day)

    def _mine(self, products: npt.NDArray[np.float32], epoch: int) -> None:
        # Untrained towers rank at random: what they get wrong is not hard.
        if self.batches.sizes.hard and epoch:
            with self.average.applied():
                self.batches.hard_negatives = mine_hard_negatives(
                    self.towers, self.batches, products, self.config.seed + epoch
                )

    def _epoch(self, update: Any, progress: Progress) -> float:
        """All batches of one epoch; returns the mean loss."""
        total, pending = 0.0, []
        steps, every = self.batches.steps, self.config.training.check_steps
        described = f"towers: epoch {progress.epoch + 1}/{self.config.training.epochs}"
        for index, batch in enumerate(track(self._feed(progress.epoch), described, steps), start=1):
            pending.append(update(batch))
            progress.step += 1
            if index % every == 0 or index == steps:
                total += self._checked_sum(pending, progress.step)
                pending = []
        return total / steps

    def _checked_sum(self, losses: list[tf.Tensor], step: int) -> float:
        values = tf.stack(losses).numpy()
        if not np.isfinite(values).all():
            wrong = step - len(values) + 1 + int(np.flatnonzero(~np.isfinite(values))[0])
            training = self.config.training
            raise TrainingError(
                f"the loss of step {wrong} is {values[~np.isfinite(values)][0]}, not a number. "
                f"learning_rate is {training.learning_rate} and temperature starts at {training.temperature}: lower "
                "the one or raise the other, or set device.precision to float32; the checkpoints before are kept in "
                f"{checkpoints_folder(self.out_dir)}"
            )
        return float(values.sum())

    def _feed(self, epoch: int) -> Iterator[Any]:
        """Batches as tensors, made ahead while the step before runs; for several replicas one each.

        tf.data's autotuning is off: there is nothing to tune here, and with it whoever is done with an iterator waits
        until its thread wakes up again, after 10 ms, 20, 40 and so on to a minute.
        """
        fixed = tf.data.Options()
        fixed.autotune.enabled = False
        replicas = self.strategy.num_replicas_in_sync
        first = next(self.batches.epoch(epoch))
        spec = {name: tf.TensorSpec(values.shape, values.dtype) for name, values in first.items()}
        sources = [
            iter(
                tf.data.Dataset.from_generator(
                    lambda replica=replica: self.batches.epoch(epoch, replica), output_signature=spec
                )
                .prefetch(_PREFETCH)
                .with_options(fixed)
            )
            for replica in range(replicas)
        ]
        for _ in range(self.batches.steps):
            if replicas == 1:
                yield next(sources[0])
            else:
                drawn = [next(source) for source in sources]
                yield {
                    name: self.strategy.experimental_distribute_values_from_function(
                        lambda context, name=name, drawn=drawn: drawn[context.replica_id_in_sync_group][name]
                    )
                    for name in spec
                }

    def _record(self, progress: Progress, loss: float, seconds: float, recall: dict[str, float], writer: Any) -> None:
        progress.epoch += 1
        examples = self.batches.steps * self.batches.sizes.queries * self.strategy.num_replicas_in_sync
        values = {
            "loss": loss,
            "temperature": float(self.model.temperature),
            "examples_per_second": examples / seconds,
            "seconds": seconds,
            **recall,
        }
        progress.epochs.append({"epoch": progress.epoch, **values})
        unjudged = len(recall) == 1  # the mean of nothing: then the last epoch is the best
        if unjudged or recall["recall/mean"] > progress.best:
            progress.best, progress.best_epoch = recall["recall/mean"], progress.epoch
        progress.stopped = progress.epoch - progress.best_epoch >= self.config.training.patience
        with writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=progress.epoch)
        writer.flush()
        shown = ", ".join(f"{name} {value:.3f}" for name, value in recall.items())
        console.print(
            f"towers: epoch {progress.epoch}: loss {loss:.3f}, validation {shown}; "
            f"{seconds:.0f} s, {examples / seconds:,.0f} examples/s"
        )

    def _describe(self) -> None:
        sizes, batches = self.batches.sizes, self.batches
        console.print(
            f"towers: {self.model.count_params():,} weights; {batches.steps} steps an epoch of {sizes.search} "
            f"searches, {sizes.next_items} next items from {sizes.sequences} sequences, {sizes.catalogue} catalogue "
            f"queries and {sizes.negatives + sizes.hard} further negatives; validation: "
            f"{len(self.validation.search):,} searches, {len(self.validation.recommendation):,} recommendations"
        )
        if batches.pass_steps < batches.steps and not self.config.training.steps_per_epoch:
            console.print(
                f"[yellow]towers: there is little to learn from: a pass over it takes {batches.pass_steps} steps, and "
                f"an epoch goes over it {batches.steps / batches.pass_steps:.1f} times; a longer log helps[/yellow]"
            )

    def _finish(self, progress: Progress) -> None:
        save_weights(self.model, self.out_dir / "towers.weights.h5")
        best = progress.epochs[progress.best_epoch - 1]
        write_json(
            self.out_dir / "metrics.json",
            {
                "best_epoch": progress.best_epoch,
                "steps": progress.step,
                "stopped_early": progress.stopped,
                "recall": {name: value for name, value in best.items() if name.startswith("recall")},
                "epochs": progress.epochs,
            },
        )
        training = self.config.training
        why = f": no better validation recall in {training.patience} more (towers.training.patience)"
        console.print(
            f"towers: kept the weights of epoch {progress.best_epoch} of {progress.epoch}"
            + (why if progress.stopped else "")
        )


def _optimizer(config: TowersConfig, steps: int) -> keras.optimizers.Optimizer:
    """Adam with a linear warm-up, after which the rate rises along half a cosine to five times itself.

    The average of the weights makes up for what such steps overshoot. The loss is scaled in mixed_float16.

    A rate that falls learns the products of the log better, and those launched after it worse (docs/LOG.md).
    """
    training = config.training
    warmup = min(training.warmup_steps, int(steps * _WARMUP_SHARE))
    rate = keras.optimizers.schedules.CosineDecay(
        training.learning_rate / max(warmup, 1),
        max(steps - warmup, 1),
        alpha=_FINAL_RATE,
        warmup_target=training.learning_rate,
        warmup_steps=warmup,
    )
    adam = FusedAdam(rate, global_clipnorm=training.clip_norm)
    return keras.optimizers.LossScaleOptimizer(adam) if config.device.precision == "mixed_float16" else adam
