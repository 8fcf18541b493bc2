"""What is passed between an energy, a sampler and an objective."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from energan.core.randomness import Randomness

State = dict[str, Tensor]
"""What a sampler carries from step to step."""


@dataclass(frozen=True)
class LabelMap:
    """What an image of labels means: where its value is values[k] there is class k, which pictures
    show in colours[k], red, green and blue from 0 to 255.

    one_hot: whether networks are given a plane for each class, or the picture in these colours.
    """

    values: tuple[int, ...]
    colours: tuple[tuple[int, int, int], ...]
    one_hot: bool = True


@dataclass(frozen=True)
class Domain:
    """What a data set holds.

    shape: of one example, `*event` where shapes are written: (C, H, W) for images, (D,) for points.
    low, high: the value range networks work in, or None where it is unbounded.
    classes: number of labels, None where there are none.
    mean: the mean training example, (*shape), for initialisations that use it.
    condition_shape: of one condition where each example comes with its own: (C, H, W) of an image,
        (F,) of a vector; else None.
    depth: bits of each value of an image's files, 8 or 16: pictures of events are written with
        as many.
    shown: of images with more bands than a picture has, those drawn as red, green and blue, or one
        as grey, counted from 0; () for the first three.
    label_map: what conditions mean that are made of images of labels; None of pictures.
    image_shape: of the images that examples are windows of, (C, H, W); None of whole ones.
    """

    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    classes: int | None = None
    mean: Tensor | None = field(default=None, compare=False, repr=False)
    condition_shape: tuple[int, ...] | None = None
    depth: int = field(default=8, compare=False)
    shown: tuple[int, ...] = field(default=(), compare=False)
    label_map: LabelMap | None = None
    image_shape: tuple[int, ...] | None = field(default=None, repr=False)

    @property
    def whole(self) -> "Domain":
        """That of the whole images, which a run judges; itself unless examples are windows."""
        if self.image_shape is None:
            return self
        return replace(self, shape=self.image_shape, image_shape=None, mean=None)

    @property
    def paired(self) -> bool:
        """Whether each example comes with an image that it is to be made of."""
        return self.condition_shape is not None and len(self.condition_shape) == 3

    @property
    def noun(self) -> str:
        """What messages call one example: "image", "point" (of up to 3 numbers) or "row"."""
        if len(self.shape) == 3:
            return "image"
        return "point" if self.size <= 3 else "row"

    @property
    def size(self) -> int:
        """Numbers in one example."""
        return torch.Size(self.shape).numel()


@dataclass(frozen=True)
class Batch:
    """Real data: x (B, *event), its condition, and a labelled part where the system has one."""

    x: Tensor
    condition: Tensor | None = None
    labelled: "Batch | None" = None


@dataclass(frozen=True)
class Draw:
    """What the sampler made: x (B, *event), the condition it was made for.

    info: figures (M,) for the log, such as how chains went.
    mask: (B, H, W) in [0, 1], where images of x differ from data: 1 within a synthetic defect. None
        where x differs as a whole.
    extra: whatever else the objective needs to know of x, such as the codes it was made of.
    """

    x: Tensor
    condition: Tensor | None = None
    info: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def detach(self) -> "Draw":
        """The same draw, cut from the sampler's graph."""
        condition, mask = self.condition, self.mask
        return Draw(
            self.x.detach(),
            condition if condition is None else condition.detach(),
            {name: value.detach() for name, value in self.info.items()},
            mask if mask is None else mask.detach(),
            {name: value.detach() for name, value in self.extra.items()},
        )


@dataclass(frozen=True)
class Scored:
    """What an energy says of x.

    energy: (B,), or (B, *cells) for an energy with one value a patch.
    code: (B, S), the encoder's output with feature maps flattened, where there is an encoder.
    reconstruction: (B, *event), where the energy reconstructs.
    logits: (B, K), where the energy also classifies.
    map: (B, h, w), the value of each cell where the energy of an image is pooled from a map of
        cells, in the energy's units: a cell above a threshold on the energy is a reason for it.
    """

    energy: Tensor
    code: Tensor | None = None
    reconstruction: Tensor | None = None
    logits: Tensor | None = None
    map: Tensor | None = None


@dataclass(frozen=True)
class Loss:
    """total: (M,), one for each member, with gradient; parts: named (M,) values for the log."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """Where training stands: the step, the scheduled values, the random draws.

    hyper: {name: (M, 1)} on the device: margin, weights, as the schedules give them at this step.
    gather: vectors (M, B, S) of this process -> those of all processes that train together, for
        terms that compare the samples of a batch; its gradient reaches this process's own.
    """

    step: int
    hyper: Mapping[str, Tensor]
    generator: Randomness
    gather: Callable[[Tensor], Tensor] = lambda vectors: vectors

    @property
    def members(self) -> int:
        return self.generator.members

    def rows(self, values: Tensor) -> Tensor:
        """Per-sample (or per-cell) values as (M, N) rows, in full precision."""
        return exact(values).reshape(self.members, -1)

    def vectors(self, values: Tensor) -> Tensor:
        """Per-sample vectors (..., B, S) as (M, B, S), in full precision."""
        return exact(values).reshape(self.members, -1, values.shape[-1])

    def events(self, values: Tensor) -> Tensor:
        """Events, or gradients in them, (B, *event) or (M, B, *event), as (M, B, D) in full
        precision, D numbers each."""
        lead = 1 if self.members == 1 else 2
        return exact(values).reshape(self.members, values.shape[lead - 1], -1)


def exact(values: Tensor) -> Tensor:
    """float32 at least: energies, norms, cosines and losses are never in half precision."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Within it autocast leaves operations on the device of x alone."""
    kind = x.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):  # no numbers: nothing to keep exact
        return nullcontext()
    return torch.autocast(kind, enabled=False)
