"""People's grades of a product for a query, on the scale that learning and NDCG are made for."""

import numpy as np
import numpy.typing as npt

_HIGHEST = 4.0  # 0 to 3 and 0 to 4 are usual, and NDCG's gain of a grade is 2^grade - 1
_SCALED_TO = 3.0


def scaled_grades(grades: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """All grades of a shop, [J], as they are where none exceeds 4; else (stars, per cent) scaled so that 3 is the most.

    With a gain of 2^grade - 1 the second best of a scale to 100 would be worth nothing beside the best.
    """
    given = np.asarray(grades, np.float32)
    most = float(given.max(initial=0.0))
    return given if most <= _HIGHEST else given * np.float32(_SCALED_TO / most)
