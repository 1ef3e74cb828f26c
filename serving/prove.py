"""Prove that SavedModels stand on their own: load each in this process, which has no model code, and run its warm-up.

    python -m serving.prove saved_models/search/1 saved_models/rerank/1

Prints one line of JSON; exits with 1 and a traceback when a model does not load or does not answer.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from serving.servable import Servable, load_op_libraries
from serving.warmup import read_warmup

_SIDE_BY_SIDE = 2
"""Models at a time. Loading keeps one core busy, and each holds its memory until it has answered."""


def main() -> None:
    """Load and run every model named on the command line."""
    folders = [Path(folder) for folder in sys.argv[1:]]
    load_op_libraries()  # here, for the time it takes is no model's
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
        proven = list(threads.map(_prove, folders))
    intruders = sorted(name for name in sys.modules if name.split(".")[0] in ("towers", "rerank", "pipelines"))
    if intruders:
        raise SystemExit(f"model code was imported, so this proves nothing: {', '.join(intruders)}")
    names = [folder.parent.name if folder.name.isdigit() else folder.name for folder in folders]
    print(json.dumps(dict(zip(names, proven, strict=True))))


def _prove(folder: Path) -> dict[str, Any]:
    """What was measured of one model."""
    started = time.perf_counter()
    servable = Servable(folder)
    loaded = time.perf_counter()
    requests = read_warmup(folder)
    if not requests:
        raise SystemExit(f"{folder}: no warm-up requests, so nothing proves that it answers")
    for signature, inputs in requests:
        servable.run(signature, inputs)
    servable.close()
    return {
        "signatures": sorted(servable.signatures),
        "requests": len(requests),
        "load_seconds": round(loaded - started, 2),
    }


if __name__ == "__main__":
    main()
