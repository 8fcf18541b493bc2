"""Feature maps of a frozen network: the layers that are read, brought to one grid.

Patch features as PatchCore has them (Roth et al. 2022, section 3.1): each map is averaged over a
small window around each of its cells, resized to the grid of the finest, and all are concatenated.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Calibrated, DataError, SettingError, evaluating, full_precision

FEWEST = 4
"""Least number of channels of a feature map; an output with fewer is a picture, or a
probability."""
LEVELS, LEAST, COARSEST = 2, 12, 16
"""Default layers: the deepest two levels whose feature maps have at least so many cells per side,
and whose cells are at most so many pixels wide. In a ResNet for images of 224 to 512 pixels these
are the second and third stage, as in PatchCore."""


class Layered(Protocol):
    """Images (B, C, H, W), prepared for the network -> the maps (B, D, h, w) of its layers."""

    layers: Sequence[str]

    def __call__(self, x: Tensor) -> list[Tensor]: ...


class FeatureMaps(nn.Module):
    """Images (B, C, H, W) in [low, high] -> features (B, D, h, w), in float32 at least, without
    gradient for the network's weights.

    network: a Layered one. low, high: the images' range. mean, std: of each channel of images in
    [0, 1], that they are standardised by; an image in grey serves all channels. window: side of the
    square of cells that each feature is averaged over, 1 for none. channels: a random choice of so
    many of all features, by torch's generator, 0 for all. digest: sha256 of the network's file,
    kept with the weights: others are refused.
    """

    mean: Tensor
    std: Tensor
    sha256: Tensor
    chosen: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        shape: tuple[int, int, int],
        bounds: tuple[float, float],
        mean: Sequence[float],
        std: Sequence[float],
        *,
        window: int = 3,
        channels: int = 0,
        digest: str = "",
        name: str = "",
    ) -> None:
        super().__init__()
        self.network, self.name, self.window = network, name, window
        self.low, self.high = bounds
        self.inputs = max(len(mean), len(std))
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.register_buffer("chosen", None)
        digits = list(bytes.fromhex(digest))
        self.register_buffer("sha256", torch.tensor(digits, dtype=torch.uint8))
        if shape[0] not in (1, self.inputs):
            raise SettingError(
                f"the feature network takes images of {self.inputs} channels, and these have "
                f"{shape[0]}: use --data.channels {'grey' if self.inputs == 1 else 'colour'}, or "
                "give --model.mean and --model.std one number per channel that the network takes"
            )
        with evaluating(self):
            found = self(torch.zeros(2, *shape))
        size = min(channels or found.shape[1], found.shape[1])
        if size < found.shape[1]:
            self.register_buffer("chosen", torch.randperm(found.shape[1])[:size].sort().values)
        self.shape = (size, *found.shape[2:])
        """(D, h, w) of one image."""

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            x = x if x.dtype == torch.float64 else x.float()
            x = (x - self.low) / (self.high - self.low)
            x = (x.expand(-1, self.inputs, -1, -1) - self.mean.to(x)) / self.std.to(x)
            found = [average(one, self.window) for one in self.network(x)]
            merged = on_one_grid(found)
            return merged if self.chosen is None else merged[:, self.chosen]

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        stored = state.get(f"{prefix}sha256")
        if stored is not None and not torch.equal(stored.cpu(), self.sha256.cpu()):
            raise DataError(
                f"{self.name} has changed since the run was trained, so its features differ: "
                "restore the old file, or train again"
            )
        super()._load_from_state_dict(state, prefix, *rest)


def average(maps: Tensor, window: int) -> Tensor:
    """The mean over a square of window × window cells around each, of those that there are."""
    if window == 1:
        return maps
    pad = window // 2
    return F.avg_pool2d(maps, window, stride=1, padding=pad, count_include_pad=False)


def on_one_grid(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, D_i, h_i, w_i), resized bilinearly to the grid of the finest: (B, ΣD_i, h, w)."""
    grid = max((tuple(one.shape[2:]) for one in maps), key=lambda side: side[0] * side[1])
    return torch.cat(
        [
            one if tuple(one.shape[2:]) == grid else F.interpolate(one, grid, mode="bilinear")
            for one in maps
        ],
        1,
    )


class FrozenNetwork(nn.Module):
    """Some layers of a network whose weights are none of those that train, nor of a checkpoint's.

    network: called with images (B, C, H, W) alone. layers: names of submodules that give a map
    (B, D, h, w), or features (B, D) of the whole image, a map of one cell; chosen by
    `default_layers` if none is named. Raises SettingError for a layer that is not there or gives
    neither.
    """

    def __init__(
        self, network: nn.Module, shape: tuple[int, int, int], layers: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.network = freeze(network)
        known = [name for name, _ in network.named_modules() if name]
        if unknown := [name for name in layers if name not in known]:
            raise SettingError(unknown_layer(unknown[0], known))
        with evaluating(self):
            sizes = {
                name: tuple(made.shape[1:])
                for name, made in self._outputs(torch.zeros(2, *shape), layers or known).items()
                if isinstance(made, Tensor) and made.dim() in (2, 4)
            }
        self.layers: Sequence[str] = tuple(layers) or default_layers(sizes, shape)
        for name in self.layers:
            if name not in sizes:
                raise SettingError(f"model.layers: {name} is not a feature map: name another layer")

    def forward(self, x: Tensor) -> list[Tensor]:
        found = self._outputs(x, self.layers)
        return [as_map(found[name]) for name in self.layers]

    def _outputs(self, x: Tensor, names: Sequence[str]) -> dict[str, Any]:
        """What these submodules give. Hooks stand for this pass alone: a copy has none of ours."""
        found: dict[str, Any] = {}
        modules = dict(self.network.named_modules())

        def keep(name: str) -> Any:
            return lambda module, given, made: found.__setitem__(name, made)

        handles = [modules[name].register_forward_hook(keep(name)) for name in names]
        try:
            self.network(x)
        finally:
            for handle in handles:
                handle.remove()
        return {name: found[name] for name in modules if name in found}


def default_layers(
    sizes: Mapping[str, tuple[int, ...]], shape: tuple[int, int, int]
) -> tuple[str, ...]:
    """Which layers to read: the last of each level, as LEVELS says. sizes: of the outputs of all,
    without the batch, in the network's order.

    Maps behind the smallest are of a decoder, and left out. Without maps it is the narrowest layer
    of more than one number, an encoder's code. Raises SettingError if there is none.
    """
    maps = {name: size for name, size in sizes.items() if is_map(size)}
    if not maps:
        vectors = {name: size[0] for name, size in sizes.items() if len(size) == 1 and size[0] > 1}
        if not vectors:
            raise SettingError(
                "the feature network has no layer with a feature map: use another network"
            )
        return (min(vectors, key=lambda name: vectors[name]),)
    smallest = min(size[1] * size[2] for size in maps.values())
    levels: dict[tuple[int, int], str] = {}
    reached = False
    for name, (_, height, width) in maps.items():
        reached = reached or height * width == smallest
        if reached and height * width > smallest:
            break
        levels[height, width] = name
    fine = [
        name
        for (height, width), name in levels.items()
        if min(height, width) >= LEAST and shape[1] / height <= COARSEST
    ]
    return tuple((fine or list(levels.values()))[-LEVELS:])


def is_map(size: tuple[int, ...]) -> bool:
    """Whether an output of this size, without the batch, is a map of features."""
    return len(size) == 3 and size[0] >= FEWEST and min(size[1:]) > 1


def unknown_layer(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 3) or [*known[:8], "..."]
    return f"model.layers: the feature network has no layer {name}: choose from {', '.join(near)}"


def as_map(features: Tensor) -> Tensor:
    """Features (B, D) of whole images as maps of one cell; maps as they are."""
    return features[:, :, None, None] if features.dim() == 2 else features


def freeze(network: nn.Module) -> nn.Module:
    """The network with buffers, kept in no checkpoint, for its parameters and buffers: nothing in
    it is trained, and no statistics in it are measured."""
    for module in network.modules():
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, value in tensors:
            module._parameters.pop(name, None)
            module._buffers.pop(name, None)
            module.register_buffer(name, value.detach(), persistent=False)
        if isinstance(module, Calibrated):
            module.at_rest = True
    return network.eval()
