"""`tandem serve`: the embedded server over a folder of releases, or over what tensorflow_model_server's flags name.

tandem serve --models saved_models --port 8500
"""

import logging
import os
import tempfile
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from catalog.errors import ConfigError
from catalog.progress import output_console
from serving.flags import Flags, server_config
from serving.local_server import Server
from serving.logs import configure_logging
from serving.model_config import render_config

SERVING_CONFIG = Path(__file__).parent.parent / "serving_config"

_log = logging.getLogger(__name__)


def run_server(flags: Flags) -> None:
    """Serve until SIGTERM or SIGINT, which may also come while models load."""
    configure_logging(flags.settings.get("log_format", "text"))
    for note in flags.notes:
        _log.warning("%s", note)
    with tempfile.TemporaryDirectory(prefix="tandem-serve-") as folder:
        models = None
        if not flags.name_models:
            models, flags = _rendered(flags.models, Path(folder)), _batching(flags)
        else:
            flags = _waiting(flags)
        server = Server(server_config(flags, models))
        ended = server.run(lambda: _log.info("listening on %s", server.address))
    if not ended:
        _log.warning("a model still loads, or a request still runs; the process ends without it")
        logging.shutdown()
        os._exit(0)  # an interpreter that ends takes its lock from TensorFlow's threads, and they abort


def _batching(flags: Flags) -> Flags:
    """A folder of releases is served in batches unless a flag says otherwise."""
    if "enable_batching" in flags.settings:
        return flags
    settings = {"enable_batching": True, "batching_parameters_file": SERVING_CONFIG / "batching_parameters.txt"}
    return replace(flags, settings={**settings, **flags.settings})


def _waiting(flags: Flags) -> Flags:
    """Models that flags name are waited for, as tensorflow_model_server does, unless a flag says otherwise."""
    return replace(flags, settings={"wait_for_versions": True, **flags.settings})


def print_version() -> None:
    """This package's version and TensorFlow's, in the form of `tensorflow_model_server --version`."""
    out = output_console()
    out.print(f"Tandem ModelServer: {_own_version()}")
    out.print(f"TensorFlow Library: {version('tensorflow')}")


def _own_version() -> str:
    """Of the installed package; in the image, which has the code alone, what its Dockerfile says."""
    try:
        return version("tandem-search")
    except PackageNotFoundError:
        return os.environ.get("TANDEM_VERSION", "unknown")


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
