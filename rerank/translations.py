"""Values that a catalogue says in two scripts: 黑色 and black are one if products that say one say the other too."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]

_FEWEST_PRODUCTS = 3


def translations(values: Ints, named: Ints, keys: Ints, unspaced: npt.NDArray[np.bool_]) -> Ints:
    """Pair values of one key, one in a script that is written without spaces and one not.

    Two are one if at least three products have the one as a value and the other in their text, and these are more than
    half of the products that pair either with any value of the key in the other script.

    Args:
        values: [N, A] ids of products' values by key, 0 for none. named: [N, W] ids that products' texts name, 0 for
            none. keys: [V + 1], bit a is set where the value occurs under key a. unspaced: [V + 1], of each value.

    Returns:
        [V + 1] the value that stands for each: the lower id of a pair, else its own.
    """
    stands_for = np.arange(len(keys), dtype=np.int32)
    for key in range(values.shape[1]):
        own = np.broadcast_to(values[:, key, None], named.shape)
        paired = (own > 0) & ((keys[named] >> key) & 1 > 0) & (unspaced[own] != unspaced[named])
        first, second = np.minimum(own, named)[paired], np.maximum(own, named)[paired]
        products = np.unique(np.stack([np.nonzero(paired)[0], first, second]), axis=1)
        (first, second), count = np.unique(products[1:], axis=1, return_counts=True)
        of_value = np.bincount(first, count, len(keys)) + np.bincount(second, count, len(keys))
        one = (count >= _FEWEST_PRODUCTS) & (2 * count > np.maximum(of_value[first], of_value[second]))
        stands_for[second[one]] = stands_for[first[one]]
    return stands_for[stands_for]
