"""Check the shop's files and write the validated tables, the rejected rows and the pictures as pixels.

tandem run --config pipelines/configs/demo.yaml --until ingest
"""

from rich.console import Console

from catalog.ingest import ingest, summary_table
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """raw/ -> tables/."""
    ingest(workspace.raw, workspace / "tables", workspace.config.ingest)
    Console().print(summary_table(workspace / "tables"))
