"""The demo shop end to end: data, training, release, the report, a server in its own process, answers over gRPC.

    make demo        or        tandem demo

A second run reuses every finished stage and only serves and asks again. Not a benchmark: see benchmarks/.
"""

import io
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from catalog.errors import TandemError
from catalog.feature_store import FeatureStore
from catalog.progress import output_console
from catalog.schema import ShopData
from pipelines.ask import answer_table, shopper
from pipelines.config import load_config
from pipelines.publish import Release
from pipelines.run import config_path, run_pipeline
from pipelines.s09_release import workspace_release
from pipelines.serve import SERVING_CONFIG
from pipelines.workspace import Workspace
from serving.client import SearchClient
from serving.model_config import render_config

_START_SECONDS = 120
_SHOWN = 5


def run_demo() -> None:
    """Make the demo shop's release and its report if they are not there, serve it and ask it."""
    console = output_console()
    started = time.monotonic()
    config = load_config(config_path("demo"))
    workspace = run_pipeline(config)
    release = workspace_release(workspace)
    with served(release) as address:
        ask(address, workspace, console)
    console.print(f"the demo took {time.monotonic() - started:.0f} s")


@contextmanager
def served(release: Release) -> Iterator[str]:
    """Serve one release in a process of its own; gives its address, and stops it in the end."""
    with tempfile.TemporaryDirectory(prefix="tandem-demo-") as folder:
        config, log = Path(folder) / "models.config", Path(folder) / "server.log"
        text = render_config(SERVING_CONFIG / "embedded.config", release.models_dir, {"search": release.version})
        config.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "pipelines.cli", "serve", "--port", "0", "--model_config_file", str(config)]
        command.append("--wait_for_versions=false")
        with log.open("w") as output:
            server = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield _address(server, log)
        finally:
            server.terminate()
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def ask(address: str, workspace: Workspace, console: Console) -> None:
    """Ask in English and in Chinese, by text, by picture and with an empty query, and print the answers."""
    shop, features = ShopData.load(workspace / "tables"), FeatureStore.load(workspace / "features")
    columns = workspace.config.towers.profile_columns
    history, profile = shopper(features, shop.products, _busy_user(features), columns)
    picture, pictured = a_picture(shop)
    questions = (
        ("red striped t-shirt", {"query": "red striped t-shirt"}),
        ("红色 连衣裙", {"query": "红色 连衣裙"}),
        (f"a picture of: {pictured}", {"image": picture}),
        ("recommended to a stranger", {"query": ""}),
        ("recommended to a shopper with a history", {"query": "", "history": history, "user": profile}),
    )
    with SearchClient(address, timeout=30) as client:
        for title, question in questions:
            answer = client.search(**question, timestamp=0, k=_SHOWN)
            console.print(answer_table(answer, shop.products, title))


def a_picture(shop: ShopData) -> tuple[bytes, str]:
    """A picture file, and the title of the product that it shows."""
    row = int(np.flatnonzero(shop.products.column("image_row").to_numpy() >= 0)[0])
    pixels = np.asarray(shop.images[shop.products.column("image_row")[row].as_py()])
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue(), str(shop.products.column("title")[row].as_py())


def _busy_user(features: FeatureStore) -> str:
    """The user with the most events."""
    return str(features.user_ids[int(np.argmax(np.diff(features.user_start)))])


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        found = re.search(r"listening on (\S+)", log.read_text(encoding="utf-8"))
        if found:
            return found.group(1)
        if server.poll() is not None:
            break
        time.sleep(0.2)
    raise TandemError(f"the server did not start; it said:\n{log.read_text(encoding='utf-8')[-4000:]}")
