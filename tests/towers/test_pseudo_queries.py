from random import Random

from towers.pseudo_queries import PseudoQueries


def one(title: str = "", brand: str = "", category: str = "", attributes: str = "{}") -> PseudoQueries:
    return PseudoQueries({"title": [title], "brand": [brand], "category": [category], "attributes": [attributes]})


def drawn(queries: PseudoQueries, times: int = 400) -> set[str]:
    random = Random(0)
    return {queries.draw(0, random) for _ in range(times)}


def test_values_of_several_words_stay_together() -> None:
    queries = drawn(one(attributes='{"colour": "Navy Blue", "gender": "Men"}', category="Apparel > Shirts"))
    assert {"Navy Blue", "Shirts Men", "Men Shirts", "Navy Blue Men"} <= queries
    assert all("Navy" not in query.replace("Navy Blue", "") for query in queries)


def test_lists_and_numbers_are_values_and_nothing_is_none() -> None:
    queries = drawn(one(attributes='{"year": 2012, "tags": ["slim", {"fit": "tight"}], "new": true, "x": null}'))
    assert {"2012", "slim", "tight"} <= queries
    assert not any("None" in query or "True" in query for query in queries)


def test_prose_gives_single_words() -> None:
    queries = drawn(one(attributes='{"care": "wash this at thirty degrees please"}'))
    assert "wash" in queries
    assert max(len(query.split()) for query in queries) <= 5


def test_attributes_come_more_often_than_words_of_the_title() -> None:
    queries = one(title="alpha beta gamma", attributes='{"a": "one", "b": "two", "c": "three"}')
    random = Random(0)
    words = " ".join(queries.draw(0, random) for _ in range(2000)).split()
    assert sum(word in ("one", "two", "three") for word in words) > 1.3 * sum(
        word in ("alpha", "beta", "gamma") for word in words
    )


def test_scripts_without_spaces_give_short_runs() -> None:
    queries = drawn(one(title="全新防水智能手机保护壳"))
    assert all(2 <= len(query) <= 4 for query in queries)
    assert len(queries) > 10


def test_a_product_without_text_gives_nothing() -> None:
    assert drawn(one()) == {""}
