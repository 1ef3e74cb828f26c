"""Questions with pictures: which are asked, and what counts as right."""

from typing import cast

import numpy as np
import pytest

from benchmarks.picture_queries import Questions, Systems, differences, make_questions, measure
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


class Answering:
    """Finds red shirts, and blue ones where the words say blue and the answers are reranked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []

    def tandem(self, model_name: str, texts: list[str], with_picture: bool) -> np.ndarray:
        self.asked += [(model_name, text, with_picture) for text in texts]
        blue = "blue" in texts[0] and model_name == "search_exact"
        return np.array([[5, 6, 7, 8, 9]]) if blue else np.array([[0, 1, 2, 3, 4]])

    def bm25(self, texts: list[str]) -> np.ndarray:
        return np.array([[0, -1]])

    def neighbours(self) -> np.ndarray:
        return np.array([[0, 5]])


def test_each_question_is_asked_of_retrieval_and_of_the_whole_search_and_differences_are_paired() -> None:
    systems = Answering()
    found = measure(Questions(np.array([10]), TYPES, COLOURS, np.array(["blue"]), INDEX), cast(Systems, systems))
    words = [("", True), ("shirt", True), ("red shirt", True), ("shirt", False), ("red shirt", False)]
    words += [("blue", True), ("blue shirt", True)]
    assert systems.asked == [(model, *each) for model in ("retrieval_exact", "search_exact") for each in words]
    both = {name: scores["both"].tolist() for name, scores in found.items()}
    assert both["colour and type: BM25"] == both["picture: neighbours by the picture network"] == [0.1]
    assert both["picture: retrieval"] == both["picture: reranked"] == [0.5]
    assert both["picture: retrieval, judged by the other colour"] == [0.0]
    assert both["picture and another colour: retrieval"] == [0.0]
    assert both["picture and another colour: reranked"] == [0.5]
    changed = {name: metrics["both"].estimate for name, metrics in differences(found).items()}
    assert len(changed) == 8 + 2 * 4
    assert changed.pop("picture and another colour: reranked, less picture and another colour: retrieval") == 0.5
    assert (
        changed.pop("picture, another colour and type: reranked, less picture, another colour and type: retrieval")
        == 0.5
    )
    beside = {name: value for name, value in changed.items() if value}
    assert beside == {
        f"{ours}: {system}, less {theirs}": pytest.approx(0.4)
        for system in ("retrieval", "reranked")
        for ours, theirs in (
            ("picture", "picture: neighbours by the picture network"),
            ("colour and type", "colour and type: BM25"),
        )
    }
