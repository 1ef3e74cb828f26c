"""Episodes, histories, daily snapshots and the four time slices.

tandem run --config pipelines/configs/demo.yaml --until features
"""

from catalog.features import build
from catalog.progress import console
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """tables/ -> features/."""
    store = build(workspace / "tables", workspace / "features", workspace.config.features, workspace.config.splits)
    console.print(repr(store))
