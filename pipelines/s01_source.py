"""Bring the shop's files: a folder as it is, a public data set through its adapter, or products that are made up.

    tandem run --config pipelines/configs/demo.yaml --until source

Writes raw/ (and truth/ where shoppers are simulated). A shop's own folder is read where it lies and never written to.
"""

import shutil

from catalog.errors import ConfigError
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """Fill raw/ for the simulated and the public sources; check that the folder exists for the shop's own."""
    source, simulation = workspace.config.source, workspace.config.simulate
    if source.kind != "made_up" and source.path is None:
        raise ConfigError(f"source.kind is {source.kind!r} and no path came; give `--source PATH` or `source.path`")
    if source.path is not None and not source.path.exists():
        raise ConfigError(
            f"source.path: {source.path} does not exist; expected the shop's folder or the data set's zip"
        )
    if source.kind == "files":
        if simulation is not None:
            raise ConfigError("simulate: shoppers are not simulated over a shop's own log; remove the section")
        return
    if simulation is None:
        raise ConfigError(f"source.kind {source.kind!r} brings no behaviour log; add a `simulate:` section")
    from catalog.simulate import simulate

    shutil.rmtree(workspace.raw, ignore_errors=True)
    if source.kind == "fashion":
        from catalog.sources.fashion import convert

        assert source.path is not None
        convert(source.path, workspace.raw, limit=source.limit, seed=source.seed)
    simulate(simulation, workspace.raw, workspace / "truth")
