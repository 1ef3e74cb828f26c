import numpy as np

from evaluation.learned_grades import LearnedGrades
from evaluation.learned_ranker import Lists


def judged(pairs=600):
    """Pairs whose grade is 3 where the first feature is above a half, else 0; the second is noise."""
    features = np.random.default_rng(0).random((pairs, 2)).astype(np.float32)
    return features, np.where(features[:, 0] > 0.5, 3.0, 0.0)


def test_grades_are_read_from_the_last_features_and_absent_products_have_none():
    rows = np.array([[4, 5, -1]], np.int32)
    features = np.array([[[9, 0.9, 0.5], [9, 0.1, 0.5], [9, 0.9, 0.5]]], np.float32)
    grades = LearnedGrades(*judged()).grades(Lists(rows, features))
    np.testing.assert_allclose(grades, [[3, 0, 0]], atol=0.05)
    assert grades[0, 2] == 0


def test_the_same_seed_learns_the_same():
    lists = Lists(np.zeros((1, 1), np.int32), np.full((1, 1, 2), 0.45, np.float32))
    first, second = (LearnedGrades(*judged(), seed=3).grades(lists) for _ in range(2))
    np.testing.assert_array_equal(first, second)
