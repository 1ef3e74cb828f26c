"""The retrieval model: a query tower and a product tower, their training, index and export."""

import os

if os.environ.get("TF_USE_LEGACY_KERAS") != "1":
    raise ImportError(
        "TF_USE_LEGACY_KERAS is not '1' in this process, and TensorFlow Recommenders cannot be imported without it. "
        "Set TF_USE_LEGACY_KERAS=1 in the environment before Python starts, or use the `tandem` command, which does."
    )
