"""The simulator from the catalogue to the files, in order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import DataError
from catalog.files import read_parquet, write_parquet
from catalog.simulation.appeal import Appeal
from catalog.simulation.attributes import ASKED, Attributes, encode, read_attributes
from catalog.simulation.catalogue import KEYS, VALUE_WORDS, MadeUpProduct, category_path, make_catalogue
from catalog.simulation.judgments import judge
from catalog.simulation.log import HOME, SEARCH, Actions, Recorder, draw_actions
from catalog.simulation.looks import measure_looks
from catalog.simulation.oldshop import OldShop
from catalog.simulation.queries import Lexicon, QueryBook, draw_wanted, write_queries
from catalog.simulation.settings import SimulateConfig
from catalog.simulation.shelf import language_codes, stock_shelf
from catalog.simulation.shoppers import Sessions, draw_intents, draw_sessions, draw_shoppers
from catalog.simulation.tables import events_table, users_table
from catalog.simulation.vocabulary import TYPES
from catalog.simulation.world import SHOWN, World

_MAX_KEYS = 8


def run(config: SimulateConfig, raw_dir: Path, truth_dir: Path) -> None:
    """What `catalog.simulate.simulate` does."""
    streams = np.random.default_rng(config.seed).spawn(9)
    table, attributes, shown, languages = _catalogue(config, raw_dir, streams[0])
    looks = measure_looks(_pictures(table, raw_dir), attributes.type, config.workers)
    shelf, table = stock_shelf(table, attributes, looks, languages, config, streams[1])
    spoken = _spoken(languages, config)
    keys = sorted(attributes.keys, key=lambda key: (-ASKED.get(key, 0.1), key))[:_MAX_KEYS]
    shoppers = draw_shoppers(shelf, spoken, config, streams[2])
    sessions = draw_sessions(shoppers, config, streams[3])
    intents = draw_intents(shelf, shoppers, sessions, keys, config, streams[4])
    actions = draw_actions(sessions, streams[5])
    appeal = Appeal(shelf, shoppers, intents, keys)
    book, actions = _queries(appeal, sessions, actions, spoken, config, streams[6])
    memory = np.where(
        shelf.launch_day < 0, np.exp(1.4 + 0.9 * shelf.quality + streams[7].normal(0, 0.7, len(shelf.quality))), 0.0
    )
    titles = [title or "" for title in table["title"].to_pylist()]
    old = OldShop(titles, shelf, book, memory.astype(np.float32), config, streams[7])
    events = Recorder(appeal, old, book, sessions, actions, config, streams[7]).play()
    shown_rows = np.column_stack([shown[key] for key in keys]) if keys else np.zeros((table.num_rows, 0), np.int8)
    world = World(
        config=config,
        keys=keys,
        shelf=shelf,
        shoppers=shoppers,
        intents=intents,
        book=book,
        user_ids=_ids("u", len(shoppers)),
        session_ids=_ids("s", len(sessions.user)),
        shown=shown_rows,
        picture_queries=_picture_queries(appeal, book, shown_rows),
    )
    asked = actions.query[actions.query >= 0]
    judged = judge(appeal, old, book, np.bincount(asked, minlength=len(book.texts)), config, streams[8])
    write_parquet(raw_dir / "products.parquet", table)
    write_parquet(raw_dir / "events.parquet", events_table(events, world, sessions, streams[8]))
    write_parquet(raw_dir / "users.parquet", users_table(world, streams[8]))
    if judged is not None:
        write_parquet(raw_dir / "judgments.parquet", judged)
    world.save(truth_dir)


def _ids(letter: str, count: int) -> npt.NDArray[np.str_]:
    width = max(5, len(str(count)))
    return np.array([f"{letter}{number:0{width}d}" for number in range(count)], dtype=np.str_)


def _catalogue(
    config: SimulateConfig, raw_dir: Path, random: np.random.Generator
) -> tuple[pa.Table, Attributes, dict[str, npt.NDArray[np.int8]], npt.NDArray[np.int8]]:
    """The products table, its codes, where each attribute shows, and each product's language."""
    if config.products > 0:
        table, made = make_catalogue(config, random)
        columns = {key: [product.values[key] for product in made] for key in KEYS}
        attributes = encode([category_path(TYPES[product.kind]) for product in made], columns)
        languages = language_codes(["both" if len(p.languages) > 1 else p.languages[0] for p in made])
        return table, attributes, _shown(made, attributes), languages
    table = read_parquet(raw_dir / "products.parquet")
    ids = table["product_id"].to_pylist()
    if not ids or len(set(ids)) < len(ids):
        raise DataError(
            f"{raw_dir / 'products.parquet'}: {len(ids)} rows with {len(set(ids))} different product_ids; "
            "expected at least one product, each once; run the adapter that writes it again"
        )
    titles = [title or "" for title in table["title"].to_pylist()]
    attributes = encode(
        [path or "" for path in _column(table, "category")],
        read_attributes(_column(table, "attributes"), titles, _column(table, "brand")),
    )
    shown = {
        key: np.where(codes >= 0, SHOWN.index("text"), 0).astype(np.int8) for key, codes in attributes.codes.items()
    }
    return table, attributes, shown, language_codes([_language(title) for title in titles])


def _column(table: pa.Table, name: str) -> list[str | None]:
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows


def _language(title: str) -> str:
    """The language of a title: a Chinese character says as much as two letters."""
    chinese = sum("\u3400" <= character <= "\u9fff" for character in title)
    letters = sum(character.isalpha() for character in title) - chinese
    return "zh" if 2 * chinese > letters else "en"


def _shown(made: list[MadeUpProduct], attributes: Attributes) -> dict[str, npt.NDArray[np.int8]]:
    return {key: np.array([SHOWN.index(product.shown[key]) for product in made], np.int8) for key in attributes.codes}


def _pictures(table: pa.Table, raw_dir: Path) -> list[bytes | None]:
    """Each product's picture file, from the column itself or from the folder it names."""
    pictures: list[bytes | None] = []
    for cell in _column(table, "image"):
        if isinstance(cell, str):
            paths = [path for path in (raw_dir / "images" / cell, raw_dir / cell) if path.is_file()]
            pictures.append(paths[0].read_bytes() if paths else None)
        else:
            pictures.append(cell)
    return pictures


def _spoken(languages: npt.NDArray[np.int8], config: SimulateConfig) -> list[int]:
    """Languages that shoppers speak: those of the settings in which there are titles."""
    asked = [("en", "zh").index(name) for name in config.languages]
    found = [code for code in asked if np.isin(languages, (code, 2)).mean() >= 0.02]
    return found or [int(np.bincount(languages % 2, minlength=2).argmax())]


def _queries(
    appeal: Appeal,
    sessions: Sessions,
    actions: Actions,
    spoken: list[int],
    config: SimulateConfig,
    random: np.random.Generator,
) -> tuple[QueryBook, Actions]:
    """The query book, and the actions with their queries, -1 where nothing is typed.

    A product with neither category nor attributes cannot be asked for: those searches become home pages.
    """
    attributes, keys = appeal.shelf.attributes, appeal.keys
    searches = np.flatnonzero(actions.kind == SEARCH)
    session = actions.session[searches]
    wanted = draw_wanted(attributes, appeal.intents.target[session], appeal.intents.matters[session], keys, random)
    lexicon = Lexicon(attributes, keys, VALUE_WORDS if config.products > 0 else {})
    language = appeal.shoppers.language[sessions.user[session]]
    book, numbers = write_queries(wanted, language, spoken, lexicon, config.misspelt_share, random)
    query = np.full(len(actions.kind), -1, np.int32)
    query[searches] = numbers
    empty = searches[np.array([not text for text in book.texts])[numbers]]
    query[empty] = -1
    kind = actions.kind.copy()
    kind[empty] = HOME
    return book, replace(actions, kind=kind, query=query)


def _picture_queries(appeal: Appeal, book: QueryBook, shown: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """[queries] whether for half of what fits best, something asked for shows in the picture alone."""
    only = shown == SHOWN.index("picture")
    marks = np.zeros(len(book.texts), bool)
    if not only.any():
        return marks
    for rows in np.array_split(np.arange(len(marks)), max(1, len(marks) // 256)):
        values = book.wanted.values[rows]
        best = appeal.grades(book.wanted.scope[rows], values) == 3
        hidden = ((values >= 0).astype(np.float32) @ only.T.astype(np.float32)) > 0
        marks[rows] = (best & hidden).sum(1) * 2 >= np.maximum(best.sum(1), 1)
    return marks
