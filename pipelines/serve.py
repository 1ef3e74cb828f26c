"""`tandem serve`: the embedded server over a folder of releases, or over what tensorflow_model_server's flags name.

tandem serve --models saved_models --port 8500
"""

import logging
import tempfile
from importlib.metadata import version
from pathlib import Path

from catalog.errors import ConfigError
from catalog.progress import console, output_console
from serving.flags import Flags, server_config
from serving.local_server import serve
from serving.model_config import render_config

SERVING_CONFIG = Path(__file__).parent.parent / "serving_config"

_log = logging.getLogger(__name__)


def run_server(flags: Flags) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for note in flags.notes:
        _log.warning("%s", note)
    with tempfile.TemporaryDirectory(prefix="tandem-serve-") as folder:
        models = None if flags.name_models else _rendered(flags.models, Path(folder))
        server = serve(server_config(flags, models))
    console.print(f"listening on {server.address}")
    server.wait()


def print_version() -> None:
    """This package's version and TensorFlow's, in the form of `tensorflow_model_server --version`."""
    out = output_console()
    out.print(f"Tandem ModelServer: {version('tandem-search')}")
    out.print(f"TensorFlow Library: {version('tensorflow')}")


def _rendered(models: Path, folder: Path) -> Path:
    """The embedded server's model config over a folder of releases."""
    template = SERVING_CONFIG / "embedded.config"
    if not template.exists():
        raise ConfigError(
            f"{template} is not there: Tandem runs from an installed package without its checkout; render a "
            "config of your own and give it as --model_config_file"
        )
    path = folder / "models.config"
    path.write_text(render_config(template, models), encoding="utf-8")
    return path
