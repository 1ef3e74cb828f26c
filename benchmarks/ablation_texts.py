"""The products' texts as a variant of `benchmarks.ablations` reads them; a variant that does depends on this code."""

from collections.abc import Sequence

import pyarrow as pa

from benchmarks.review_topics import review_words


def changed_texts(products: pa.Table, blank: Sequence[str], review_topics: bool) -> pa.Table:
    """The products with some text columns empty, and with words for their reviews before the description if asked."""
    texts: dict[str, list[str]] = {name: [""] * len(products) for name in blank}
    if review_topics:
        reviews, descriptions = (products.column(name).to_pylist() for name in ("review_text", "description"))
        words = review_words(reviews, products.column("rating_average").to_numpy())
        texts["description"] = [" ".join(both).strip() for both in zip(words, descriptions, strict=True)]
    for name, values in texts.items():
        at = products.schema.get_field_index(name)
        products = products.set_column(at, products.schema.field(at), pa.array(values, pa.string()))
    return products
