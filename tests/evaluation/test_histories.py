import numpy as np
import pytest

from evaluation.histories import history_claims, history_table
from evaluation.scores import Scores

# Two strangers, then two shoppers after one event, then one after five whose request has nothing to find.
LENGTHS = np.array([0, 0, 1, 1, 5])
CLASSES = {0: LENGTHS == 0, 1: LENGTHS == 1, 4: LENGTHS == 5}
USERS = np.arange(5)


def scores(ours, theirs):
    values = {"ours": ours, "popularity": theirs}
    return Scores({name: {"recall@100": np.array(column, float)} for name, column in values.items()}, (), {})


def test_the_difference_by_length_of_history():
    made = scores([0.2, 0.4, 0.5, 0.9, np.nan], [0.3, 0.3, 0.4, 0.8, np.nan])
    table = history_table(made, "ours", "popularity", CLASSES, USERS)
    stranger, known = table.rows  # nothing is known of the fifth
    assert stranger[:5] == (0, 2, pytest.approx(0.3), pytest.approx(0.3), pytest.approx(0))
    assert known[:5] == (1, 2, pytest.approx(0.7), pytest.approx(0.6), pytest.approx(0.1))
    # Of two requests that are 0.1 behind and ahead, samples hold either twice; both of the others are 0.1 ahead.
    assert stranger[5:] == (pytest.approx(-0.1), pytest.approx(0.1))
    assert known[5:] == (pytest.approx(0.1), pytest.approx(0.1))
    assert len(table.columns) == len(stranger)


def claims(count, gap, users):
    """Claims of `count` requests after one event, each `gap` ahead of 0.5."""
    made = scores([0.5 + gap] * count, [0.5] * count)
    return history_claims(made, "ours", "popularity", np.ones(count, int), np.arange(count) % users)


@pytest.mark.parametrize(
    ("count", "gap", "users", "met"), [(20, 0.1, 20, True), (40, 0.1, 19, False), (20, 0.0, 20, False)]
)
def test_the_first_event_must_put_it_ahead_for_at_least_twenty_users(count, gap, users, met):
    (claim,) = claims(count, gap, users)  # nobody had two events
    assert claim.text == "Recommendation recall@100 after one event, against popularity"
    assert claim.met is met
    assert f"{count} requests" in claim.measured


def test_more_events_are_a_claim_of_their_own():
    made = scores([0.1] * 20 + [0.6] * 30, [0.5] * 50)
    lengths = np.repeat([1, 2, 9], [20, 15, 15])
    after_one, after_more = history_claims(made, "ours", "popularity", lengths, np.arange(50))
    assert (after_one.met, after_more.met) == (False, True)
    assert after_one.measured.startswith("-0.4000 [-0.4000, -0.4000]")
    assert after_more.measured.startswith("0.1000 [0.1000, 0.1000]")


def test_strangers_alone_claim_nothing():
    assert history_claims(scores([1, 1], [0, 0]), "ours", "popularity", np.zeros(2, int), np.arange(2)) == []
