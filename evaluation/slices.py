"""Parts of the requests and of the catalogue that are worth looking at alone."""

import unicodedata

import numpy as np
import pyarrow as pa

from catalog.feature_store import FeatureStore
from evaluation.arrays import Mask, Strings
from evaluation.requests import Requests

_SECONDS_A_DAY = 86_400
LATIN, HAN, SEVERAL, OTHER = "Latin letters", "Chinese characters", "several scripts", "other characters"
HISTORY_LENGTHS = (0, 1, 2, 4, 8, 16)


def product_slices(features: FeatureStore, products: pa.Table) -> dict[str, Mask]:
    """Masks over the catalogue, [N] each.

    "new products": no event, not even an impression, before the towers' slice ended: the towers cannot have met them.
    "head products": the fewest products that together took half of the weight of all interactions before the test
    slice; "tail products" are the rest.
    """
    count = len(features.launched)
    training_end = features.day0 + features.slices.towers[1] * _SECONDS_A_DAY
    test_start = features.day0 + features.slices.test[0] * _SECONDS_A_DAY
    known = np.zeros(count, dtype=bool)
    known[features.interaction_product[features.interaction_timestamp < training_end]] = True
    shown_at = np.repeat(features.request_timestamp, np.diff(features.impression_start))
    known[features.impression_product[shown_at < training_end]] = True
    head = _head(features, test_start)
    pictured = products.column("image_row").to_numpy() >= 0
    return {
        "new products": ~known,
        "known products": known,
        "head products": head,
        "tail products": ~head,
        "with picture": pictured,
        "without picture": ~pictured,
    }


def _head(features: FeatureStore, before: int) -> Mask:
    happened = features.interaction_timestamp < before
    weights = features.weights[features.interaction_kind[happened]]
    popularity = np.bincount(features.interaction_product[happened], weights, len(features.launched))
    order = np.argsort(-popularity, kind="stable")
    # A product belongs to the head while those before it have not yet reached half of the total.
    before_it = np.cumsum(popularity[order]) - popularity[order]
    head = np.zeros(len(popularity), dtype=bool)
    head[order] = before_it < popularity.sum() / 2
    return head


def request_slices(requests: Requests, query_facts: pa.Table | None = None) -> dict[str, Mask]:
    """Masks over the requests, [R] each; slices that hold no request are left out.

    Args:
        requests: [R].
        query_facts: the simulator's facts about each request's query, [R] rows, if there are any: language, misspelt,
            specificity, shows_only_in_picture.
    """
    new_user = requests.history_lengths == 0
    slices = {"new users": new_user, "known users": ~new_user}
    if requests.task == "search":
        script = query_scripts(requests.queries)
        slices |= {f"query in {name}": script == name for name in (LATIN, HAN, SEVERAL, OTHER)}
    if requests.task == "search" and query_facts is not None:
        columns = {name: np.array(query_facts.column(name).to_pylist()) for name in query_facts.column_names}
        if "misspelt" in columns:
            slices["misspelt query"] = columns["misspelt"].astype(bool)
        if "shows_only_in_picture" in columns:
            slices["asked for what only pictures show"] = columns["shows_only_in_picture"].astype(bool)
        if "specificity" in columns:
            values = columns["specificity"]
            slices |= {f"{value} attributes asked for": values == value for value in np.unique(values).tolist()}
    if requests.task == "recommendation":
        classes = history_length_slices(requests)
        slices |= {_events_before(least): mask for least, mask in classes.items() if least > 0}
    return {name: mask for name, mask in slices.items() if mask.any()}


def _events_before(least: int) -> str:
    place = HISTORY_LENGTHS.index(least)
    if place == len(HISTORY_LENGTHS) - 1:
        return f"{least} or more events before"
    most = HISTORY_LENGTHS[place + 1] - 1
    return f"{least}–{most} events before" if most > least else f"{least} event before"


def history_length_slices(requests: Requests) -> dict[int, Mask]:
    """Requests by how many events came before them: the least of each class -> [R]; empty classes are left out."""
    place = np.searchsorted(HISTORY_LENGTHS, requests.history_lengths, side="right") - 1
    classes = {least: place == number for number, least in enumerate(HISTORY_LENGTHS)}
    return {least: mask for least, mask in classes.items() if mask.any()}


def query_scripts(queries: Strings) -> Strings:
    """The script of each query's letters: LATIN, HAN, SEVERAL, or OTHER for another one alone or no letters at all.

    It does not tell the language: French is written as English is, and Japanese mostly in several scripts.
    """
    found = [{_script(character) for character in query if character.isalpha()} for query in queries.tolist()]
    names = [SEVERAL if len(scripts) > 1 else next(iter(scripts), OTHER) for scripts in found]
    return np.array(names, dtype=object)


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "")
    return LATIN if "LATIN" in name else HAN if "IDEOGRAPH" in name else OTHER
