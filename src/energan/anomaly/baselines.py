"""What an energy must beat to be worth its training: three simple scores of images, fitted in
seconds to those that the run was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from energan.anomaly.calibration import make_finite
from energan.core import DataError, Domain
from energan.data import DataSet, DataSettings
from energan.data.inference import open_training_images
from energan.metrics.detection import auroc
from energan.metrics.detection_intervals import auroc_difference_interval, fewest_units

SIDE = 64
FITTED, JUDGED = 5_000, 1_000
"""Training images that they are fitted to, and normal and anomalous ones each that they judge, at
most: drawn from all there are."""
COMPONENTS = 100
AT_ONCE = 200


class Baseline(Protocol):
    """Made of training images, it scores others: normalised rows (B, D) -> (B,), high is odd."""

    name: str

    def __call__(self, x: Tensor) -> Tensor: ...


class MeanImage:
    """The distance to the mean image."""

    name = "mean image"

    def __init__(self, x: Tensor) -> None:
        self.mean = x.mean(0)

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.mean).square().sum(1).sqrt()


class PrincipalComponents:
    """The error of the reconstruction from 100 components, or half of what the images span."""

    name = "PCA"

    def __init__(self, x: Tensor) -> None:
        from sklearn.decomposition import PCA

        count = min(COMPONENTS, min(x.shape) // 2)
        with np.errstate(invalid="ignore"):  # shares of the variance, of images that are all equal
            self.fitted = PCA(count, random_state=0).fit(x.numpy())

    def __call__(self, x: Tensor) -> Tensor:
        made = self.fitted.inverse_transform(self.fitted.transform(x.numpy()))
        return (x - torch.from_numpy(made)).square().sum(1).sqrt()


class NearestNeighbour:
    """The distance to the nearest training image."""

    name = "nearest neighbour"

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cdist(x, self.x).amin(1)


def normalised_rows(x: Tensor) -> Tensor:
    """Images (B, C, H, W) -> (B, D): no more than 64x64, each of mean 0 and standard deviation 1,
    so that brightness and contrast count for nothing."""
    size = [min(side, SIDE) for side in x.shape[2:]]
    if list(x.shape[2:]) != size:
        x = F.interpolate(x, size, mode="bilinear", antialias=True)
    flat = x.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return flat / flat.std(1, keepdim=True, correction=0).clamp_min(1e-6)


@dataclass(frozen=True)
class Baselines:
    """Fitted ones. about: what they were fitted to."""

    scorers: Sequence[Baseline]
    about: str

    def energies(self, x: Tensor) -> dict[str, Tensor]:
        """What each says of images x (B, C, H, W): (B,) by its name."""
        rows = normalised_rows(x)
        return {scorer.name: scorer(rows) for scorer in self.scorers}


def fit_baselines(settings: DataSettings, domain: Domain) -> Baselines | None:
    """Of images that a run with these settings was trained on; None of points.

    Raises DataError if they cannot be opened, or there is but one.
    """
    if len(domain.shape) != 3:
        return None
    data, of = open_training_images(settings, domain, FITTED)
    if len(data) < 2:
        raise DataError(f"{data.name} has only one training image")
    rows = torch.cat([normalised_rows(part) for part in _parts(data)])
    height, width = (min(side, SIDE) for side in domain.shape[1:])
    known = f"{len(data):,} of {of:,}" if len(data) < of else f"{of:,}"
    return Baselines(
        (MeanImage(rows), PrincipalComponents(rows), NearestNeighbour(rows)),
        f"fitted to {known} training images at {width}x{height}, each of mean 0 and variance 1",
    )


def _parts(data: DataSet) -> list[Tensor]:
    return [data.gather(rows).x.float().cpu() for rows in torch.arange(len(data)).split(AT_ONCE)]


@dataclass(frozen=True)
class BaselineComparison:
    """How an energy does beside a baseline on the same events: AUROC of both, that of the energy
    less the baseline's, and the ends of its interval; None with fewer than two groups of normal or
    of anomalous events."""

    name: str
    auroc: float
    energy_auroc: float
    difference: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> str:
        """In brackets, for a line."""
        if self.low is None or self.high is None:
            return "[too few groups for an interval]"
        return f"[{self.low:+.3f}, {self.high:+.3f}]"


def verdict(found: Sequence[BaselineComparison]) -> str | None:
    """A sentence on the best baseline, if the energy does not beat it beyond doubt."""
    best = max(found, key=lambda one: one.auroc)
    low, high = (0.0 if end is None else end for end in (best.low, best.high))
    if low > 0 or best.energy_auroc == 1:  # which nothing can beat
        return None
    said = "is better than" if high < 0 else "is not beaten by"
    return (
        f"{best.name} ({best.auroc:.3f}) {said} this energy ({best.energy_auroc:.3f}; "
        f"difference {best.difference:+.3f} {best.ends})"
    )


def compare(
    energy: Tensor,
    baselines: Mapping[str, Tensor],
    anomalous: Tensor,
    *,
    paired: bool = False,
    groups: Tensor | None = None,
) -> list[BaselineComparison]:
    """Of energies (N,), what each baseline says of the same events, and which are anomalous.

    paired: the i-th anomalous event is made of the i-th normal one. groups (N,): which events
    belong together, so that intervals resample them whole.
    """
    own = make_finite(energy)
    value, found = auroc(own, anomalous), []
    known = fewest_units(anomalous, groups) > 1 or groups is None
    for name, scores in baselines.items():
        other = make_finite(scores)
        theirs = auroc(other, anomalous)
        one = BaselineComparison(name, theirs, value, value - theirs)
        if known:
            ends = auroc_difference_interval(own, other, anomalous, paired=paired, groups=groups)
            one = replace(one, low=ends.low, high=ends.high)
        found.append(one)
    return found
