"""The old shop's pages."""

import numpy as np

from catalog.simulation.attributes import encode
from catalog.simulation.log import examination
from catalog.simulation.looks import LOOK_DIMENSIONS
from catalog.simulation.oldshop import OldShop, _first_distinct, tokens
from catalog.simulation.queries import QueryBook, Wanted
from catalog.simulation.settings import SimulateConfig
from catalog.simulation.shelf import NEVER, STYLE_DIMENSIONS, Shelf


def _shop(shuffled: float, count: int = 300) -> OldShop:
    kinds = ["A > Lamps", "A > Mugs"] * (count // 2)
    titles = [f"{'Red' if row % 4 < 2 else 'Blue'} {kind[4:-1]} 红色" for row, kind in enumerate(kinds)]
    launch = np.zeros(count, np.int32)
    launch[:20] = 5
    shelf = Shelf(
        product_ids=np.arange(count).astype(np.str_),
        attributes=encode(kinds, {}),
        looks=np.zeros((count, LOOK_DIMENSIONS), np.float32),
        style=np.zeros((count, STYLE_DIMENSIONS), np.float32),
        quality=np.zeros(count, np.float32),
        price_z=np.zeros(count, np.float32),
        language=np.zeros(count, np.int8),
        launch_day=launch,
        sold_out_day=np.full(count, NEVER, np.int32),
    )
    wanted = Wanted(np.array([1, 0], np.int32), np.zeros((2, 0), np.int16))
    book = QueryBook(["red mugs", "xyzzy"], wanted, np.zeros(2, np.int8), np.zeros(2, bool))
    config = SimulateConfig(shuffled_page_share=shuffled)
    return OldShop(titles, shelf, book, np.zeros(count, np.float32), config, np.random.default_rng(0))


def test_tokens() -> None:
    assert tokens("Red T-Shirts by H&M's") == ["red", "t", "shirt", "by", "h&m'"]
    assert tokens("红色连衣裙") == ["红色", "色连", "连衣", "衣裙"]
    assert tokens("红 Lamp") == ["红", "lamp"]


def test_first_distinct() -> None:
    ranked = np.array([[4, 4, 2, 4, 7], [-1, 3, 3, -1, -1]], np.int32)
    assert _first_distinct(ranked, 3).tolist() == [[4, 2, 7], [3, -1, -1]]


def test_search_finds_titles_and_hides_what_is_not_launched() -> None:
    shop = _shop(shuffled=0.0)
    shop.rebuild(np.array([0, 1], np.int32))
    pages = shop.search(np.zeros(50, np.int32), day=0)
    assert pages.shape == (50, 20)
    assert (pages >= 20).all()
    assert np.mean([(row % 4 == 1).mean() for row in pages]) > 0.8  # every fourth product is a red mug
    assert all(len(set(row)) == 20 for row in pages.tolist())
    assert not (pages[0] == pages[1]).all()


def test_words_nobody_knows_give_a_full_page_of_something() -> None:
    shop = _shop(shuffled=0.0)
    shop.rebuild(np.array([1], np.int32))
    assert (shop.search(np.array([1], np.int32), day=9) >= 0).all()


def test_shuffled_pages_reach_the_tail() -> None:
    shop, steady = _shop(shuffled=1.0), _shop(shuffled=0.0)
    liked = np.repeat(np.arange(100, 130, dtype=np.int32), 50)
    for each in (shop, steady):
        each.learn(liked, liked[:0])
    home, usual = (each.home(np.full(60, -1, np.int32), day=9) for each in (shop, steady))
    best = lambda pages: np.isin(pages, liked).mean()  # noqa: E731
    assert best(usual) > 2 * best(home)
    assert len(np.unique(home)) > 250


def test_popularity_follows_what_was_bought() -> None:
    shop = _shop(shuffled=0.0)
    shop.learn(np.array([7, 7, 9], np.int32), np.array([9], np.int32))
    popular = shop.popularity()
    assert popular[9] > popular[7] > popular[0]


def test_examination() -> None:
    np.testing.assert_allclose(examination(4, 0.5), [1, 2**-0.5, 3**-0.5, 0.5], rtol=1e-6)
