from collections.abc import Callable

import numpy as np

from towers.validation import Questions, Validation, example_questions, target_ranks


def test_ranks_by_hand() -> None:
    queries = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    products = np.array([[0.9, 0.1], [0.8, 0.7], [0.7, 0.2], [0.6, 0.9]], np.float32)
    targets = np.array([1, 2, 2, 3], np.int32)
    launched = np.array([0, 9, 0, 0], np.int32)
    # query 0, day 9: only product 0 scores above product 1; query 1, day 9: products 0 and 1 score above product 2;
    # query 2, day 5: product 1 is not launched, so only product 0 does; query 3: nothing scores above product 3
    days = np.array([9, 9, 5, 5], np.int32)
    assert target_ranks(queries, products, targets, launched, days).tolist() == [1, 2, 1, 0]


def test_what_scores_alike_counts_half() -> None:
    queries, products = np.ones((1, 2), np.float32), np.ones((5, 2), np.float32)
    nothing = np.zeros(5, np.int32)
    assert target_ranks(queries, products, np.array([3], np.int32), nothing, nothing[:1]).tolist() == [2]


def test_a_product_that_is_not_launched_is_not_found() -> None:
    one = np.ones((1, 1), np.float32)
    launched, target = np.array([3], np.int32), np.array([0], np.int32)
    assert target_ranks(one, one, target, launched, np.array([2], np.int32)).tolist() == [1]
    assert target_ranks(one, one, target, launched, np.array([3], np.int32)).tolist() == [0]


def test_validation_reads_its_slice_alone(toy) -> None:
    features = toy.features
    validation = Validation(features, length=5, most=1000, seed=0)
    assert len(validation.search)
    assert len(validation.recommendation)
    assert (features.example_slice[validation.search] == 2).all()
    assert (features.example_query[validation.search] >= 0).all()
    assert (features.example_query[validation.recommendation] == -1).all()
    assert features.example_new[validation.recommendation].all()
    assert validation.day == features.slices.validation[0]
    assert Validation(features, length=5, most=2, seed=0).search.shape == (2,)


def test_an_oracle_finds_everything_and_a_shop_without_searches_validates_on_the_rest(make_toy: Callable) -> None:
    features = make_toy(searches=False).features
    validation = Validation(features, length=5, most=1000, seed=0)
    answers = iter([features.example_product[validation.recommendation]])
    products = np.eye(features.n_products, dtype=np.float32)
    recall = validation.recall(lambda questions: products[next(answers)], products)
    assert validation.depths == (2,)  # a twentieth of 48 products
    assert recall == {"recall@2/recommendation": 1.0, "recall/mean": 1.0}


def test_questions_carry_what_was_known(toy) -> None:
    features = toy.features
    examples = np.flatnonzero(features.example_query >= 0)[:7]
    questions = example_questions(features, examples, 4)
    assert len(questions) == 7
    assert questions.texts.tolist() == features.queries[features.example_query[examples]].tolist()
    assert (questions.timestamps < questions.timestamp[:, None]).all()
    part = questions[2:5]
    assert isinstance(part, Questions)
    assert part.texts.tolist() == questions.texts[2:5].tolist()
    assert part.rows.shape == (3, 4)
