"""What goes into a model and comes out: examples of its data's shape, with their conditions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from energan.core import Batch, DataError, Domain, Scored, SettingError, describe
from energan.data import DataSet
from energan.io.console import progress
from energan.io.memory import check_memory, return_memory

AT_ONCE = 500
"""Examples computed in one pass."""
NUMBERS_AT_ONCE, EXAMPLE_NUMBERS_AT_ONCE = 2**21, 2**20
"""Of their conditions, where those are tensors, and of their own, at most: the maps that networks
make of 20 images of 224x224 are past what a CPU caches, and of more they only fill memory."""
Score = Callable[[Tensor], Scored]
"""x (B, *event), as a run scores it."""


@dataclass(frozen=True)
class Conditions:
    """What `model` is conditioned on: labels of `classes`, tensors of `shape`, or nothing."""

    model: str
    classes: int | None = None
    shape: tuple[int, ...] | None = None

    def check(
        self, count: int, condition: Tensor | None, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        """The conditions (count, ...) of as many examples; None if the model takes none.

        Labels that are not given are the classes in turn. Raises SettingError for what does not
        fit, and for tensors that are not given.
        """
        if self.shape is not None:
            return self._tensors(count, self.shape, condition).to(device)
        if self.classes is not None:
            return self._labels(count, self.classes, condition).to(device)
        if condition is not None:
            raise SettingError(
                f"the model {self.model} is unconditional (given {describe(condition)}): leave "
                "the condition out"
            )
        return None

    def _tensors(self, count: int, shape: tuple[int, ...], condition: Tensor | None) -> Tensor:
        """Of images the sides may differ from the data's."""
        if condition is None:
            what, by = ("images", "translate") if len(shape) == 3 else ("vectors", "tag")
            raise SettingError(
                f"the model {self.model} makes each sample from an input: give {count} {what} of "
                f"shape {shape} as `condition` (on the command line: energan {by})"
            )
        condition = torch.as_tensor(condition)
        free = 1 if len(shape) == 3 else len(shape)
        fits = condition.dim() == 1 + len(shape) and condition.shape[1 : 1 + free] == shape[:free]
        if not fits or len(condition) != count or not condition.is_floating_point():
            raise SettingError(
                f"conditions must be float {(count, *shape)}: given {condition.dtype} "
                f"{tuple(condition.shape)}"
            )
        return condition.to(torch.float32)

    def _labels(self, count: int, classes: int, condition: Tensor | None) -> Tensor:
        if condition is None:
            return classes_in_turn(count, classes)
        condition = torch.as_tensor(condition)
        if condition.shape != (count,) or condition.is_floating_point():
            raise SettingError(f"labels must be integers ({count},): {describe(condition)}")
        if count and not 0 <= int(condition.min()) <= int(condition.max()) < classes:
            raise SettingError(f"labels must be in [0, {classes}): {describe(condition)}")
        return condition.long()


def classes_in_turn(count: int, classes: int) -> Tensor:
    """The labels (count,) of samples for which none are given."""
    return torch.arange(count) % classes


def check_room(count: int, size: int, what: str) -> None:
    """Raise SettingError if `count` of them, of `size` numbers each, fit in no memory together."""
    needed = 2 * 4 * count * size  # as they are made, and joined
    check_memory(needed, f"{count:,} {what}", "ask for fewer at a time", error=SettingError)


def examples_at_once(conditions: Tensor | None, size: int = 1) -> int:
    """Examples of `size` numbers that are computed together: fewer where they, or their conditions
    (B, ...), are large."""
    most = min(AT_ONCE, max(1, EXAMPLE_NUMBERS_AT_ONCE // size))
    if conditions is None or conditions.dim() < 2:
        return most
    return min(most, max(1, NUMBERS_AT_ONCE // conditions[0].numel()))


def batches(data: DataSet, told: str) -> Iterator[Batch]:
    """A data set in order, some examples at a time; a bar, called `told`, tells how far it is."""
    with progress(told, len(data)) as advance:
        for rows in torch.arange(len(data)).split(examples_at_once(None, data.domain.size)):
            yield data.gather(rows)
            return_memory()
            advance(len(rows))


@torch.no_grad()
def collect(score: Score, x: Tensor, output: Callable[[Scored], Tensor | None]) -> Tensor:
    """One output of x (B, *event), some examples at a time: float (B, ...), on the CPU.

    output: what of `Scored`; the energy must have it.
    """
    at_once = examples_at_once(None, x[:1].numel() or 1)
    parts = []
    for part in x.split(at_once):
        found = output(score(part))
        if found is not None:
            parts.append(found.float().cpu())  # at once: all of them need not fit on the device
    return torch.cat(parts)


def check_examples(x: object, domain: Domain) -> Tensor:
    """x; DataError if it is not of the shape or the type of the data's examples."""
    if not isinstance(x, Tensor):
        raise DataError(f"energy needs a tensor, not {type(x).__name__}: use torch.as_tensor")
    shapes = {torch.Size(domain.shape), torch.Size(domain.whole.shape)}
    if x.shape[1:] not in shapes or not x.is_floating_point():
        whole = "" if domain.image_shape is None else f", or whole images of {domain.image_shape}"
        raise DataError(
            f"energy needs float examples of shape {domain.shape}{whole}, in [{domain.low}, "
            f"{domain.high}]: given {x.dtype}, {tuple(x.shape)}"
        )
    return x
