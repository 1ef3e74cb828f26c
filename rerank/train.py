"""Train the reranker on what pages showed and retrieval returned, in the slice after the towers'."""

from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.files import write_json
from catalog.progress import console
from catalog.schema import ShopData
from rerank.artifacts import FeatureSpec, FittedFeatures, save
from rerank.associations import fit_associations
from rerank.config import RerankConfig
from rerank.features import FeatureExtractor
from rerank.learner import Learner, Slice
from rerank.lists import Candidates, build_lists
from rerank.pictures import fit_basis, picture_table
from rerank.product_tables import behaviour_table, build_tables, choose_keys, known_products
from rerank.relevance import Relevance, fit_relevance
from rerank.training_data import TrainingData

_FINAL_REQUESTS = 1000  # validation requests whose whole candidate lists are ordered at the end


def train(
    shop: ShopData,
    features: FeatureStore,
    tokenizer: Path,
    pictures: npt.NDArray[np.floating],
    candidates_dir: Path,
    config: RerankConfig,
    out_dir: Path,
) -> None:
    """Train on `candidates_dir/rerank`, stop early on `candidates_dir/validation`, write weights and metrics.

    Goes on from the last finished epoch of an earlier call with the same data and settings.

    Args:
        tokenizer: SentencePiece model file.
        pictures: [M, E] the picture network's embeddings by image row.

    Raises:
        DataError: when a slice holds no shown page.
        ArtifactError: when the candidates are missing or broken.
        TandemError: when the loss is no longer a number.
    """
    keras.utils.set_random_seed(config.seed)
    rerank = select_requests(features, Candidates.load(candidates_dir / "rerank"), config.max_requests, None)
    held_out = select_requests(
        features, Candidates.load(candidates_dir / "validation"), config.max_validation_requests, config.seed
    )
    keys = choose_keys(shop, config.lexical)
    tables = build_tables(shop, features, tokenizer, keys, config.lexical)
    days = sorted({int(day) for part in (rerank, held_out) for day in features.request_day[part.request]})
    counters = tuple(features.snapshot_features)
    basis = fit_basis(shop.products, pictures, config.picture_dim, known_products(features))
    associations = fit_associations(features, tables, config.lexical)
    extractor = FeatureExtractor(
        tables,
        behaviour_table(tables, features, days),
        counters,
        rerank.product_embeddings,
        picture_table(shop.products, pictures, basis, known_products(features)),
        associations,
        tokenizer,
        config,
    )
    ids = shop.products["product_id"].to_pylist()
    relevance = fit_relevance(shop.judgments, ids, extractor, config.relevance, config.seed)
    if relevance is not None:
        extractor.relevance = Relevance(relevance)
    slots = {day: slot for slot, day in enumerate(days)}

    def lists_of(candidates: Candidates, length: int) -> Slice:
        lists = build_lists(features, candidates, length, config.seed)
        return Slice(TrainingData(features, candidates, lists, slots, config), candidates)

    learner = Learner(extractor, FeatureSpec(keys, counters, extractor.names, rerank.query_embedding.shape[1]), config)
    training, validation = lists_of(rerank, config.list_length), lists_of(held_out, config.list_length)
    history = learner.fit(training, validation, out_dir / "checkpoint.npz")
    final = held_out.take(np.arange(min(_FINAL_REQUESTS, len(held_out.request))))
    # Every candidate, and every shown product besides.
    whole = lists_of(final, final.rows.shape[1] + config.list_length)
    trained = learner.trained(FittedFeatures(basis, associations, relevance), validation)
    save(out_dir, trained)
    metrics = learner.metrics(whole)
    examination = trained.examination.tolist()
    write_json(
        out_dir / "metrics.json",
        {"epochs": history, "validation": metrics, "examination": examination, "lists": training.data.size},
    )
    (out_dir / "checkpoint.npz").unlink()  # it was for a killed training; a finished one is not gone on with
    console.print(
        f"rerank: NDCG@10 on validation clicks, corrected for position: "
        f"{metrics['candidates']['corrected_ndcg@10_before']:.4f} before, "
        f"{metrics['candidates']['corrected_ndcg@10_after']:.4f} after"
    )


def select_requests(features: FeatureStore, candidates: Candidates, limit: int, seed: int | None) -> Candidates:
    """Requests that showed a page, at most `limit`: the latest ones, or with a seed a sample of all."""
    request = np.asarray(candidates.request, dtype=np.int64)
    shown = features.impression_start[request + 1] > features.impression_start[request]
    places = np.flatnonzero(shown)
    if not len(places):
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
