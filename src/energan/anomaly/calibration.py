"""A threshold on the energy, from the energies of normal events; kept in the run's folder.

Split-conformal: of n normal energies the ⌈(n + 1)(1 − fpr)⌉-th smallest is the threshold, so that
a new normal event that is exchangeable with them exceeds it with a probability of at most fpr.
Of events of K groups those of a group share a weight of 1, and the promise is for an event of a new
group (hierarchical conformal prediction, Lee, Barber and Willett 2023).
"""

import json
import math
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, FiniteFloat, model_validator
from torch import Tensor

from energan.core import DataError, SettingError
from energan.io.documents import Document, read_document
from energan.io.files import write_atomically
from energan.io.run_documents import Step
from energan.io.text import agree, plural
from energan.metrics.detection import calibrated_threshold, group_weights, percentile_of
from energan.version import __version__

NAME, FORMAT = "calibration.json", 1
MOST_KEPT = 20_000
"""Energies that are kept; of more, that many order statistics stand for all."""
FPR = 0.05

Part = Literal["held-out", "given"]


@dataclass(frozen=True)
class Network:
    """Which energy was calibrated: a checkpoint's step, the sha256 of its weights, raw or ema."""

    step: int
    sha256: str
    weights: str

    def __str__(self) -> str:
        return f"step {self.step} ({self.weights} weights)"


@dataclass(frozen=True)
class Scores:
    """What a calibrated run says of B events.

    energy: float (B,). percentile: float (B,), the share of normal events, 0 to 100, whose energy
    is no higher. anomalous: bool (B,), energy above the threshold, or not a number.
    """

    energy: Tensor
    percentile: Tensor
    anomalous: Tensor


@dataclass(frozen=True, eq=False)
class Calibration:
    """A threshold, and all that it depends on.

    threshold: energies above it are anomalous. fpr: the share of new normal events that exceeds it,
    at most. count: how many normal events; energies: theirs in ascending order, float32, thinned
    out to MOST_KEPT. part: "held-out" for the run's own held-out part, "given" for what the user
    named. source, fingerprint: the events' name, and the sha256 of what they hold. weights: of the
    energies, float64, of events of groups: those of a group have 1 together; None where each event
    is for itself.
    """

    threshold: float
    fpr: float
    count: int
    network: Network
    part: Part
    source: str
    fingerprint: str
    energies: Tensor = field(repr=False)
    energan: str = __version__
    weights: Tensor | None = field(default=None, repr=False)

    def __str__(self) -> str:
        whose = "the run's held-out part of " if self.part == "held-out" else ""
        of = "" if self.groups is None else f" of {plural(self.groups, 'group')}"
        return f"{self.count:,} normal events{of}: {whose}{self.source}"

    @property
    def groups(self) -> int | None:
        """How many the events are of; None where each is for itself."""
        return None if self.weights is None else round(float(self.weights.sum()))

    @property
    def promise(self) -> str:
        """What holds of the threshold."""
        share = f"at most {100 * self.fpr:.3g} %"
        if self.groups is None:
            return f"{share} of new normal images exceed"
        return f"{share} of the normal images of new groups exceed, each group counted alike"

    def at(self, fpr: float) -> "Calibration":
        """The same energies at another rate."""
        return replace(self, fpr=fpr, threshold=threshold_of(self.energies, fpr, self.weights))

    def scores(self, energy: Tensor) -> Scores:
        """Verdicts on events with these energies (B,)."""
        if not len(energy):
            return Scores(energy, energy.double(), energy.bool())
        shares = percentile_of(make_finite(energy), self.energies, weights=self.weights)
        percentile = torch.as_tensor(shares)
        # an energy that is not a number is no evidence of a normal event
        return Scores(energy, percentile, ~(energy <= self.threshold))

    def save(self, run: Path) -> Path:
        """Write it into the run's folder."""
        # nine digits give a float32 back exactly
        energies = [float(f"{value:.9g}") for value in self.energies.tolist()]
        record = {"format": FORMAT, **vars(self), "network": asdict(self.network)}
        weights = record.pop("weights")
        record |= {"energies": energies} | (
            {} if weights is None else {"weights": weights.tolist()}
        )
        text = json.dumps(record, ensure_ascii=False)
        write_atomically(run / NAME, text + "\n")
        return run / NAME


def calibrate(
    energies: Tensor,
    fpr: float,
    network: Network,
    part: Part,
    source: str,
    fingerprint: str,
    groups: Tensor | None = None,
) -> Calibration:
    """From the energies (n,) of normal events, in any order. groups (n,): which belong together.

    Raises SettingError for an fpr outside (0, 1), or one that n events, or their groups, are too
    few for, and DataError for an energy that is not finite.
    """
    if not bool(energies.isfinite().all()):
        strange = int((~energies.isfinite()).sum())
        raise DataError(
            f"{source}: {strange} of {plural(len(energies), 'energy')} {agree(strange, 'are')} not "
            "finite: the run is no judge of these events; calibrate on others, or train anew"
        )
    ascending, order = energies.float().sort()
    kept, weights = thin(ascending), None
    if groups is not None:
        weights = thin_weights(torch.from_numpy(group_weights(groups))[order.cpu()])
    threshold = threshold_of(kept, fpr, weights)
    return Calibration(
        threshold, fpr, len(energies), network, part, source, fingerprint, kept, weights=weights
    )


def make_finite(energy: Tensor) -> Tensor:
    """float64; an energy that is not a number counts as the highest: it is no sign of normality."""
    most = torch.finfo(torch.float64).max
    return energy.double().nan_to_num(nan=most, posinf=most, neginf=-most)


def thin(ascending: Tensor, most: int = MOST_KEPT) -> Tensor:
    """All, or the ⌈j n / most⌉-th smallest of n, j = 1 … most.

    Rounding the ranks up keeps the promise: the conformal rank among the kept ones is at least the
    conformal rank among all.
    """
    return ascending if len(ascending) <= most else ascending[_ranks(len(ascending), most) - 1]


def thin_weights(weights: Tensor, most: int = MOST_KEPT) -> Tensor:
    """Those of the energies that `thin` keeps, each with those of the lower ones that it stands
    for, which keeps the promise likewise."""
    if len(weights) <= most:
        return weights
    sums = weights.cumsum(0)[_ranks(len(weights), most) - 1]
    return sums.diff(prepend=sums.new_zeros(1))


def _ranks(n: int, most: int) -> Tensor:
    return -(-torch.arange(1, most + 1) * n // most)


def threshold_of(energies: Tensor, fpr: float, weights: Tensor | None = None) -> float:
    """The conformal threshold; SettingError where there can be none."""
    if not 0 < fpr < 1:
        raise SettingError(f"fpr {fpr:g}: the false positive rate lies between 0 and 1, as 0.05")
    try:
        return float(calibrated_threshold(energies, fpr, weights=weights))
    except ValueError:
        needed = math.ceil(round((1 - fpr) / fpr, 9))
        count = len(energies) if weights is None else round(float(weights.sum()))
        what = "normal events" if weights is None else "groups of normal events"
        raise SettingError(
            f"a false positive rate of {fpr:g} needs at least {needed:,} {what}, and there "
            f"{agree(count, 'are')} {count:,}: give more, or allow a rate of at least "
            f"{_ceil(1 / (count + 1)):g}"
        ) from None


def _ceil(rate: float) -> float:
    """Rounded up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return round(math.ceil(round(rate / unit, 6)) * unit, 12)


class _Network(Document):
    step: Step
    sha256: str
    weights: Literal["ema", "raw"]


class _Stored(Document):
    """calibration.json."""

    format: Literal[1]
    threshold: FiniteFloat
    fpr: Annotated[FiniteFloat, Field(gt=0, lt=1)]
    count: Annotated[int, Field(ge=1, le=2**53)]
    network: _Network
    part: Part
    source: str
    fingerprint: str
    energies: Annotated[list[FiniteFloat], Field(min_length=1, max_length=MOST_KEPT)]
    energan: str
    weights: Annotated[list[FiniteFloat], Field(max_length=MOST_KEPT)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(a > b for a, b in pairwise(self.energies)):
            raise ValueError("energies are not in ascending order")
        if self.weights is None:
            return self
        if len(self.weights) != len(self.energies) or min(self.weights) <= 0:
            raise ValueError("weights are not one for each energy, above 0")
        return self


def read(run: Path) -> Calibration | None:
    """The calibration that is kept in a run; None if there is none. RunError if it is damaged."""
    path = run / NAME
    if not path.exists():
        return None
    found = read_document(path, _Stored, remedy="remove it, and calibrate anew")
    named = {name: getattr(found, name) for name in _Stored.model_fields}
    del named["format"]
    named["network"] = Network(**found.network.model_dump())
    named["energies"] = torch.tensor(found.energies, dtype=torch.float32)
    if found.weights is not None:
        named["weights"] = torch.tensor(found.weights, dtype=torch.float64)
    return Calibration(**named)


def read_for(run: Path, network: Network) -> Calibration:
    """The calibration that is kept in a run. Raises SettingError if none is of this network."""
    found = read(run)
    if found is None:
        raise SettingError(f"{run} is not calibrated: run.calibrate() does that")
    if found.network != network:
        raise SettingError(
            f"{run} was calibrated at {found.network}, and this is {network}: run.calibrate() "
            "calibrates it anew"
        )
    return found
