"""The time a training has, by a clock that is turned by hand."""

import math
import time

import pytest

from benchmarks.sequence_clock import Clock


def test_training_ends_when_only_the_scores_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock, endless = Clock(minutes=10, users=300), Clock(minutes=math.inf, users=300)
    now[0] = 699.0
    assert not clock.training_is_over()
    # 100 users in 20 s: 300 in 60 s and, with the margin, in 78 s; so it is over from 700 - 78 = 622 on
    clock.scored(100, 20.0)
    endless.scored(100, 20.0)
    for now[0], over in ((621.9, False), (622.1, True)):
        assert clock.training_is_over() is over
        assert not endless.training_is_over()
