"""What each metric is called in the report, and what it means in a sentence."""

_METRICS = {
    "ndcg": ("NDCG", "order of the first k against the best possible order; a hit further down counts less"),
    "appeal_ndcg": ("appeal NDCG", "the same with what this very shopper wants, as P(click | seen), for the gain"),
    "recall": ("recall", "share of the wanted products that are among the first k"),
    "grade3_recall": ("grade-3 recall", "share of the products of the top grade among the first k, at most k counted"),
    "ctr": ("CTR", "expected clicks on the first k, a product shown, under the true position bias"),
    "cvr": ("CVR", "expected purchases a click on the first k"),
    "purchases": ("purchases", "expected purchases from the first k, a product shown"),
    "precision": ("precision", "share of the first k places that hold something wanted"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "hit_rate": ("hit rate", "share of requests with anything wanted among the first k"),
    "mrr": ("MRR", "1 / rank of the first wanted product, on average"),
    "map": ("MAP", "mean of the precision at the rank of each wanted product"),
    "coverage": ("coverage", "share of the index that is among the first k of any request"),
    "judged": ("judged", "share of the first k places whose product somebody judged for the query"),
    "match": ("match", "share of the first k whose product has exactly the values the query names"),
}


def label(metric: str) -> str:
    """ "ndcg@10" -> "NDCG@10"; names that are not known stay as they are."""
    name, at, k = metric.partition("@")
    return _METRICS[name][0] + at + k if name in _METRICS else metric


def explain(metric: str) -> str:
    """The sentence about a metric; "" for names that are not known."""
    name, _, k = metric.partition("@")
    sentence = _METRICS[name][1] if name in _METRICS else ""
    return sentence.replace("first k", f"first {k}") if k else sentence
