"""Which versions of a model are wanted: numeric folders under its base path, chosen by its version policy."""

from collections.abc import Mapping
from pathlib import Path

import grpc

from serving.errors import Rejection, invalid_argument
from serving.messages import ModelConfig


def find_versions(model: ModelConfig) -> dict[int, Path]:
    """The version folders under the model's base path, by number.

    Folders whose name is no number (a release being written beside, say) are none.

    Raises:
        Rejection: INVALID_ARGUMENT if the base path cannot be listed. That may pass, so it says nothing about versions.
    """
    base = Path(model.base_path)
    try:
        # Of two names for one number ("1" and "001") the last in order wins, as in TF Serving.
        return {int(item.name): item for item in sorted(base.iterdir()) if _is_version(item.name) and item.is_dir()}
    except (OSError, ValueError) as error:  # ValueError: what is no path at all, with a null byte in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise invalid_argument(
            f"Could not find base path {model.base_path} for servable {model.name} with error {reason}"
        ) from error


def wanted_versions(model: ModelConfig, found: Mapping[int, Path]) -> dict[int, Path]:
    """What the model's policy wants of the versions found: the latest one unless it says otherwise."""
    policy = model.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return dict(found)
    if choice == "specific":
        return {version: found[version] for version in policy.specific.versions if version in found}
    newest = sorted(found, reverse=True)[: max(policy.latest.num_versions, 1)]
    return {version: found[version] for version in newest}


def no_versions(model: ModelConfig) -> Rejection:
    """The error of a model whose base path holds no version that its policy wants."""
    return Rejection(
        grpc.StatusCode.NOT_FOUND,
        f"Unable to find a numerical version path for servable {model.name} at: {model.base_path}",
    )


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) < 1 << 63
