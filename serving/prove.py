"""Prove that SavedModels stand on their own: load each in this process, which has no model code, and run its warm-up.

    python -m serving.prove saved_models/search/1 saved_models/rerank/1

Without arguments it reads the folders from its input, a line each, and takes every one as it comes. Prints one line of
JSON; exits with 1 and a traceback when a model does not load or does not answer.
"""

import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from serving.servable import Servable, load_op_libraries
from serving.tensors import Array
from serving.warmup import read_warmup

_SIDE_BY_SIDE = 2
"""Models at a time. Loading keeps one core busy, and each holds its memory until it has answered."""


def main() -> None:
    """Load and run every model named on the command line, or else on the input."""
    named: Iterable[str] = sys.argv[1:] or (os.fsdecode(line.removesuffix(b"\n")) for line in sys.stdin.buffer)
    load_op_libraries()  # here, for the time it takes is no model's
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
        waiting = [(folder, threads.submit(_prove, folder)) for folder in map(Path, named)]
        proven = {}
        for folder, answer in waiting:
            try:
                proven[_name(folder)] = answer.result()
            except Exception as error:
                error.add_note(f"This is of {folder}")
                raise
    intruders = sorted(name for name in sys.modules if name.split(".")[0] in ("towers", "rerank", "pipelines"))
    if intruders:
        raise SystemExit(f"model code was imported, so this proves nothing: {', '.join(intruders)}")
    print(json.dumps(proven))


def _name(folder: Path) -> str:
    return folder.parent.name if folder.name.isdigit() else folder.name


def _prove(folder: Path) -> dict[str, Any]:
    """What was measured of one model."""
    started = time.perf_counter()
    servable = Servable(folder)
    loaded = time.perf_counter()
    requests = read_warmup(folder)
    if not requests:
        raise SystemExit(f"{folder}: no warm-up requests, so nothing proves that it answers")
    for signature, inputs in requests:
        _check(folder, signature, servable.run(signature, inputs))
    servable.close()
    return {
        "signatures": sorted(servable.signatures),
        "requests": len(requests),
        "load_seconds": round(loaded - started, 2),
    }


def _check(folder: Path, signature: str, outputs: dict[str, Array]) -> None:
    """Whether an answer is one: finite numbers, and a product where products are asked for."""
    for name, values in outputs.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise SystemExit(f"{folder}: {signature} answers its warm-up with {name} that is not finite")
    products = outputs.get("product_id")
    if products is not None and not any(products.ravel().tolist()):
        raise SystemExit(f"{folder}: {signature} answers its warm-up with no product at all")


if __name__ == "__main__":
    main()
