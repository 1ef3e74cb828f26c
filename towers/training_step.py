"""One step of training: a batch of integers to gradients, on every replica."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from towers.alignment import alignment_loss
from towers.averaging import WeightAverage
from towers.batches import BatchSizes
from towers.config import TowersConfig
from towers.product_tower import PRODUCT_MODALITIES
from towers.retrieval_task import RetrievalTask
from towers.tables import GraphTables
from towers.two_towers import TwoTowers

Step = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]


class TrainingStep:
    """The forward pass, the loss and the update.

    Args:
        model: the towers, made in the strategy's scope.
        tables: the catalogue.
        snapshots: [days, N, F] float32, the counters of the towers' slice.
        probabilities: [N] float32, Q of the logQ correction.
        sizes: of the batches.
        config: of the towers.
        pixels: [M + 1, S, S, 3] uint8 where the picture network is trained too, else None.
    """

    def __init__(
        self,
        model: TwoTowers,
        tables: GraphTables,
        snapshots: npt.NDArray[np.float32],
        probabilities: npt.NDArray[np.float32],
        sizes: BatchSizes,
        config: TowersConfig,
        pixels: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        self.model, self.tables, self.sizes, self.config = model, tables, sizes, config
        self.task = RetrievalTask(config.training.logq)
        self._snapshots = tf.reshape(tf.constant(snapshots), (-1, snapshots.shape[2]))
        self._probabilities = tf.constant(probabilities)
        self._image_deviation = tf.constant(tables.images.numpy().astype(np.float32).std(axis=0))
        self._pixels = None if pixels is None else tf.constant(pixels)

    def loss(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """This replica's part of the weighted mean loss, a scalar float32."""
        queries = self.queries(batch)
        rows, days = batch["product"], batch["day"]
        counters = tf.gather(self._snapshots, days * self.tables.n_products + rows)
        inputs = self.tables.product(rows, days, counters)
        if self._pixels is not None and self.model.backbone is not None:
            pixels = tf.gather(self._pixels, tf.gather(self.tables.image_row, rows))
            inputs["image"] = self.model.backbone(pixels, training=False)  # its batch statistics stay as they are
        vectors, presence = self.model.product.vectors(inputs, training=True)
        candidates, _ = self.model.product.fuse(vectors, presence, training=True)
        loss = self.task(
            queries, candidates, rows, batch["weight"], self.model.temperature, tf.gather(self._probabilities, rows)
        )
        if self.config.training.alignment:
            loss += self.config.training.alignment * self._alignment(vectors, presence, rows)
        return loss

    def _alignment(self, vectors: tf.Tensor, presence: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """This replica's part of the alignment of its products' texts and pictures, a scalar float32."""
        text, image = (PRODUCT_MODALITIES.index(name) for name in ("text", "image"))
        both = presence[:, text] & presence[:, image]
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync if context is not None else 1
        return alignment_loss(vectors[:, text], vectors[:, image], both, rows) / replicas

    def queries(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """[queries, dim] unit vectors of the searches, next items and pseudo-queries, in this order."""
        model, sizes = self.model, self.sizes
        tokens = tf.concat([batch["search_tokens"], batch["catalogue_tokens"]], axis=0)
        text, has_text = model.text(tokens, training=True)
        read, has_read = self._search_histories(batch)
        items, has_items = self._item_histories(batch)
        image, has_image = self._query_pictures(batch["catalogue_picture"])
        profile, has_profile = model.query.profile(tf.concat([batch["search_profile"], batch["item_profile"]], axis=0))
        kinds = (sizes.search, sizes.next_items, sizes.catalogue)
        vectors = tf.stack(
            [
                _spread(kinds, text, (0, 2)),
                _spread(kinds, image, (2,)),
                _spread(kinds, tf.concat([read, items], axis=0), (0, 1)),
                _spread(kinds, profile, (0, 1)),
            ],
            axis=1,
        )
        presence = tf.stack(
            [
                _spread(kinds, has_text, (0, 2)),
                _spread(kinds, has_image, (2,)),
                _spread(kinds, tf.concat([has_read, has_items], axis=0), (0, 1)),
                _spread(kinds, has_profile, (0, 1)),
            ],
            axis=1,
        )
        embeddings, _ = model.query(vectors, presence=presence, training=True)
        return embeddings

    def _search_histories(self, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        states, present = self._states(batch, "search")
        timestamps = batch["search_timestamps"][:, -1]
        since = batch["search_timestamp"] - timestamps
        return self.model.query.history.read(states[:, -1], since, present[:, -1]), present[:, -1]

    def _item_histories(self, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        states, _ = self._states(batch, "sequence")
        slot = batch["item_slot"]
        present = slot >= 0
        at = tf.maximum(slot, 0)
        flat = tf.reshape(states, (-1, self.config.dim))
        timestamps = tf.gather(tf.reshape(batch["sequence_timestamps"], (-1,)), at)
        return self.model.query.history.read(
            tf.gather(flat, at), batch["item_timestamp"] - timestamps, present
        ), present

    def _states(self, batch: Mapping[str, tf.Tensor], prefix: str) -> tuple[tf.Tensor, tf.Tensor]:
        rows, kinds = batch[f"{prefix}_rows"], batch[f"{prefix}_kinds"]
        present = kinds > 0
        states = self.model.query.states(
            **self.tables.history(rows),
            kinds=kinds,
            timestamps=batch[f"{prefix}_timestamps"],
            present=present,
            training=True,
        )
        return states, present

    def _query_pictures(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        embeddings, present = self.tables.image(rows), self.tables.has_image(rows)
        noise = keras.random.normal(tf.shape(embeddings), seed=self.model.query.random)
        noise *= self._image_deviation * self.config.training.picture_noise
        return self.model.image(embeddings + noise, presence=present), present


def _spread(sizes: tuple[int, ...], values: tf.Tensor, given: tuple[int, ...]) -> tf.Tensor:
    """Values of some kinds of query among zeros for the others; `given` are the kinds that have values, in order."""
    parts = tf.split(values, [sizes[kind] for kind in given])
    empty = [tf.zeros((size, *values.shape[1:]), values.dtype) for size in sizes]
    for kind, part in zip(given, parts, strict=True):
        empty[kind] = part
    return tf.concat(empty, axis=0)


def make_update(
    step: TrainingStep, optimizer: keras.optimizers.Optimizer, strategy: Any, average: WeightAverage
) -> Step:
    """A compiled function of a batch (one a replica): updates the weights and their average, returns the loss over all
    replicas.
    """
    variables = step.model.trainable_variables

    def update(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = step.loss(batch)
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        given = [
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None
        ]
        optimizer.apply([gradient for gradient, _ in given], [variable for _, variable in given])
        return loss

    @tf.function(autograph=False)
    def run(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        loss = strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(update, args=(batch,)), axis=None)
        average.update()
        return loss

    return run
