"""When a training has to end, so that what is scored afterwards fits into the time it was given."""

import time

_MARGIN = 1.3  # times what the scores are expected to take


class Clock:
    """Runs from when it is made.

    Args:
        minutes: for all, to the last score; inf: no limit.
        users: how many are scored after the last update.
    """

    def __init__(self, minutes: float, users: int) -> None:
        self._deadline, self._users, self._seconds_a_user = time.perf_counter() + 60 * minutes, users, 0.0

    def scored(self, users: int, seconds: float) -> None:
        """Learn from what scoring some users took how long it is going to take."""
        self._seconds_a_user = seconds / users

    def training_is_over(self) -> bool:
        """Whether no more than the time for the scores is left."""
        return time.perf_counter() + _MARGIN * self._seconds_a_user * self._users > self._deadline
