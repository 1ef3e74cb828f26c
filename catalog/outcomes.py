"""What came of the products that pages showed: the one meaning of the heads' labels, in training and in judging."""

from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore

HEADS = ("click", "cart", "purchase")


def came_of(features: FeatureStore, head: str, places: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether a click, cart or purchase followed the impressions at `places`, in the shape of `places`.

    What was put in the cart or bought was chosen, so it was clicked too, whether or not the log says so; a shop that
    logs no clicks has them by that.

    Args:
        head: one of HEADS. places: numbers of impressions, or a mask over all of them.
    """
    kinds = HEADS if head == "click" else (head,)
    return np.logical_or.reduce([getattr(features, f"impression_{kind}")[places] for kind in kinds])
