"""Networks that take labels: x (B, *event) or (M, B, *event), labels (B,) or (M, B), a stream."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Domain, SettingError, Stream
from energan.nets.autoencoder import AutoEncoder
from energan.nets.dense import Dense, Dropout, Flatten, Maxout, Sequential, Unflatten
from energan.nets.mlp import OUTPUTS, Output
from energan.nets.switches import SwitchedAutoEncoder


def classes_of(domain: Domain, model: str) -> int:
    """How many labels there are. Raises SettingError if the data has none."""
    if domain.classes is None:
        raise SettingError(
            f"{model} is conditional on labels and the data has none: use a source with classes, "
            "such as mnist or a folder of class folders"
        )
    return domain.classes


def one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Labels (..., B) -> (..., B, classes), of the type of `like`."""
    return F.one_hot(labels, classes).to(like.dtype)


def planes(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Maps (B, C, H, W) -> (B, C + classes, H, W): the label's map is full of ones, others of 0."""
    of_label = one_hot(labels, classes, x)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, of_label], 1)


class Joined(nn.Module):
    """Two branches, of x and of the condition, into one: joint([first(x), second(y)]).

    classes: of labels, which the second branch takes one-hot; None for conditions that are vectors
        (..., B, F), which it takes as they are.
    """

    takes_condition = True

    def __init__(
        self, first: Sequential, second: Sequential, joint: Sequential, classes: int | None
    ) -> None:
        super().__init__()
        self.first, self.second, self.joint, self.classes = first, second, joint, classes

    def forward(self, x: Tensor, condition: Tensor, stream: Stream) -> Tensor:
        known = self.classes
        y = condition.to(x.dtype) if known is None else one_hot(condition, known, x)
        both = torch.cat([self.first(x, stream), self.second(y, stream)], -1)
        joined: Tensor = self.joint(both, stream)
        return joined


class WithLabels(nn.Module):
    """A network of vectors that finds the label, one-hot, beside its input: net([x, y])."""

    takes_condition = True

    def __init__(self, network: Sequential, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, x: Tensor, labels: Tensor, stream: Stream) -> Tensor:
        made: Tensor = self.network(torch.cat([x, one_hot(labels, self.classes, x)], -1), stream)
        return made


class WithPlanes(nn.Module):
    """A network of images (B, C, H, W) that finds the label as further maps, one full of ones."""

    takes_condition = True

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, x: Tensor, labels: Tensor, stream: Stream) -> Tensor:
        return self.network(planes(x, labels, self.classes), stream)  # type: ignore[no-any-return]


class ConditionalAutoEncoder(nn.Module):
    """An auto-encoder of vectors that finds the label beside x and beside the code."""

    takes_condition = True

    def __init__(self, network: AutoEncoder, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes
        self.flatten = Flatten(shape)

    def forward(self, x: Tensor, labels: Tensor, stream: Stream) -> tuple[Tensor, Tensor, Tensor]:
        """(reconstruction (B, *event), raw code, code after the bridge)."""
        y = one_hot(labels, self.classes, x)
        beside: tuple[Tensor, Tensor, Tensor] = self.network(
            self.flatten(x), stream, lambda vectors: torch.cat([vectors, y], -1)
        )
        return beside


class ConditionalMaps(nn.Module):
    """An auto-encoder of images that finds the label as maps beside x and beside the code's."""

    takes_condition = True

    def __init__(self, network: AutoEncoder | SwitchedAutoEncoder, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, x: Tensor, labels: Tensor, stream: Stream) -> tuple[Tensor, Tensor, Tensor]:
        """(reconstruction (B, C, H, W), raw code, code after the bridge)."""
        beside: tuple[Tensor, Tensor, Tensor] = self.network(
            x, stream, lambda maps: planes(maps, labels, self.classes)
        )
        return beside


def joint_generator(
    latent: int,
    classes: int,
    widths: tuple[int, int, int],
    shape: tuple[int, ...],
    output: Output,
    dropout: float,
) -> Joined:
    """(z, y) -> x: z and y each through a ReLU layer, then a joint one (Mirza & Osindero 2014)."""
    of_z, of_y, joint = widths
    size = torch.Size(shape).numel()

    def relu(inputs: int, outputs: int) -> list[nn.Module]:
        return [Dense(inputs, outputs), nn.ReLU(), *_dropout(dropout)]

    return Joined(
        Sequential(*relu(latent, of_z)),
        Sequential(*relu(classes, of_y)),
        Sequential(
            *relu(of_z + of_y, joint), Dense(joint, size), OUTPUTS[output](), Unflatten(shape)
        ),
        classes,
    )


def joint_maxout(
    shape: tuple[int, ...],
    classes: int,
    units: tuple[int, int, int],
    pieces: tuple[int, int, int],
    dropout: float,
) -> Joined:
    """(x, y) -> logit: x and y each through a maxout layer, then a joint one (the same paper)."""
    (of_x, of_y, joint), (for_x, for_y, for_joint) = units, pieces
    size = torch.Size(shape).numel()
    return Joined(
        Sequential(Flatten(shape), Maxout(size, of_x, for_x), *_dropout(dropout)),
        Sequential(Maxout(classes, of_y, for_y), *_dropout(dropout)),
        Sequential(Maxout(of_x + of_y, joint, for_joint), *_dropout(dropout), Dense(joint, 1)),
        classes,
    )


def _dropout(rate: float) -> Sequence[nn.Module]:
    return [Dropout(rate)] if rate else []
