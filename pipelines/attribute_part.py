"""The chapter of queries that nobody tuned to: made from the catalogue's columns, so that right answers are known."""

from catalog.progress import console
from evaluation.attribute_queries import AttributeQueries, make_attribute_queries
from evaluation.bm25 import BM25
from evaluation.boards import Board, make_board
from evaluation.report import Claim
from evaluation.requests import made_up_requests
from evaluation.scores import Scores
from evaluation.words import Analyzer
from pipelines.baselines import Baselines
from pipelines.config import EvaluateConfig
from pipelines.counted_once import without_repeats
from pipelines.judging import OURS, ROLES, Shop, our_rankings
from pipelines.scoring import ReleasedModels

_BAR = 0.85


def attribute_queries(shop: Shop, settings: EvaluateConfig) -> AttributeQueries | None:
    """The queries that `evaluate.attribute_keys` asks for; None where it names none, or too few products are alike.

    Raises:
        DataError: when a key is in no product's attributes.
    """
    keys, count = settings.attribute_keys, settings.attribute_queries
    if not keys or not count:
        return None
    made = make_attribute_queries(shop.data.products, shop.eligible, keys, count, settings.seed)
    if made is None:
        console.print(f"evaluate: too few products share {', '.join(keys)}; the report leaves such queries out")
    return made


def attribute_board(
    made: AttributeQueries,
    shop: Shop,
    models: ReleasedModels,
    baselines: Baselines,
    collapsed: bool,
    settings: EvaluateConfig,
) -> Board:
    """How many of the first ten products have every value that the query names, for every system.

    Args:
        collapsed: whether the release answers with each title once.
        settings: stemmer, and seed of the bootstrap.
    """
    requests = made_up_requests(list(made.texts), shop.snapshot)
    rankings = our_rankings(models, shop, requests)
    rankings |= baselines.rank(requests)
    if collapsed:
        rankings = without_repeats(rankings, shop)
    titles = shop.data.products.column("title").to_pylist()
    rankings["BM25, titles"] = BM25(titles, shop.eligible, analyzer=Analyzer(settings.stemmer)).rank(requests, 10)
    # The methods that need a history answer strangers as BM25 does: it comes first of those that tie.
    roles = ROLES | {BM25.name: "baseline"} | {name: "baseline" for name in rankings if name not in ROLES}
    scores = Scores({name: {"match@10": made.share_matching(rows)} for name, rows in rankings.items()}, (), {})
    note = (
        f"{len(made.texts)} searches by strangers; each names {', '.join(made.keys)}, and near-synonyms do not count. "
        "Without a history the neighbourhoods, the content profile and ALS keep BM25's order. Wordings of the same "
        "values are resampled together."
    )
    return make_board(
        scores,
        roles,
        ("match@10",),
        key="attribute_queries",
        title="Queries made from columns",
        note=note,
        clusters=made.codes,
        seed=settings.seed,
    )


def attribute_claims(board: Board) -> list[Claim]:
    """Whether enough of the first ten have every value that the query names."""
    share = board.row(OURS).means["match@10"]
    return [
        Claim("Share of the first ten with every attribute named", f"{share:.3f}", f"at least {_BAR}", share >= _BAR)
    ]
