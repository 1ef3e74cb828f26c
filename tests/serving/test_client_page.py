"""docs/client.md: what it says of the tensors is what the client sends and what a release answers."""

import json
import re
from pathlib import Path

from serving.answers import _NUMBERS
from serving.client import HistoryEvent, Request
from serving.requests import Contract

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Without this client")[1].split("\n## ")[0]


def test_the_body_is_what_the_client_would_ask() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", SECTION, re.S)
    (instance,) = json.loads(text)["instances"]
    events = [HistoryEvent("p17", "cart", 1_700_000_000), HistoryEvent("p3", "view", 1_699_990_000)]
    request = Request("red summer dress", events, {"country": "NL"}, timestamp=1_700_003_600)
    contract = Contract(history=3, user_columns=("country",), picture=None, candidates=None)
    asked = {name: values.tolist()[0] for name, values in request.inputs(contract).items()}
    assert instance == json.loads(json.dumps(asked, default=bytes.decode))


def test_every_input_and_output_is_in_the_tables() -> None:
    inputs, outputs = (set(re.findall(r"`([a-z_<>]+)`", "".join(rows))) for rows in _tables())
    assert {"query", "history_product_id", "history_kind", "history_timestamp", "timestamp", "query_image"} <= inputs
    assert {"query_embedding", "candidate_product_id", "candidate_score"} <= inputs
    assert outputs >= {"product_id", *_NUMBERS}


def _tables() -> list[list[str]]:
    """First cells of the rows of the two tables."""
    tables: list[list[str]] = []
    for line in SECTION.splitlines():
        if line.startswith("| input |") or line.startswith("| output of"):
            tables.append([])
        elif line.startswith("| `"):
            tables[-1].append(line.split("|")[1])
    return tables
