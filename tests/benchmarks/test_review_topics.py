import numpy as np

from benchmarks.review_topics import review_words

GOOD, BAD = "would buy again", "broke soon"
SIZE, COLOUR = (
    "runs small so order one size up, sleeves too short",
    "colours fade when washed warm with other dark cloth",
)


def test_sentiment_follows_ratings_and_topics_the_words() -> None:
    reviews = [f"{feeling}. {about}" for feeling in (GOOD, BAD) for about in (SIZE, COLOUR)] * 10
    ratings = np.array([4.8, 4.7, 1.3, 1.2] * 10)
    ratings[::4] = np.nan  # foretold by the words of others
    found = [words.split() for words in review_words(reviews, ratings, topics=2)]
    levels = [int(words[0].removeprefix("sentiment")) for words in found]
    assert min(levels[0], levels[1]) > max(levels[2], levels[3])
    topics = [words[1:] for words in found]
    assert topics[0] == topics[2] != topics[1] == topics[3]  # size, colour
    assert topics == topics[:4] * 10


def test_products_without_reviews_have_no_words() -> None:
    reviews = ["", " ", *[GOOD, SIZE] * 6]
    found = review_words(reviews, np.full(14, np.nan))
    assert found[:2] == ["", ""]
    assert found[2].startswith("topic")  # no rating, no sentiment
    assert review_words([GOOD] * 3, np.ones(3)) == ["", "", ""]  # too few to learn from
