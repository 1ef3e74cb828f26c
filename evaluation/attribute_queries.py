"""Queries that nobody tuned to: made from the catalogue's own columns, so that a right answer can be looked up."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import DataError
from evaluation.arrays import Floats, Mask, Rows

TYPE_KEY = "type"
_FEWEST_PRODUCTS = 10  # A query that fewer products answer could not fill its first ten places.

_MOST_WORDINGS = 20  # More rounds than that find hardly a new wording of the same values.

# As people write them; the catalogue's own word stays the most frequent.
_SPELLINGS = {
    "men": ("men", "men", "mens", "men's"),
    "women": ("women", "women", "womens", "women's"),
    "boys": ("boys", "boys", "boy"),
    "girls": ("girls", "girls", "girl"),
}
_PLURAL_ONLY = (
    *("jeans", "trousers", "shorts", "pants", "briefs", "boxers", "tights", "leggings", "capris", "pyjamas", "pajamas"),
    *("sunglasses", "glasses", "goggles", "headphones", "clothes", "earrings"),
)


@dataclass(frozen=True)
class AttributeQueries:
    """Queries and which products answer them.

    Args:
        keys: what each query names, e.g. ("gender", "base_colour", "type").
        texts: Q queries.
        codes: int32 [Q], the combination of values that each query names.
        product_codes: int32 [N], the combination that each product has; -1 if a value is missing.
    """

    keys: tuple[str, ...]
    texts: tuple[str, ...]
    codes: Rows
    product_codes: Rows

    def share_matching(self, rows: Rows, k: int = 10) -> Floats:
        """Share of the first k places whose product has exactly the values named, [Q]; near-synonyms do not count.

        Args:
            rows: [Q, K] product rows, -1 for none.
        """
        first = rows[:, :k]
        matches = (first >= 0) & (self.product_codes[np.maximum(first, 0)] == self.codes[:, None])
        return matches.sum(axis=1) / k


def make_attribute_queries(
    products: pa.Table, eligible: Mask, keys: Sequence[str], count: int = 300, seed: int = 0
) -> AttributeQueries | None:
    """Draw combinations of values at random and ask for each as a person would word it.

    Every combination that at least ten products of the index share is as likely as any other, so rare ones weigh as
    much as frequent ones; when all have been asked for they are asked for again in other words. A wording is used once.
    Case does not tell values apart.

    Args:
        products: the validated table.
        eligible: [N], products in the index.
        keys: attributes to name; "type" is the last part of the category path and is always named, last if not listed.
        count: how many queries; fewer if the catalogue has not as many. seed: of the draw.

    Returns:
        None where no combination has ten products.

    Raises:
        DataError: when a key is in no product's attributes.
    """
    named = tuple(keys) if TYPE_KEY in keys else (*keys, TYPE_KEY)
    values = np.char.lower(product_values(products, named))  # as queries are worded: "Red" and "red" are one
    empty = [key for key, column in zip(keys, values.T, strict=False) if not (column != "").any()]
    if empty:
        known = sorted(
            {name for text in products.column("attributes").to_pylist() for name in json.loads(text or "{}")}
        )
        raise DataError(
            f"attribute {empty[0]!r} is empty in every product; name attributes that the catalogue has: "
            f"{', '.join((*known, TYPE_KEY))}"
        )
    complete = (values != "").all(axis=1)
    combinations, code = np.unique(values, axis=0, return_inverse=True)
    product_codes = np.where(complete, code, -1).astype(np.int32)
    sizes = np.bincount(code[complete & eligible], minlength=len(combinations))
    pool = np.flatnonzero(sizes >= _FEWEST_PRODUCTS)
    if not len(pool):
        return None
    random = np.random.default_rng(seed)
    rounds = min(_MOST_WORDINGS, 1 + 2 * count // len(pool))
    drawn: dict[str, int] = {}
    for combination in np.concatenate([random.permutation(pool) for _ in range(rounds)]).tolist():
        values_named = dict(zip(named, combinations[combination].tolist(), strict=True))
        drawn.setdefault(word_query(values_named, random), combination)
        if len(drawn) == count:
            break
    return AttributeQueries(named, tuple(drawn), np.array(list(drawn.values()), np.int32), product_codes)


def product_values(products: pa.Table, keys: Sequence[str]) -> npt.NDArray[np.str_]:
    """The value of each key of each product as text, "" where missing, [N, keys]; "type" is the category's leaf."""
    attributes = [json.loads(text or "{}") for text in products.column("attributes").to_pylist()]
    leaves = [str(path).rsplit(">", 1)[-1].strip() for path in products.column("category").to_pylist()]
    columns = [leaves if key == TYPE_KEY else [str(item.get(key) or "") for item in attributes] for key in keys]
    return np.array(columns, dtype=np.str_).T.reshape(len(leaves), len(keys))


def word_query(values: dict[str, str], random: np.random.Generator) -> str:
    """One wording, in lower case: values in any order and the type after them, singular or plural; or "... for men"."""
    words = {key: value.lower() for key, value in values.items()}
    spelt = {key: str(random.choice(_SPELLINGS.get(word, (word,)))) for key, word in words.items() if key != TYPE_KEY}
    kind = words[TYPE_KEY] if random.random() < 0.5 else singular(words[TYPE_KEY])
    order = [str(key) for key in random.permutation(list(spelt))]
    if "gender" in spelt and random.random() < 0.2:
        order.remove("gender")
        return " ".join([*(spelt[key] for key in order), kind, "for", words["gender"]])
    return " ".join([*(spelt[key] for key in order), kind])


def singular(phrase: str) -> str:
    """The last word of an English phrase in the singular: "casual shoes" -> "casual shoe"; "jeans" stays."""
    head, _, last = phrase.rpartition(" ")
    if last in _PLURAL_ONLY or not last.endswith("s") or last.endswith(("ss", "us")):
        return phrase
    if last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("sses", "ches", "shes", "xes")):
        last = last[:-2]
    else:
        last = last[:-1]
    return f"{head} {last}" if head else last
