"""What similar people had to do with: neighbourhoods of users by cosine or by Pearson's correlation."""

import numpy as np

from evaluation.arrays import Gains
from evaluation.neighbourhoods import Neighbourhoods, Similarity
from evaluation.requests import Requests


class UserToUser:
    """Products of the users whose profiles are most like the history: sum of similarity x what the neighbour did.

    Args:
        neighbourhoods: of the log; one object serves both similarities.
        similarity: see there.
    """

    def __init__(self, neighbourhoods: Neighbourhoods, similarity: Similarity = "cosine") -> None:
        self.name = f"user-to-user, {similarity}"
        self._neighbourhoods = neighbourhoods
        self._similarity: Similarity = similarity

    def score(self, requests: Requests) -> Gains:
        """See `evaluation.baselines.Scorer`."""
        similarities = self._neighbourhoods.similarities(requests)[self._similarity]
        scores = (similarities @ self._neighbourhoods.profiles).toarray()
        return np.where(scores > 0, scores, -np.inf).astype(np.float32)
