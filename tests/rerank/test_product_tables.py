import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
from made_up_shop import make_products, make_shop, train_tokenizer

from rerank.config import LexicalConfig
from rerank.product_tables import build_tables, choose_keys
from rerank.product_words import find_unspaced_words
from rerank.query_features import QueryReader


def test_unspaced_words_are_the_most_frequent_runs_and_come_before_those_they_begin_with() -> None:
    column = ["Acme 连衣裙 女", "连衣裙 red", "Acme 连衣", "红色连衣", "连衣", "九个字的一整句话呢"]
    assert find_unspaced_words(column, 10) == ("连衣裙", "连衣", "红色连衣")
    assert find_unspaced_words(column, 2) == ("连衣裙", "连衣")


def test_a_colour_that_titles_say_in_both_languages_is_one_colour(tmp_path: Path) -> None:
    titles = ["Red Shirt 红色衬衫", "Red Dress 红色连衣裙", "Red Heels | 红色高跟鞋", "红色衬衫", "Blue Shirt"]
    attributes = [json.dumps({"colour": colour}) for colour in ("Red", "Red", "Red", "红色", "Blue")]
    shop = make_shop(make_products(titles, {"attributes": attributes}))
    slices = SimpleNamespace(rerank=(1, 2))
    features = SimpleNamespace(launched=np.zeros(5, np.int32), slices=slices)
    tokenizer = train_tokenizer(tmp_path / "model", titles * 3, 60)
    keys = choose_keys(shop, LexicalConfig())
    tables = build_tables(shop, features, tokenizer, keys, LexicalConfig())  # type: ignore[arg-type]
    colour = tables.values[:, keys.index("attributes.colour")]
    assert len(set(colour[:4].tolist())) == 1
    assert colour[4] not in (0, colour[0])
    reading = QueryReader(tables, tokenizer, LexicalConfig())(tf.constant(["红色 衬衫", "red", "blue"]))
    named = reading.gram[:, 0, keys.index("attributes.colour")].numpy().tolist()
    assert named == [colour[0], colour[0], colour[4]]


def test_a_name_is_a_word_that_five_products_hold_and_not_one_that_six_do(tmp_path: Path) -> None:
    titles = ["Acme five six"] * 5 + ["Acme six"] + ["Acme saw"] * 94
    shop = make_shop(make_products(titles, {}))
    features = SimpleNamespace(launched=np.zeros(100, np.int32), slices=SimpleNamespace(rerank=(1, 2)))
    tokenizer = train_tokenizer(tmp_path / "model", titles, 30)
    tables = build_tables(shop, features, tokenizer, choose_keys(shop, LexicalConfig()), LexicalConfig())  # type: ignore[arg-type]
    reading = QueryReader(tables, tokenizer, LexicalConfig())(tf.constant(["five six unheard"]))
    assert (reading.weight.numpy()[0] >= np.float32(tables.name_idf)).tolist() == [True, False, False]
