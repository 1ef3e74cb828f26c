"""Text features of hand-made products for hand-made requests."""

import numpy as np
from hand_made_products import column, request

from rerank.features import FeatureExtractor


def test_query_words_are_found_in_their_field(extractor: FeatureExtractor) -> None:
    inputs = request("navy blue men shirt")
    assert column(extractor, "text:title_share", inputs) == [1.0, 0.75, 0.0, 0.0, 0.0, 0.0]
    assert column(extractor, "text:attributes_share", inputs) == [1.0, 0.75, 0.0, 0.25, 0.0, 0.0]
    assert column(extractor, "text:all_words", inputs) == [1, 0, 0, 0, 0, 0]
    idf = column(extractor, "text:any_idf_share", inputs)
    assert idf[0] == 1 > idf[1] > idf[3] > idf[2] == 0


def test_the_rarest_word_in_common_is_told(extractor: FeatureExtractor) -> None:
    # shirts: products 0 and 1 of five; red: the third alone; acme: 0 to 2. idf = log(1 + (5 - n + 0.5) / (n + 0.5)).
    shirts, red, acme = (round(float(np.log1p((5.5 - n) / (n + 0.5))), 4) for n in (2, 1, 3))
    assert column(extractor, "text:rarest_idf", request("acme red shirts")) == [shirts, shirts, red, 0, 0, 0]
    assert column(extractor, "text:rarest_idf", request("acme")) == [acme, acme, acme, 0, 0, 0]
    assert column(extractor, "text:rarest_idf", request("")) == [0] * 6


def test_words_that_nobody_knows_are_not_missed(extractor: FeatureExtractor) -> None:
    assert column(extractor, "text:all_words", request("acme heels qq77")) == [0, 0, 1, 0, 0, 0]
    assert column(extractor, "text:all_words", request("qq77")) == [0] * 6


def test_men_does_not_match_women(extractor: FeatureExtractor) -> None:
    assert column(extractor, "text:any_share", request("men"))[2] == 0
    assert column(extractor, "text:any_share", request("womens"))[2] == 1


def test_the_longest_value_is_the_one_that_is_named(extractor: FeatureExtractor) -> None:
    navy, blue = request("navy blue shirt"), request("blue shirts")
    assert column(extractor, "text:match_attributes.colour", navy) == [1, 0, 0, 0, 0, 0]
    assert column(extractor, "text:conflict_attributes.colour", navy) == [0, 1, 1, 0, 1, 0]
    assert column(extractor, "text:match_attributes.colour", blue) == [0, 1, 0, 0, 0, 0]
    assert column(extractor, "text:conflict_attributes.colour", blue) == [1, 0, 1, 0, 1, 0]
    # Navy Blue covers "shirt" alone, Blue covers both words.
    assert column(extractor, "text:value_share", blue)[:2] == [0.5, 1.0]


def test_what_the_query_does_not_name_is_no_conflict(extractor: FeatureExtractor) -> None:
    assert column(extractor, "text:named_conflicts", request("acme")) == [0] * 6
    assert column(extractor, "text:named_conflicts", request("")) == [0] * 6


def test_chinese_is_matched(extractor: FeatureExtractor) -> None:
    assert column(extractor, "text:title_share", request("连衣裙"))[:5] == [0, 0, 0, 0, 1]
    assert column(extractor, "text:match_attributes.colour", request("红色的裙"))[4] == 1
    assert column(extractor, "text:script_distance", request("连衣裙")) == [1, 1, 1, 1, 0, 0]


def test_an_unknown_word_is_matched_by_spelling(extractor: FeatureExtractor) -> None:
    shirt = column(extractor, "text:misspelt_match", request("men shrit"))
    assert shirt[:2] == [0.5, 0.5]
    assert shirt[2:] == [0, 0, 0, 0]
    assert column(extractor, "text:unknown_words", request("men shrit"))[:5] == [1] * 5
    assert column(extractor, "text:misspelt_match", request("men shirt")) == [0] * 6
