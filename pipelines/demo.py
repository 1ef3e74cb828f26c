"""The demo shop end to end: data, training, release, a server in its own process, answers over gRPC, the report.

    make demo        or        tandem demo

A second run reuses every finished stage and only serves and asks again. Not a benchmark: see benchmarks/.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pyarrow.compute as pc
from PIL import Image
from rich.console import Console

from catalog.errors import TandemError
from catalog.files import atomic_path, read_json
from catalog.schema import ShopData
from evaluation.report import headline_tables
from pipelines.answers import answer_table
from pipelines.config import load_config
from pipelines.publish import Release, latest_release
from pipelines.run import config_path, run_pipeline
from pipelines.workspace import Workspace
from serving.client import HistoryEvent, SearchClient
from serving.model_config import render_config

_SERVING_CONFIG = Path(__file__).parent.parent / "serving_config"
_START_SECONDS = 120


def run_demo() -> None:
    """Make the demo shop's release if it is not there, serve it, ask it, and say where the report is."""
    console = Console()
    config = load_config(config_path("demo"))
    workspace = run_pipeline(config)
    release = latest_release(config.models_dir, config.name)
    shop = ShopData.load(workspace / "tables")
    with served(release, workspace) as address, SearchClient(address) as client:
        ask(client, shop, workspace, console)
    for table in headline_tables(read_json(workspace / "report.json")):
        console.print(table)
    console.print(f"report: {workspace / 'report.html'}  figures: {workspace / 'report.json'}")
