"""Inception-v3 (Szegedy et al. 2015), the network that inception scores and FID are taken with.

Modules and parameters bear the names of the usual ports' state dicts. There are two sets of
weights:

- "fid": those of the TensorFlow graph of 2015-12-05 (Salimans et al. 2016; Heusel et al. 2017),
  with 1,008 outputs. That graph's average pools leave the padding out of the mean, and its last
  block pools by the maximum.
- "torchvision": the ImageNet weights with 1,000 outputs and ordinary average pools.

Both want images in [-1, 1]. (Torchvision's own preset divides by ImageNet's mean and deviation, and
its `transform_input`, set for these weights, undoes that and gives 2x − 1.)
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from energan.core import DataError
from energan.nets.inception_blocks import BlockA, BlockB, BlockC, BlockD, BlockE, Unit, Variant

SIDE = 299
CLASSES: dict[Variant, int] = {"fid": 1008, "torchvision": 1000}
UNUSED = ("AuxLogits.", "num_batches_tracked")


class Inception(nn.Module):
    """Inception-v3 without its auxiliary head: images in [-1, 1] -> pool features and logits."""

    def __init__(self, classes: int = 1008, variant: Variant = "fid") -> None:
        super().__init__()
        self.variant: Variant = variant
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, valid=True)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, valid=True)
        self.Mixed_5b = BlockA(192, 32, variant)
        self.Mixed_5c = BlockA(256, 64, variant)
        self.Mixed_5d = BlockA(288, 64, variant)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(128, variant)
        self.Mixed_6c = BlockC(160, variant)
        self.Mixed_6d = BlockC(160, variant)
        self.Mixed_6e = BlockC(192, variant)
        self.Mixed_7a = BlockD()
        self.Mixed_7b = BlockE(1280, variant, last=False)
        self.Mixed_7c = BlockE(2048, variant, last=True)
        self.fc = nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, 3, 299, 299) in [-1, 1] -> features (N, 2048) and logits (N, classes)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # (N, 64, 147, 147)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))  # (N, 192, 71, 71)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))  # (N, 288, 35, 35)
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))  # (N, 768, 17, 17)
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        features = x.mean((2, 3))
        return features, self.fc(features)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) in [0, 1] -> pool features (N, 2048) and logits (N, classes).

        Resized to 299×299, bilinear with half-pixel centres, not antialiased; scaled to [-1, 1].
        With the "fid" weights the logits go without `fc.bias`, as in the code of Salimans et al.
        2016 that published inception scores come from; `forward` gives them with it.

        Raises DataError for images of another form.
        """
        if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise DataError(
                f"Inception needs float images (N, 3, H, W) in [0, 1]: given {images.dtype}, "
                f"{tuple(images.shape)}"
            )
        if tuple(images.shape[2:]) != (SIDE, SIDE):
            size = (SIDE, SIDE)
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        features, logits = self(images * 2 - 1)
        return features, logits - self.fc.bias if self.variant == "fid" else logits


# --- weights from a file --------------------------------------------------------------------------


def load_inception(path: str | Path) -> tuple[Inception, dict[str, Any]]:
    """The network with the weights of a .safetensors file, at rest, and what they are.

    Which of the two sets they are is told by the rows of `fc.weight`. The second value has the
    file's name and sha256, the variant, and how images and logits are treated.
    Raises DataError if the file is absent, of another form, or holds another network's weights.
    """
    path = Path(path).expanduser()
    stored = {name: value for name, value in _read(path).items() if not _unused(name)}
    rows = stored["fc.weight"].shape[0] if "fc.weight" in stored else None
    variant = next((name for name, classes in CLASSES.items() if classes == rows), None)
    if variant is None:
        why = "no fc.weight" if rows is None else f"fc.weight with {rows} rows"
        raise DataError(
            f"{path} has {why}, and the weights of Inception-v3 have 1008 (the 2015-12-05 graph) "
            "or 1000 (torchvision): use one of these"
        )
    with torch.device("meta"):  # nothing is drawn: every number comes from the file
        network = Inception(CLASSES[variant], variant)
    own = network.state_dict()
    _compare(path, {n: v for n, v in own.items() if not _unused(n)}, stored)
    counters = {name: torch.zeros((), dtype=torch.long) for name in own if _unused(name)}
    values = {name: value.float() for name, value in stored.items()}
    network.load_state_dict(values | counters, assign=True)
    about = {
        "file": path.name,
        "sha256": _sha256(path),
        "variant": variant,
        "resize": f"bilinear to {SIDE}x{SIDE}, half-pixel centres, not antialiased",
        "logits": "without bias" if variant == "fid" else "with bias",
    }
    return network.requires_grad_(False).eval(), about


def _unused(name: str) -> bool:
    return name.startswith(UNUSED[0]) or name.endswith(UNUSED[1])


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        raise DataError(
            f"{path} is not a .safetensors file, and pickled weights are never read here; "
            'convert them: python -c "import torch, safetensors.torch as s; '
            f"s.save_file(torch.load('{path.name}', weights_only=True), "
            f"'{path.stem}.safetensors')\""
        )
    if not path.is_file():
        raise DataError(f"{path} does not exist: name a .safetensors file of Inception-v3 weights")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}): download or convert it again") from None


def _compare(path: Path, own: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    """Raise DataError, naming the first of them, if names or shapes are not the network's."""
    missing, unknown = sorted(own.keys() - stored.keys()), sorted(stored.keys() - own.keys())
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{path} does not hold Inception-v3: it lacks {missing[0]}{others}")
    if unknown:
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise DataError(f"{path} does not hold Inception-v3: it also has {unknown[0]}{others}")
    for name, value in own.items():
        if stored[name].shape != value.shape:
            raise DataError(
                f"{path} does not hold Inception-v3: {name} is {tuple(stored[name].shape)} there "
                f"and {tuple(value.shape)} in the network"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
