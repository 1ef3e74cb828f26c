"""Prove that SavedModels stand on their own: load each in this process, which has no model code, and run its warm-up.

    python -m serving.prove saved_models/search/1 saved_models/rerank/1

Prints one line of JSON; exits with 1 and a traceback when a model does not load or does not answer.
"""

import json
import sys
import time
from pathlib import Path

from serving.servable import Servable
from serving.warmup import read_warmup


def main() -> None:
    """Load and run every model named on the command line."""
    proof = {}
    for folder in sys.argv[1:]:
        started = time.perf_counter()
        servable = Servable(Path(folder))
        loaded = time.perf_counter()
        requests = read_warmup(Path(folder))
        if not requests:
            raise SystemExit(f"{folder}: no warm-up requests, so nothing proves that it answers")
        for signature, inputs in requests:
            servable.run(signature, inputs)
        proof[Path(folder).name if not Path(folder).name.isdigit() else Path(folder).parent.name] = {
            "signatures": sorted(servable.signatures),
            "requests": len(requests),
            "load_seconds": round(loaded - started, 2),
        }
        servable.close()
    intruders = sorted(name for name in sys.modules if name.split(".")[0] in ("towers", "rerank", "pipelines"))
    if intruders:
        raise SystemExit(f"model code was imported, so this proves nothing: {', '.join(intruders)}")
    print(json.dumps(proof))


if __name__ == "__main__":
    main()
