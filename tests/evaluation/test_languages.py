import numpy as np
import pytest

from evaluation.languages import FIRST, SECOND, language_claims, language_table
from evaluation.scores import Scores


def scores(values):
    return Scores({"ours": {"ndcg@10": np.array(values, float)}}, (), {})


SLICES = {
    FIRST: np.array([True, True, False, False]),
    SECOND: np.array([False, False, True, True]),
    "misspelt query": np.array([False, True, False, True]),
}
USERS = np.arange(4)


def test_each_script_over_latin_letters_and_misspelt_over_the_others():
    table = language_table(scores([0.8, 0.6, 0.5, 0.9]), ["ours"], SLICES, USERS)
    means = {row[0]: (row[2], row[3], row[4]) for row in table.rows}
    assert means[FIRST] == (2, pytest.approx(0.7), None)
    assert means[SECOND] == (2, pytest.approx(0.7), pytest.approx(1.0))
    assert means["misspelt query"] == (2, pytest.approx(0.75), pytest.approx(0.75 / 0.65))


def test_a_shop_of_one_script_has_no_table_and_no_claim():
    one = {FIRST: np.ones(4, bool)}
    assert language_table(scores([1, 1, 1, 1]), ["ours"], one, USERS) is None
    assert language_claims(scores([1, 1, 1, 1]), "ours", one, USERS) == []


@pytest.mark.parametrize(
    ("chinese", "asked", "met"), [(0.96, 20, True), (0.94, 20, False), (0.96, 19, False)], ids=["met", "missed", "few"]
)
def test_the_claim_is_within_five_per_cent_for_at_least_twenty_users(chinese, asked, met):
    is_chinese = np.repeat([False, True], [30, asked])
    made = scores(np.where(is_chinese, chinese, 1))
    (claim,) = language_claims(made, "ours", {FIRST: ~is_chinese, SECOND: is_chinese}, np.arange(30 + asked))
    assert (claim.met, claim.bar) == (met, "estimate at least 0.95")
    assert claim.text == "Search NDCG@10 of queries in Chinese characters, over that of those in Latin letters"
    assert bool(claim.detail) is (asked < 20)


def test_a_query_without_a_value_counts_in_no_script():
    table = language_table(scores([1, np.nan, 0.5, np.nan]), ["ours"], SLICES, USERS)
    means = {row[0]: row[2:4] for row in table.rows}
    assert means == {FIRST: (1, 1), SECOND: (1, 0.5), "misspelt query": (0, None)}
