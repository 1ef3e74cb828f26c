"""Model configs: TF Serving's textproto files, checked and rendered."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from google.protobuf import text_format

from catalog.errors import ConfigError
from serving.errors import invalid_argument
from serving.messages import ModelConfig, ModelConfigList, ModelServerConfig
from serving.server_config import NO_URIS, is_uri

PLACEHOLDER = "{{MODELS_DIR}}"
"""What a template holds where the absolute path of the models belongs; TF Serving takes no relative path."""

PLATFORM = "tensorflow"


def read_model_config(path: Path) -> ModelServerConfig:
    """Read a model config file.

    Raises:
        ConfigError: if it is missing, not a ModelServerConfig in text form, or an unrendered template.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the model config cannot be read: {error}") from error
    return parse_model_config(text, str(path))


def parse_model_config(text: str, origin: str) -> ModelServerConfig:
    """Parse a model config, which may list no model; `origin` names it in the ConfigError."""
    if PLACEHOLDER in text:
        raise ConfigError(
            f"{origin} is a template: it holds {PLACEHOLDER} where TF Serving wants an absolute path; "
            f"render it first with `tandem render-config {origin}`"
        )
    try:
        config = text_format.Parse(text, ModelServerConfig())
    except text_format.ParseError as error:
        raise ConfigError(f"{origin}: not a ModelServerConfig in text form: {error}") from error
    if config.WhichOneof("config") == "custom_model_config":
        raise ConfigError(f"{origin}: custom_model_config is not served; expected model_config_list")
    return config


def single_model_config(name: str, base_path: Path) -> ModelServerConfig:
    """The config of one model, its latest version, as the flags --model_name and --model_base_path stand for.

    A symlink stays one: a release may be made by pointing it elsewhere.
    """
    model = ModelConfig(name=name, base_path=str(base_path.absolute()), model_platform=PLATFORM)
    return ModelServerConfig(model_config_list=ModelConfigList(config=[model]))


def render_config(template: Path, models_dir: Path, versions: Mapping[str, int] | None = None) -> str:
    """Render a template of `serving_config/` with absolute paths.

    Args:
        template: a model config with {{MODELS_DIR}} in its base paths.
        models_dir: the folder of released models.
        versions: models to pin to one version each, by name; the others keep the template's policy.

    Returns:
        The config as text, comments kept unless versions are pinned.

    Raises:
        ConfigError: if the template is unreadable, renders to no valid config or none of a model, or lacks a pinned
            model.
    """
    try:
        text = template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{template}: the template cannot be read: {error}") from error
    path = str(models_dir.absolute())
    if re.search(r'["\\\n]', path):
        raise ConfigError(f"{path!r}: a models folder whose name has quotes, backslashes or line ends is not rendered")
    text = text.replace(PLACEHOLDER, path)
    config = parse_model_config(text, str(template))
    if not config.model_config_list.config:
        raise ConfigError(f"{template}: no model in it; expected model_config_list {{ config {{ name: ... }} }}")
    if not versions:
        return text
    models = {model.name: model for model in config.model_config_list.config}
    for name, version in versions.items():
        if name not in models:
            raise ConfigError(f"{template} lists no model {name!r} to pin; it lists {', '.join(sorted(models))}")
        models[name].model_version_policy.Clear()
        models[name].model_version_policy.specific.versions.append(version)
    rendered: str = text_format.MessageToString(config)
    return rendered


def check_model_list(config: ModelServerConfig, served: Collection[str] = ()) -> None:
    """Refuse a config as TF Serving's ServerCore does.

    Args:
        config: the models.
        served: the names of those that are served already, on PLATFORM as all are; they do not change it.

    Raises:
        Rejection: INVALID_ARGUMENT for a model listed twice, a base path that is relative, a URI or none, no platform
            or another one.
    """
    names = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    for model in config.model_config_list.config:
        if is_uri(model.base_path):
            raise invalid_argument(f"the base path of model {model.name}, {model.base_path}, {NO_URIS}")
        if not Path(model.base_path).is_absolute():
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        if "\0" in model.base_path:
            raise invalid_argument(f"the base path of model {model.name} holds a null byte; no path does")
    for model in config.model_config_list.config:
        platform = _platform(model)
        if platform != PLATFORM and model.name in served:
            raise invalid_argument(
                f"Illegal to change a model's platform. For model {model.name} platform was {PLATFORM} and new "
                f"platform requested is {platform}"
            )
        if platform != PLATFORM:
            raise invalid_argument(f"Model {model.name} requests unsupported platform {platform}")


def _platform(model: ModelConfig) -> str:
    if model.model_type and model.model_platform:
        raise invalid_argument(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform, "
            f"model name is {model.name}"
        )
    if model.model_type not in (0, 1):  # MODEL_TYPE_UNSPECIFIED, TENSORFLOW
        raise invalid_argument(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    platform: str = PLATFORM if model.model_type else model.model_platform
    if not platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    return platform
