"""`tandem serve`: the embedded server over a folder of releases.

tandem serve --models saved_models --port 8500
"""

import logging
import tempfile
from pathlib import Path

from catalog.errors import ConfigError
from catalog.progress import console
from serving.local_server import ServerConfig, serve
from serving.model_config import render_config

SERVING_CONFIG = Path(__file__).parent.parent / "serving_config"


def run_server(models_dir: Path, host: str, port: int, model_config_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        models_dir: the releases, where `model_config_file` is not given.
        host, port: to listen on.
        model_config_file: a rendered model config.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with tempfile.TemporaryDirectory(prefix="tandem-serve-") as folder:
        if model_config_file is None:
            template = SERVING_CONFIG / "embedded.config"
            if not template.exists():
                raise ConfigError(
                    f"{template} is not there: Tandem runs from an installed package without its checkout; render a "
                    "config of your own and give it as --model_config_file"
                )
            model_config_file = Path(folder) / "models.config"
            model_config_file.write_text(render_config(template, models_dir), encoding="utf-8")
        server = serve(ServerConfig(model_config_file=model_config_file, host=host, port=port))
    console.print(f"listening on {server.address}")
    server.wait()
