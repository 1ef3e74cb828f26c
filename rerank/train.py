"""Train the reranker on what pages showed and retrieval returned, in the slice after the towers'."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.files import finite, write_json
from catalog.progress import console
from catalog.schema import ShopData
from rerank.artifacts import FeatureSpec, FittedFeatures, save
from rerank.associations import fit_associations
from rerank.candidates import Candidates
from rerank.config import RerankConfig
from rerank.features import FeatureExtractor
from rerank.learner import AfterEpoch, Learner, best_epoch
from rerank.lists import build_lists, teaching
from rerank.pictures import fit_basis, picture_table
from rerank.product_tables import (
    behaviour_table,
    build_tables,
    choose_keys,
    known_products,
    served_behaviour_table,
)
from rerank.relevance import Relevance, Unjudged, fit_relevance
from rerank.slices import Slice, with_features
from rerank.training_data import TrainingData

_FINAL_REQUESTS = 1000  # validation requests, of all days, whose whole candidate lists are ordered at the end


def train(
    shop: ShopData,
    features: FeatureStore,
    tokenizer: Path,
    pictures: npt.NDArray[np.floating],
    candidates_dir: Path,
    config: RerankConfig,
    out_dir: Path,
    after_epoch: AfterEpoch | None = None,
) -> None:
    """Train on `candidates_dir/rerank`, stop early on `candidates_dir/validation`, write weights and metrics.

    Goes on from the last finished epoch of an earlier call with the same data and settings.

    Args:
        tokenizer: SentencePiece model file.
        pictures: [M, E] the picture network's embeddings by image row.
        after_epoch: called with the validation NDCG@10 of each epoch so far once an epoch's checkpoint is written.

    Raises:
        DataError: when a slice holds no shown page, or without impressions no choice among the candidates.
        ArtifactError: when the candidates are missing or broken.
        TandemError: when the loss is no longer a number.
    """
    keras.utils.set_random_seed(config.seed)
    rerank = select_requests(features, Candidates.load(candidates_dir / "rerank"), config.max_requests, None)
    held_out = select_requests(
        features, Candidates.load(candidates_dir / "validation"), config.max_validation_requests, config.seed
    )
    # Probabilities are calibrated on what a release made when the validation days began would have read.
    morning = features.slices.validation[0]
    prepared = prepare(shop, features, tokenizer, pictures, (rerank, held_out), config, (morning,))
    learner = Learner(prepared.extractor, prepared.spec, config)
    training, validation = (
        with_features(prepared.lists(part, config.list_length), prepared.extractor, config.feature_memory_gb)
        for part in (rerank, held_out)
    )
    history = learner.fit(training, validation, out_dir / "checkpoint.npz", after_epoch)
    final = select_requests(features, held_out, _FINAL_REQUESTS, config.seed)
    # Every candidate, and every shown product besides.
    whole = prepared.lists(final, final.rows.shape[1] + config.list_length)
    calibrating = prepared.lists(held_out, config.list_length, morning)
    trained = learner.trained(prepared.fitted, training, calibrating)
    save(out_dir, trained)
    metrics = learner.metrics(whole)
    if not features.pages_logged:
        metrics["heads"] = {}  # of a choice among list_length candidates, and here all candidates count as shown
    examination = trained.examination.tolist()
    write_json(
        out_dir / "metrics.json",
        finite(
            {
                "epochs": history,
                "best_epoch": best_epoch(history, config.epochs) + 1,
                "validation": metrics,
                "examination": examination,
                "lists": training.data.size,
            }
        ),
    )
    (out_dir / "checkpoint.npz").unlink()  # it was for a killed training; a finished one is not gone on with
    console.print(
        f"rerank: kept the weights of epoch {best_epoch(history, config.epochs) + 1} of {len(history)}; NDCG@10 among "
        "all candidates on validation clicks, corrected for position: "
        f"{metrics['candidates']['corrected_ndcg@10_before']:.4f} before, "
        f"{metrics['candidates']['corrected_ndcg@10_after']:.4f} after"
    )


@dataclass(frozen=True)
class Prepared:
    """What is fitted before the weights are, and the features that follow from it.

    slots: day -> slot of the behaviour table, of every day that the candidates' requests fall on. served: day -> slot
    of the counters that a release of that morning has.
    """

    features: FeatureStore
    config: RerankConfig
    extractor: FeatureExtractor
    spec: FeatureSpec
    fitted: FittedFeatures
    slots: dict[int, int]
    served: dict[int, int]

    def lists(self, candidates: Candidates, length: int, day: int | None = None) -> Slice:
        """Training lists of `candidates`, at most `length` products each.

        Args:
            day: of `served`: all requests see what a release of that morning would; by default each sees its own
                day's counters.
        """
        slots = self.slots if day is None else dict.fromkeys(self.slots, self.served[day])
        lists = build_lists(self.features, candidates, length, self.config.seed)
        return Slice(TrainingData(self.features, candidates, lists, slots, self.config, day), candidates)


def prepare(
    shop: ShopData,
    features: FeatureStore,
    tokenizer: Path,
    pictures: npt.NDArray[np.floating],
    parts: Sequence[Candidates],
    config: RerankConfig,
    served: Sequence[int] = (),
) -> Prepared:
    """Fit what features rest on, and learn grades from judgments.

    Args:
        parts: everything that lists will be made of; the first is what is trained on.
        served: days on whose mornings a release would have been made, for lists that are read as it reads them.
    """
    keys = choose_keys(shop, config.lexical)
    tables = build_tables(shop, features, tokenizer, keys, config.lexical)
    days = sorted({int(day) for part in parts for day in features.request_day[part.request]})
    counters, kind_weights = tuple(features.snapshot_features), tuple(features.weights.tolist())
    known = known_products(features)
    basis = fit_basis(shop.products, pictures, config.picture_dim, known)
    associations = fit_associations(features, tables, config.lexical)
    behaviour = [behaviour_table(tables, features, days)]
    behaviour += [served_behaviour_table(tables, features, day, config) for day in served]
    extractor = FeatureExtractor(
        tables,
        np.concatenate(behaviour),
        counters,
        parts[0].product_embeddings,
        picture_table(shop.products, pictures, basis, known),
        associations,
        tokenizer,
        config,
        kind_weights,
    )
    ids = shop.products["product_id"].to_pylist()
    relevance = fit_relevance(
        shop.judgments, ids, extractor, config.relevance, config.seed, _searches(features, parts[0])
    )
    if relevance is not None:
        extractor.relevance = Relevance(relevance)
    spec = FeatureSpec(keys, counters, extractor.names, parts[0].query_embedding.shape[1], kind_weights)
    fitted = FittedFeatures(basis, associations, relevance)
    slots = {day: slot for slot, day in enumerate(days)}
    releases = {day: slot for slot, day in enumerate(served, len(days))}
    return Prepared(features, config, extractor, spec, fitted, slots, releases)


def _searches(features: FeatureStore, candidates: Candidates) -> Unjudged:
    query = features.request_query[candidates.request]
    asked = np.flatnonzero(query >= 0)
    return Unjudged(np.asarray(features.queries, dtype=object)[query[asked]], candidates.rows[asked])


def select_requests(features: FeatureStore, candidates: Candidates, limit: int, seed: int | None) -> Candidates:
    """Requests that teach something (`lists.teaching`), at most `limit`: the latest ones, or with a seed a sample."""
    request = np.asarray(candidates.request, dtype=np.int64)
    places = np.flatnonzero(teaching(features, candidates))
    if not len(places):
        if not features.pages_logged:
            raise DataError(
                f"the reranker learns from choices among the candidates, and none of {len(request)} requests has one; "
                "make the slice longer, or raise release.candidates"
            )
        raise DataError(
            f"the reranker learns from shown pages, and none of {len(request)} requests with candidates has an "
            "impression; log impressions with positions, or make the slice longer"
        )
    if len(places) > limit:
        if seed is None:
            latest = np.argsort(features.request_timestamp[request[places]], kind="stable")[-limit:]
            places = np.sort(places[latest])
        else:
            places = np.sort(np.random.default_rng(seed).choice(places, limit, replace=False))
    return candidates.take(places)
