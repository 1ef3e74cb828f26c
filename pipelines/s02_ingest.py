"""Check the shop's files and write the validated tables, the rejected rows and the pictures as pixels.

tandem run --config pipelines/configs/demo.yaml --until ingest
"""

from catalog.ingest import ingest, summary_table
from catalog.progress import output_console
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """raw/ -> tables/."""
    ingest(workspace.raw, workspace / "tables", workspace.config.ingest)
    output_console().print(summary_table(workspace / "tables"))
