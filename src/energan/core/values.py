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
    """How to read an image of class labels: a pixel of value values[k] belongs to class k.

    Attributes:
        values: the pixel values of the classes, in order.
        colours: the colour that pictures show each class in, (red, green, blue) from 0 to 255.
        one_hot: whether networks receive one plane per class (True) or the coloured picture.
    """

    values: tuple[int, ...]
    colours: tuple[tuple[int, int, int], ...]
    one_hot: bool = True


@dataclass(frozen=True)
class Domain:
    """The space that the examples of a data set lie in: their shape, range and classes.

    Attributes:
        shape: shape of one example, called `*event` in shapes: (C, H, W) for images, (D,) for
            points and rows.
        low: smallest value that networks see; None if the data is unbounded.
        high: largest value that networks see; None if the data is unbounded.
        classes: number of classes; None without labels.
        mean: mean of the training examples, (*shape), for models that initialise from it.
        condition_shape: shape of the condition that comes with each example, (C, H, W) of an
            image or (F,) of a vector; None if there is none.
        depth: bits per value in the image files, 8 or 16; pictures are written with as many.
        shown: for images with more than three bands: the bands shown as red, green and blue, or
            the one shown as grey, counted from 0; () for the first three.
        label_map: the meaning of conditions that are label images; None if they are pictures.
        image_shape: shape (C, H, W) of the whole images if examples are windows cut from them;
            None otherwise.
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
        """The domain of the whole images; itself unless examples are windows."""
        if self.image_shape is None:
            return self
        return replace(self, shape=self.image_shape, image_shape=None, mean=None)

    @property
    def paired(self) -> bool:
        """Whether each example comes with an image that it is to be made from."""
        return self.condition_shape is not None and len(self.condition_shape) == 3

    @property
    def noun(self) -> str:
        """What messages call one example: "image", "point" (of up to 3 numbers) or "row"."""
        if len(self.shape) == 3:
            return "image"
        return "point" if self.size <= 3 else "row"

    @property
    def size(self) -> int:
        """Number of values in one example."""
        return torch.Size(self.shape).numel()


@dataclass(frozen=True)
class Batch:
    """A batch of real data.

    Attributes:
        x: examples, (B, *event), or (M, B, *event) for M seeds that train together.
        condition: labels, int64 (B,), or conditions, (B, *condition_shape); None if the model
            takes neither.
        labelled: the labelled part of the batch, for models that learn from few labels.
    """

    x: Tensor
    condition: Tensor | None = None
    labelled: "Batch | None" = None


@dataclass(frozen=True)
class Draw:
    """Samples from a sampler.

    Attributes:
        x: samples, (B, *event), or (M, B, *event) for M seeds that train together.
        condition: the labels or conditions they were made for; None if there are none.
        info: named values (M,) for the log, such as the acceptance rate of chains.
        mask: float (B, H, W) in [0, 1], for samples that are altered real images: 1 where a
            synthetic defect was drawn; None for samples that differ everywhere.
        extra: other tensors that the objective needs, such as the latent vectors of the samples.
    """

    x: Tensor
    condition: Tensor | None = None
    info: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def detach(self) -> "Draw":
        """The same samples without a gradient to the sampler."""
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
    """The output of an energy for a batch.

    Attributes:
        energy: U(x), (B,), or (B, *cells) for an energy with one value per patch.
        code: encoder output with feature maps flattened, (B, S); None without an encoder.
        reconstruction: (B, *event); None for an energy that does not reconstruct.
        logits: class logits, (B, K); None for an energy that does not classify.
        map: (B, h, w), if the energy of an image is pooled from a map of cells: the value of
            each cell, in the units of the energy; None otherwise.
    """

    energy: Tensor
    code: Tensor | None = None
    reconstruction: Tensor | None = None
    logits: Tensor | None = None
    map: Tensor | None = None


@dataclass(frozen=True)
class Loss:
    """A loss, one value for each of the M seeds that train together (M = 1 for a single run).

    Attributes:
        total: the loss, (M,), with gradient.
        parts: named values (M,) for the log, without gradient.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What samplers and objectives know of the current training step.

    Attributes:
        step: training step, counted from 0.
        hyper: scheduled values at this step by name, such as the margin, each (M, 1) on the
            device.
        generator: source of random numbers, seeded by the run's seed and the step.
        gather: function from the vectors (M, B, S) of this process to those of all processes
            that train together, for terms that compare the samples of a batch. Gradients reach
            the vectors of this process only.
    """

    step: int
    hyper: Mapping[str, Tensor]
    generator: Randomness
    gather: Callable[[Tensor], Tensor] = lambda vectors: vectors

    @property
    def members(self) -> int:
        """Number of seeds that train together, M; 1 for a single run."""
        return self.generator.members

    def rows(self, values: Tensor) -> Tensor:
        """Reshape one value per sample, or per cell, to (M, N), in float32 at least."""
        return exact(values).reshape(self.members, -1)

    def vectors(self, values: Tensor) -> Tensor:
        """Reshape one vector per sample, (..., B, S), to (M, B, S), in float32 at least."""
        return exact(values).reshape(self.members, -1, values.shape[-1])

    def events(self, values: Tensor) -> Tensor:
        """Reshape examples, or gradients with respect to them, (B, *event) or (M, B, *event), to
        (M, B, D) with D values each, in float32 at least.
        """
        lead = 1 if self.members == 1 else 2
        return exact(values).reshape(self.members, values.shape[lead - 1], -1)


def exact(values: Tensor) -> Tensor:
    """Convert half precision to float32; leave other types as they are.

    Energies, norms, cosines and losses are computed from the result.
    """
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Context manager that turns autocast off on the device of `x`."""
    kind = x.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):  # no numbers: nothing to keep exact
        return nullcontext()
    return torch.autocast(kind, enabled=False)
