"""Questions with pictures: which are asked, and what counts as right."""

import numpy as np
import pytest

from benchmarks.picture_queries import Questions, make_questions
from catalog.errors import DataError

# 0 to 9 are in the index: five red and five blue shirts; 10 is a red shirt, 11 a green one, 12 a red hat, 13 unpictured
TYPES = np.array(["shirt"] * 12 + ["hat", "shirt"])
COLOURS = np.array(["red"] * 5 + ["blue"] * 5 + ["red", "green", "red", "red"])
INDEX = np.arange(14) < 10
PICTURED = np.arange(14) != 13


def test_asked_with_are_pictures_outside_of_the_index_of_what_it_holds_in_two_colours() -> None:
    questions = make_questions(TYPES, COLOURS, PICTURED, INDEX, 9, 0)
    assert questions.rows.tolist() == [10]  # no green shirts and no hats are there to be found
    assert questions.other.tolist() == ["blue"]


def test_without_such_a_picture_the_error_says_what_to_name() -> None:
    with pytest.raises(DataError, match="name the attribute that holds colours with --colour"):
        make_questions(TYPES, np.full(14, "red"), PICTURED, INDEX, 9, 0)


def test_shares_of_the_first_ten_and_recall() -> None:
    questions = Questions(np.array([10]), TYPES, COLOURS, np.array(["blue"]), INDEX)
    answers = np.array([[0, 1, 5, 12, -1, -1, -1, -1, -1, -1, 2]])
    scores = {name: values.tolist() for name, values in questions.scores(answers).items()}
    # shirts 0, 1, 5; red 0, 1 and the hat; red shirts 0 and 1 of the five in the index; the eleventh place is too late
    assert scores == {"type": [0.3], "colour": [0.3], "both": [0.2], "recall@10 of both": [0.4]}
    other = questions.scores(answers, other_colour=True)
    assert (other["colour"].tolist(), other["both"].tolist(), other["recall@10 of both"].tolist()) == (
        [0.1],
        [0.1],
        [0.2],
    )
