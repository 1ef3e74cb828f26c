"""What can be set about a simulated shop."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from catalog.config import Config, Operational

VERSION = 1
"""Version of the simulated world. It rises with every change that alters a table; a change re-runs every result."""

Language = Literal["en", "zh"]


class SimulateConfig(Config):
    """A shop that does not exist: how large it is, how long it is watched, who comes and what the old shop shows."""

    products: int = Field(2400, ge=0, le=1_000_000, description="products to make up; 0 reads raw/products.parquet")
    shoppers: int = Field(1700, ge=20, le=5_000_000, description="shoppers who visit at least once")
    days: int = Field(70, ge=14, le=730, description="days of log")
    start: date = Field(date(2025, 3, 3), description="first day of the log (UTC)")
    seed: int = Field(0, ge=0, description="same settings and seed, same bytes")
    languages: tuple[Language, ...] = Field(
        ("en", "zh"), min_length=1, description="languages of shoppers and queries; a real catalogue is asked in these"
    )
    bilingual_share: float = Field(0.08, ge=0, le=1, description="made-up products that carry both languages")
    sessions_per_shopper: float = Field(
        11.0, gt=0, le=500, description="mean sessions of a shopper who is there from the first day; long-tailed"
    )
    present_at_start: float = Field(
        0.4, ge=0, le=1, description="share of shoppers there on day 0; the rest keep arriving"
    )
    launched_during_log: float = Field(0.6, ge=0, le=0.9, description="share of products launched while the log runs")
    out_of_stock_share: float = Field(0.03, ge=0, le=0.5, description="products that sell out before the log ends")
    page_size: int = Field(20, ge=5, le=100, description="products on a page")
    shuffled_page_share: float = Field(0.1, ge=0, le=1, description="pages whose products and order are random")
    position_decay: float = Field(0.7, ge=0, le=3, description="examination of position p is p to the minus this")
    misspelt_share: float = Field(0.09, ge=0, le=0.5, description="searches with a spelling mistake")
    picture_pixels: int = Field(112, ge=32, le=512, description="side of a rendered picture")
    missing_picture_share: float = Field(0.02, ge=0, le=1, description="made-up products without a picture")
    missing_description_share: float = Field(0.1, ge=0, le=1, description="made-up products without a description")
    missing_price_share: float = Field(0.02, ge=0, le=1, description="products whose price is not in the catalogue")
    judged_queries: int = Field(300, ge=0, description="queries judged by raters")
    judged_products: int = Field(24, ge=3, description="products judged for each of them")
    workers: Annotated[int, Operational()] = Field(2, ge=1, le=64, description="threads that decode pictures")
