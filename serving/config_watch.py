"""--model_config_file_poll_wait_seconds: the model config file is read again and again while the server runs."""

import logging
import threading
from pathlib import Path

from catalog.errors import ConfigError
from serving.errors import Rejection
from serving.logs import where_it_failed
from serving.manager import ModelManager
from serving.messages import ModelServerConfig
from serving.model_config import read_model_config

_log = logging.getLogger(__name__)


class ConfigWatch:
    """Loads a model config file whenever it says something else than what the manager holds.

    As in TF Serving, the file wins over an earlier HandleReloadConfigRequest. A file that is broken or refused changes
    nothing; what is wrong is logged once for each change of it.

    Args:
        path: the file.
        manager: the models.
        seconds: how often it is read.
    """

    def __init__(self, path: Path, manager: ModelManager, seconds: float) -> None:
        self._path = path
        self._manager = manager
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._problem = ""
        self._tried: ModelServerConfig | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-config", daemon=True)
        self._thread.start()

    def stop(self, patience: float = threading.TIMEOUT_MAX) -> None:
        """Read no more; waits for a change that is under way, for `patience` seconds at most."""
        self._stop.set()
        self._thread.join(patience)

    def look(self) -> None:
        """Read the file once."""
        try:
            config = read_model_config(self._path)
            if config != self._manager.config:
                if config != self._tried:
                    _log.info("%s has changed", self._path)
                    self._tried, self._problem = config, ""
                self._manager.reload(config)
            self._tried, self._problem = None, ""
        except (ConfigError, Rejection) as error:
            self._tell(str(error))
        except Exception as error:  # noqa: BLE001 - nobody else reads the file; the next look may succeed
            self._tell(where_it_failed(error))

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            _log.error("the model config is not taken over, what is served stays as it is: %s", problem)

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            self.look()
