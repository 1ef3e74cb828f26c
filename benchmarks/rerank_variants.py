"""The cross network's variants of the comparison, and what of each finished one is kept."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from benchmarks.rerank_rivals import fit_lambdamart, fit_logistic
from benchmarks.rerank_setting import Setting
from catalog.errors import ArtifactError
from catalog.progress import console
from rerank.artifacts import read_arrays, write_arrays
from rerank.calibration import Calibrator
from rerank.learner import Learner
from rerank.ranking_model import HeadLogs, ranking_score

Floats = npt.NDArray[np.float32]

OURS = "DCN-V2"
UNTAUGHT = "DCN-V2 by clicks alone"
_BY_CLICKS: dict[str, dict[str, Any]] = {
    UNTAUGHT: {},
    "pointwise loss alone": {"loss": "pointwise"},
    "listwise loss alone": {"loss": "listwise"},
    "click head alone": {"heads": "click"},
    "cart head alone": {"heads": "cart"},
    "purchase head alone": {"heads": "purchase"},
    "three heads, not conditional": {"heads": "independent"},
    "no position bias": {"position_bias": False},
}
VARIANTS: dict[str, dict[str, Any]] = {
    OURS: {},
    **{name: {"teacher_weight": 0.0, "weight_decay": 8.0, **changes} for name, changes in _BY_CLICKS.items()},
}
"""Changes to the run's own settings, in which both losses are used, heads are conditional as in ESMM, and trees teach.

All but the first learn from clicks alone, with the decay that this needs, and are compared with the one that has no
other change.
"""
RIVALS = ("logistic regression", "LambdaMART")


@dataclass(frozen=True)
class Finished:
    """One trained reranker, without expected grades in its score.

    validation, test: [lists, C] scores. probabilities: [3, lists, C] of the heads on test days, calibrated, as if
    examined; examination: [positions]; both empty for a rival. notes: settings chosen, seconds.
    """

    validation: Floats
    test: Floats
    probabilities: Floats
    examination: Floats
    notes: dict[str, Any]


def finished(name: str, setting: Setting, curve: Floats, folder: Path, with_grade: bool = False) -> Finished:
    """The reranker of that name: kept in `folder` by the same data, settings and code, else trained.

    Args:
        curve: P(examined), that rivals choose their settings by.
        with_grade: a rival's features hold the grade expected from judgments.
    """
    settings = {"setting": setting.key, "name": name, "with_grade": with_grade, "changes": VARIANTS.get(name)}
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    slug = "".join(letter if letter.isalnum() else "-" for letter in name.lower()) + ("-grade" if with_grade else "")
    path, checkpoint = folder / f"{slug}.npz", folder / f"{slug}.{key[:16]}.checkpoint.npz"
    try:
        arrays, notes = read_arrays(path) if path.exists() else ([], {})
    except ArtifactError:
        arrays, notes = [], {}
    if notes.get("key") == key:
        console.print(f"{name}: kept in {path}", soft_wrap=True)
        validation, test, probabilities, examination = arrays
        return Finished(validation, test, probabilities, examination, notes["notes"])
    console.print(f"{name}{', with the grade as a feature' if with_grade else ''}", soft_wrap=True)
    folder.mkdir(parents=True, exist_ok=True)
    for other in set(folder.glob(f"{slug}.*.checkpoint.npz")) - {checkpoint}:
        other.unlink()  # of a killed training by another state of data, settings or code
    train: Callable[[], Finished] = (
        (lambda: _train_rival(name, setting, curve, with_grade))
        if name in RIVALS
        else (lambda: _train_variant(name, setting, checkpoint))
    )
    result = train()
    arrays = [result.validation, result.test, result.probabilities, result.examination]
    write_arrays(path, arrays, {"key": key, "notes": result.notes})
    checkpoint.unlink(missing_ok=True)
    return result


def _train_variant(name: str, setting: Setting, checkpoint: Path) -> Finished:
    config = setting.prepared.config.model_copy(update=VARIANTS[name])
    keras.utils.set_random_seed(config.seed)
    learner = Learner(setting.prepared.extractor, setting.prepared.spec, config)
    history = learner.fit(setting.training, setting.pages, checkpoint)
    trained = learner.trained(setting.prepared.fitted, setting.training, setting.served_pages)
    found = []
    for judged in (setting.validation, setting.test):
        logs, _ = learner.predict(judged.whole)
        found.append((logs, np.asarray(ranking_score(logs, config.cart_weight, config.purchase_weight))))
    data = setting.test.whole.data
    calibrated = Calibrator(trained.calibration)(
        HeadLogs(*(tf.constant(log) for log in found[1][0])),
        tf.constant(data.asked),
        tf.constant(data.met),
        tf.constant(data.events, tf.float32),
    )
    probabilities = np.exp(np.stack([log.numpy() for log in calibrated]))
    best = max(record["ndcg@10"] for record in history)
    notes = {"epochs": len(history), "validation_ndcg@10": best}
    return Finished(found[0][1], found[1][1], probabilities, trained.examination, notes)


def _train_rival(name: str, setting: Setting, curve: Floats, with_grade: bool) -> Finished:
    part = (setting.training, setting.pages, curve, with_grade)
    rival = fit_logistic(*part) if name == RIVALS[0] else fit_lambdamart(*part, setting.prepared.config)
    none = np.zeros(0, np.float32)
    notes = {"chosen": rival.chosen, "validation_ndcg@10": rival.validation}
    validation, test = (rival.scores(judged.whole, with_grade) for judged in (setting.validation, setting.test))
    return Finished(validation, test, none, none, notes)
