"""`tandem search`: one question to a running server, with a logged shopper's history, answered in a table.

tandem search "red summer dress" --user u42
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.markup import escape
from rich.table import Table

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.files import read_parquet
from catalog.progress import console, output_console
from catalog.schema import KINDS
from pipelines.config import load_config
from pipelines.workspace import open_workspace
from serving.client import Answer, SearchClient
from serving.requests import HistoryEvent

_COLUMNS = ["product_id", "title", "category", "price", "currency"]


def print_search(config: Path, query: str, user: str | None, image: Path | None, address: str, k: int) -> None:
    """Ask and print.

    Args:
        config: the run whose tables name the products and whose log holds the user's history.
        query: "" for a recommendation. user: whose history comes along. image: a picture file to search with.
        address: host:port. k: how many products.

    Raises:
        DataError: for a user the log does not know, or a picture that cannot be read.
    """
    settings = load_config(config)
    workspace = open_workspace(settings)
    products = read_parquet(workspace / "tables" / "products.parquet", _COLUMNS)
    history, profile = (
        ((), {})
        if user is None
        else shopper(FeatureStore.load(workspace / "features"), products, user, settings.towers.profile_columns)
    )
    with SearchClient(address) as client:
        answer = client.search(query, history, profile, picture_bytes(image), k=k)
    output_console().print(answer_table(answer, products, f'"{query}"' if query else "recommended"))
    if len(answer) < k:
        console.print(
            f"{len(answer)} products came, and --k asks for {k}: `search` answers with as many as release.results says "
            f"when it is released ({settings.release.results} in this config), or with all that it found"
        )
    known = pc.is_in(pa.array([hit.product_id for hit in answer], pa.string()), products.column("product_id"))
    if len(answer) and not pc.any(known).as_py():
        console.print(
            f"none of these products is among the {products.num_rows:,} of {settings.name}: the server at {address} "
            "answers with the release of another shop; give its --config, or serve this one's release"
        )


def shopper(
    features: FeatureStore, products: pa.Table, user: str, columns: tuple[str, ...]
) -> tuple[tuple[HistoryEvent, ...], dict[str, str]]:
    """All that a logged user did, oldest first, and those of the user's profile columns that the towers read."""
    known = {name: row for row, name in enumerate(features.user_ids.tolist())}
    if user not in known:
        some = ", ".join(list(known)[:3])
        raise DataError(f"--user {user!r} is not in the log; it holds {len(known):,} users, such as {some}")
    row = known[user]
    events = slice(int(features.user_start[row]), int(features.user_start[row + 1]))
    ids = products.column("product_id").take(pa.array(features.interaction_product[events])).to_pylist()
    kinds = [KINDS[kind] for kind in features.interaction_kind[events].tolist()]
    times = features.interaction_timestamp[events].tolist()
    history = tuple(HistoryEvent(*event) for event in zip(ids, kinds, times, strict=True))
    return history, {name: str(features.user_columns[name][row]) for name in columns}


def picture_bytes(image: Path | None) -> bytes | None:
    """The bytes of a picture file; DataError when it cannot be read."""
    if image is None:
        return None
    try:
        return image.read_bytes()
    except OSError as error:
        raise DataError(f"--image {image}: cannot be read: {error}") from error


def answer_table(answer: Answer, products: pa.Table, title: str) -> Table:
    """An answer's products, best first."""
    table = Table(title=escape(title), title_justify="left", caption=_caption(answer), caption_justify="left")
    for name in ("#", "product", "title", "category", "price", "score", "P(click)", "P(purchase)"):
        table.add_column(name, justify="left" if name in ("product", "title", "category") else "right")
    places = pc.index_in(pa.array([hit.product_id for hit in answer]), products.column("product_id")).to_pylist()
    for number, (hit, place) in enumerate(zip(answer, places, strict=True), start=1):
        known = {} if place is None else products.slice(place, 1).to_pylist()[0]
        price = known.get("price")
        table.add_row(
            str(number),
            escape(hit.product_id),
            escape(known.get("title", "")),
            escape(known.get("category", "").rsplit(">", 1)[-1].strip()),
            "" if price is None or price != price else f"{price:,.2f} {known['currency']}".strip(),
            f"{hit.score:.3f}",
            _percent(hit.click_probability),
            _percent(hit.purchase_probability),
        )
    return table


def _caption(answer: Answer) -> str:
    order = "" if answer.reranked else ", in retrieval order: the reranker did not answer"
    return f"{answer.model} version {answer.version}{order}"


def _percent(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.1%}"
