"""A frozen network of timm's, from its weights in a .safetensors file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from energan.core import DataError, SettingError, describe
from energan.nets.feature_maps import FrozenNetwork

INSTALL = "pip install 'energan[timm]'"


def timm_network(
    path: Path, shape: tuple[int, int, int], layers: Sequence[str] = ()
) -> FrozenNetwork:
    """The network whose weights the file holds, as the hub has them: its name is `architecture` in
    config.json beside the file or in the file's own metadata, or else the file's name.

    Raises SettingError if timm is not installed or knows no such network, DataError if the weights
    are not its.
    """
    try:
        import timm
    except ImportError as error:
        raise SettingError(
            f"features from a timm network need timm ({describe(str(error))}): {INSTALL}"
        ) from None
    try:
        weights = load_file(path)
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read as safetensors: {describe(str(error))}") from None
    name = _architecture(path, told)
    if not timm.is_model(name):
        raise SettingError(
            f"{path}: timm has no network {describe(name)}; put the config.json of its hub page "
            "beside the file, or name the file after the network, for example "
            '"resnet18.safetensors"'
        )
    network = timm.create_model(name, pretrained=False, num_classes=0)
    if not next(network.parameters()).is_meta:
        _load(network, weights, path, name)
    return FrozenNetwork(network, shape, layers)


def _load(network: nn.Module, weights: dict[str, Tensor], path: Path, name: str) -> None:
    """All but those of the last layer, which names classes."""
    what = f"{path} does not hold the weights of {name}"
    try:
        missing = network.load_state_dict(weights, strict=False).missing_keys
    except RuntimeError as error:
        raise DataError(f"{what}: {describe(str(error))}") from None
    if missing:
        raise DataError(f"{what}: it lacks {missing[0]}")


def _architecture(path: Path, told: dict[str, str]) -> str:
    beside: Any = path.parent / "config.json"
    try:
        found = json.loads(beside.read_text()).get("architecture")
    except (OSError, ValueError, AttributeError):
        found = None
    return str(found or told.get("architecture") or path.stem.split(".")[0])
