"""Real data that runs are compared with: images in [0, 1] without padding, points as they are.

Runs of one data set may train on it padded or in [-1, 1]; their samples are brought back before
they are judged, so that one classifier and one reference judge all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from energan.core import DataError, Domain
from energan.data import DataSet, DataSettings, open_data, open_test_part
from energan.data.inference import channels_of
from energan.io.memory import check_memory

Split = Literal["test", "held-out", "training"]
AT_ONCE = 1000


@dataclass(frozen=True)
class View:
    """How samples of `domain` are brought to events of `shape`."""

    domain: Domain
    shape: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Samples (N, *domain.shape) in the domain's range -> (N, *shape), images in [0, 1]."""
        if len(self.shape) != 3:
            return x
        low, high = self.domain.low, self.domain.high
        assert low is not None
        assert high is not None
        height, width = self.shape[1:]
        top, left = ((a - b) // 2 for a, b in zip(x.shape[2:], (height, width), strict=True))
        x = x[:, :, top : top + height, left : left + width]
        return ((x - low) / (high - low)).clamp(0, 1)

    @property
    def description(self) -> str:
        """What is done, for the record."""
        if len(self.shape) != 3:
            return "points as they are"
        said = []
        if self.domain.shape[1:] != self.shape[1:]:
            said.append(f"padding cut off to {self.shape[1]}x{self.shape[2]}")
        if (self.domain.low, self.domain.high) != (0, 1):
            said.append(f"[{self.domain.low:g}, {self.domain.high:g}] scaled to [0, 1]")
        return "; ".join(said) or "as they are"


@dataclass(frozen=True)
class Reference:
    """Real events to judge by; images in [0, 1] and without padding.

    judged: the part that samples are compared with, and `split` which it is: a test set where there
        is one, else what was held out from training.
    training: what the run learnt from; settings: how both were opened. named: whether the user
        named it, instead of the run's own.
    """

    judged: DataSet
    split: Split
    training: DataSet
    settings: DataSettings
    named: bool = False

    @property
    def count(self) -> int:
        """How many there are to judge by."""
        return len(self.judged)

    def events(self, data: DataSet, count: int) -> Tensor:
        """The first `count` events, float32 (N, *event)."""
        rows = torch.arange(min(count, len(data)))
        needed = 2 * 4 * len(rows) * data.domain.size  # in parts, and joined
        check_memory(needed, f"{len(rows):,} real examples", "ask for fewer --samples")
        return torch.cat([data.gather(part).x for part in rows.split(AT_ONCE)])

    def tell(self, say: Callable[[str], None]) -> None:
        """Say what was understood of a source that the user named, and done to its images."""
        for fact in self.judged.facts if self.named else ():
            say(f"{self.judged.name}: {fact}")

    def record(self) -> dict[str, object]:
        return {
            "source": self.judged.name,
            "split": self.split,
            "events": self.count,
            "sha256": self.judged.fingerprint,
            "training_sha256": self.training.fingerprint,
        }


def reference_for(settings: DataSettings, domain: Domain, source: str | None = None) -> Reference:
    """The reference of a run with these settings of data; `source` names another one.

    Raises DataError if it cannot be opened, or does not have the shape of the samples.
    """
    changes: dict[str, object] = {"pad": None, "range": "unit", "mirror": False}
    if settings.storage == "stream":
        changes["storage"] = "auto"
    if source is not None:
        settings = settings.for_source(source)
        if len(domain.shape) == 3 and settings.size is None and settings.pad is None:
            height, width = domain.whole.shape[1:]
            changes["size"] = width if width == height else (width, height)
            changes["channels"] = channels_of(domain.shape)
    chosen = settings.model_copy(update=changes)
    training = open_data(chosen)
    judged, split = open_judged_part(chosen, training)
    found = Reference(judged, split, training, chosen, source is not None)
    _check_shape(judged.domain.shape, domain, judged.name, found.named)
    return found


def open_judged_part(
    settings: DataSettings, training: DataSet | None = None
) -> tuple[DataSet, Split]:
    """What runs on this data are judged by: its test part, else what was held out, else the
    training events themselves.

    training: the training part, where it is open already. Raises DataError if the part cannot be
    opened.
    """
    test = open_test_part(settings)
    if test is not None:
        return test, "test"
    training = open_data(settings) if training is None else training
    if training.held_out is not None:
        return training.held_out, "held-out"
    return training, "training"


def _check_shape(shape: tuple[int, ...], domain: Domain, name: str, named: bool) -> None:
    """Samples must be the reference's events, or those with some padding around."""
    ours = domain.shape
    sides = list(zip(ours, shape, strict=True)) if len(ours) == 3 == len(shape) else []
    most = 1.34 if named else 4.0  # another source's images are not the middle of ours
    if ours != shape and not (sides and all(b <= a <= most * b for a, b in sides)):
        raise DataError(
            f"the reference {name} has examples of shape {shape}, the run's samples {ours}: name "
            "data with the same channels and size"
        )
