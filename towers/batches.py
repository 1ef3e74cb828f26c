"""Training batches of integers: searches, sequences, pseudo-queries and negatives, all from the towers' slice."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from catalog.misspelling import misspell
from catalog.schema import ShopData
from towers.config import TowersConfig
from towers.next_items import Batch, NextItems, Part, Rows
from towers.pseudo_queries import PseudoQueries
from towers.tables import ProductTables
from towers.text import Tokenizer

_MISSPELT_VARIANTS = 3
_MOST_SEQUENCES = 512
_SPARE_TARGETS = 1.25  # sequences a batch hold this many times the targets that are drawn from them
_FEWEST_STEPS = 40  # an epoch: of one or two, towers stayed nearly what they began with (docs/LOG.md, 2026-11-23)


@dataclass(frozen=True)
class BatchSizes:
    """Examples of each kind a batch; 0 where the shop has none of them."""

    search: int
    next_items: int
    sequences: int
    catalogue: int
    negatives: int
    hard: int

    @property
    def queries(self) -> int:
        """Queries a batch, each with its own product."""
        return self.search + self.next_items + self.catalogue


class Batches:
    """Draws the batches of an epoch; the same seed and epoch draw the same ones.

    A batch, with S searches, W sequences, T next items, C pseudo-queries, U further negatives, and P profile columns:
    - search_tokens [S, Tq], search_rows, search_kinds, search_timestamps [S, Hs], search_timestamp [S],
      search_profile [S, P]
    - sequence_rows, sequence_kinds, sequence_timestamps [W, H]; item_slot [T], the position in the flattened sequences
      that is read, -1 for a user's first event, before which there is nothing; item_timestamp [T], item_profile [T, P]
    - catalogue_tokens [C, Tq], catalogue_picture [C], the row of the query picture or of none
    - product, day [S + T + C + U]: each query's own product, then the negatives
    - weight [S + T + C] float32; 0 for all but pseudo-queries in the first `catalogue_epochs`

    Args:
        shop: the catalogue's texts.
        features: the log.
        tables: the catalogue's tables.
        tokenizer: of the towers.
        profile: [U, P] int32, profile values of the users as table rows.
        config: of the towers.
    """

    def __init__(
        self,
        shop: ShopData,
        features: FeatureStore,
        tables: ProductTables,
        tokenizer: Tokenizer,
        profile: Rows,
        config: TowersConfig,
    ) -> None:
        self._features, self._tables, self._tokenizer = features, tables, tokenizer
        self._profile, self._config = profile, config
        self.search_length = min(config.history.search_length, config.history.length)
        self._end = features.slices.towers[1]
        self.launched = np.flatnonzero(features.launched < self._end).astype(np.int32)
        self.searches = np.flatnonzero((features.example_slice == 0) & (features.example_query >= 0))
        self._items = NextItems(features, profile, config)
        names = ("title", "brand", "category", "attributes")
        self._pseudo = PseudoQueries({name: shop.products[name].to_pylist() for name in names})
        self._query_tokens = self._tokenize_queries()
        self.sizes = self._sizes()
        self.probabilities = self._probabilities()
        self.hard_negatives: Rows | None = None
        """[searches, k] rows that were wrongly ranked high for each of `searches`, once they have been mined."""

    def _tokenize_queries(self) -> Rows:
        """[1 + variants, Q, Tq]: every query of the slice as typed, and in misspelt variants."""
        features, random = self._features, Random(self._config.seed)
        used = np.unique(features.example_query[self.searches])
        length = self._config.text.query_tokens
        tokens = np.zeros((1 + _MISSPELT_VARIANTS, len(features.queries), length), np.int32)
        texts = [str(features.queries[index]) for index in used]
        for variant in range(1 + _MISSPELT_VARIANTS):
            changed = texts if variant == 0 else [misspell(text, random) for text in texts]
            if changed:
                tokens[variant, used] = self._tokenizer.encode(changed, length)
        return tokens

    def _sizes(self) -> BatchSizes:
        training = self._config.training
        targets = len(self._items.targets)
        next_items = training.next_items if targets else 0
        windows = self._items.window_count
        needed = math.ceil(_SPARE_TARGETS * next_items * windows / max(targets, 1))
        return BatchSizes(
            search=training.search_examples if len(self.searches) else 0,
            next_items=next_items,
            sequences=min(training.sequences or max(needed, 1), _MOST_SEQUENCES, windows) if next_items else 0,
            catalogue=training.catalogue_queries if len(self.launched) else 0,
            negatives=training.mixed_negatives if len(self.launched) else 0,
            hard=training.hard_negatives if len(self.searches) else 0,
        )

    @property
    def steps(self) -> int:
        """Batches of an epoch: unless configured as many as a pass takes, and not too few to learn from."""
        return self._config.training.steps_per_epoch or max(self.pass_steps, _FEWEST_STEPS)

    @property
    def pass_steps(self) -> int:
        """Batches that show every search and every sequence once."""
        sizes, steps = self.sizes, 1
        if sizes.search:
            steps = max(steps, math.ceil(len(self.searches) / sizes.search))
        if sizes.next_items:
            steps = max(steps, math.ceil(self._items.window_count / sizes.sequences))
        if not sizes.search and not sizes.next_items:
            steps = math.ceil(len(self.launched) / max(sizes.catalogue, 1))
        return steps

    def _probabilities(self) -> npt.NDArray[np.float32]:
        """[N] how likely a candidate of a batch is this product: Q of the logQ correction, over the largest Q.

        Hard negatives are left out: once mined, they are a query's own. Until then they are uniform draws besides.
        RetrievalTask takes what is below 1e-6 for 1e-6, as every product of a catalogue of millions would be.
        """
        n, sizes, features = self._tables.n_products, self.sizes, self._features
        total = np.zeros(n)
        if sizes.search:
            counts = np.bincount(features.example_product[self.searches], minlength=n)
            total += sizes.search * counts / counts.sum()
        if sizes.next_items:
            counts = np.bincount(self._items.targets, minlength=n)
            total += sizes.next_items * counts / counts.sum()
        if len(self.launched):
            total[self.launched] += (sizes.catalogue + sizes.negatives) / len(self.launched)
        return (total / max(total.max(), 1e-9)).astype(np.float32)

    def epoch(self, epoch: int, replica: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, for one replica."""
        rng = np.random.default_rng((self._config.seed, epoch, replica))
        random = Random(int(rng.integers(2**62)))
        sizes, steps = self.sizes, self.steps
        searches = _cycle(np.arange(len(self.searches)), sizes.search, steps, rng)
        windows = _cycle(self._items.windows(rng), sizes.sequences, steps, rng)
        catalogue = _cycle(self.launched, sizes.catalogue, steps, rng)
        of_log = sizes.search + sizes.next_items if sizes.catalogue else 0
        for step in range(steps):
            batch = self._batch(searches[step], windows[step], catalogue[step], rng, random)
            if epoch < self._config.training.catalogue_epochs:
                batch["weight"][:of_log] = 0.0  # what they are about is still a negative of the others
            yield batch

    def _batch(
        self,
        searches: npt.NDArray[np.int64],
        windows: npt.NDArray[np.int64],
        catalogue: Rows,
        rng: np.random.Generator,
        random: Random,
    ) -> Batch:
        search, search_rows, search_days, search_weights = self._search_part(searches, rng)
        items, item_rows, item_days, item_weights = self._items.draw(windows, self.sizes.next_items, rng)
        pseudo = self._catalogue_part(catalogue, random)
        negatives = self._negatives(searches, rng)
        pseudo_days, negative_days = self._days(catalogue, rng), self._days(negatives, rng)
        weights = [search_weights, item_weights, np.ones(len(catalogue), np.float32)]
        return {
            **search,
            **items,
            **pseudo,
            "product": np.concatenate([search_rows, item_rows, catalogue, negatives]).astype(np.int32),
            "day": np.concatenate([search_days, item_days, pseudo_days, negative_days]).astype(np.int32),
            "weight": np.concatenate(weights),
        }

    def _search_part(self, drawn: npt.NDArray[np.int64], rng: np.random.Generator) -> Part:
        features, config = self._features, self._config
        chosen = self.searches[drawn]
        users = features.example_user[chosen]
        rows, kinds, timestamps = features.history(users, features.example_history_end[chosen], self.search_length)
        variant = rng.integers(1, 1 + _MISSPELT_VARIANTS, len(chosen))
        variant[rng.random(len(chosen)) >= config.text.noisy_share] = 0
        batch: Batch = {
            "search_tokens": self._query_tokens[variant, features.example_query[chosen]],
            "search_rows": rows,
            "search_kinds": kinds,
            "search_timestamps": timestamps,
            "search_timestamp": features.example_timestamp[chosen],
            "search_profile": self._profile[users],
        }
        weights = (features.example_weight[chosen] ** config.training.weight_power).astype(np.float32)
        return batch, features.example_product[chosen], features.example_day[chosen], weights

    def _catalogue_part(self, rows: Rows, random: Random) -> Batch:
        config = self._config
        no_picture = len(self._tables.images) - 1
        texts, pictures = [], np.full(len(rows), no_picture, np.int32)
        for index, row in enumerate(rows.tolist()):
            text = self._pseudo.draw(row, random)
            if random.random() < config.text.noisy_share:
                text = misspell(text, random)
            if random.random() < config.training.picture_query_share:
                pictures[index] = self._tables.image_row[row]
                if pictures[index] != no_picture and random.random() < 0.5:
                    text = ""
            texts.append(text)
        return {
            "catalogue_tokens": self._tokenizer.encode(texts, config.text.query_tokens),
            "catalogue_picture": pictures,
        }

    def _negatives(self, searches: npt.NDArray[np.int64], rng: np.random.Generator) -> Rows:
        rows = [rng.choice(self.launched, self.sizes.negatives)] if self.sizes.negatives else []
        if self.sizes.hard:
            if self.hard_negatives is None:
                rows.append(rng.choice(self.launched, self.sizes.hard))
            else:
                mined = self.hard_negatives[searches].ravel()
                rows.append(rng.choice(mined, self.sizes.hard))
        return np.concatenate(rows).astype(np.int32) if rows else np.zeros(0, np.int32)

    def _days(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """A random day of the slice for each product, not before its launch."""
        first = np.clip(self._features.launched[rows], 0, self._end - 1)
        return rng.integers(first, self._end).astype(np.int32)


def _cycle(values: npt.NDArray[np.generic], size: int, steps: int, rng: np.random.Generator) -> npt.NDArray[np.generic]:
    """[steps, size, ...] draws: shuffled passes over `values`, one after the other."""
    if not size or not len(values):
        return np.zeros((steps, 0, *values.shape[1:]), values.dtype)
    passes = math.ceil(steps * size / len(values))
    order = np.concatenate([rng.permutation(len(values)) for _ in range(passes)])[: steps * size]
    return values[order].reshape(steps, size, *values.shape[1:])
