"""A threshold on the energy, from the energies of normal events; kept in the run's folder.

Split-conformal: of n normal energies the ⌈(n + 1)(1 − fpr)⌉-th smallest is the threshold, so that
a new normal event that is exchangeable with them exceeds it with a probability of at most fpr.
Of events of K groups those of a group share a weight of 1, and the promise is for an event of a new
group (hierarchical conformal prediction, Lee, Barber and Willett 2023).
"""

import json
import math
from collections.abc import Sequence
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
    """Which energy was calibrated: the step of a checkpoint, sha256 of its weights, raw or ema."""

    step: int
    sha256: str
    weights: str

    def __str__(self) -> str:
        return f"step {self.step} ({self.weights} weights)"


@dataclass(frozen=True)
class Scores:
    """Anomaly scores of B examples, from a calibrated run.

    Attributes:
        energy: float (B,), high for anomalies.
        percentile: percentage of normal examples whose energy is as low or lower, float (B,), 0
            to 100.
        anomalous: whether the energy is above the threshold, or NaN, bool (B,).
    """

    energy: Tensor
    percentile: Tensor
    anomalous: Tensor


@dataclass(frozen=True, eq=False)
class Calibration:
    """A threshold on the energy, and everything that it depends on.

    Attributes:
        threshold: energies above it count as anomalous.
        fpr: largest fraction of new normal examples above it.
        count: number of normal examples it was set from.
        network: the energy that was calibrated.
        part: "held-out" for the run's own held-out part, "given" for examples named by the user.
        source: name of the normal examples.
        fingerprint: sha256 of their contents.
        energies: their energies in ascending order, float32, thinned out if there are very many.
        energan: version of energan.
        weights: for examples in groups: their weights, float64, 1 in total per group; None
            otherwise.
        map_threshold: value that the heat maps of at most a fraction `fpr` of new normal images
            reach anywhere; None for points, and if there are too few images.
        map_maxima: maxima of the heat maps of normal images, in ascending order, from which it
            was set.
        map_weights: weights of `map_maxima`, as `weights`.
        map_smoothing: standard deviation, in pixels, of the Gaussian that smoothed the maps.
        digests: a checksum of each normal example, of some if there are very many; () in
            calibrations by earlier versions.
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
    map_threshold: float | None = None
    map_maxima: Tensor | None = field(default=None, repr=False)
    map_weights: Tensor | None = field(default=None, repr=False)
    map_smoothing: float = 0.0
    digests: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        whose = "the run's held-out part of " if self.part == "held-out" else ""
        of = "" if self.groups is None else f" of {plural(self.groups, 'group')}"
        return f"{self.count:,} normal examples{of}: {whose}{self.source}"

    @property
    def groups(self) -> int | None:
        """Number of groups of the normal examples; None without groups."""
        return None if self.weights is None else round(float(self.weights.sum()))

    @property
    def lowest_fpr(self) -> float:
        """The lowest rate that a threshold can have with these examples."""
        return lowest_rate(self.count if self.groups is None else self.groups)

    @property
    def promise(self) -> str:
        """A sentence on what the threshold guarantees."""
        share = f"at most {100 * self.fpr:.3g} %"
        if self.groups is None:
            return f"{share} of new normal images exceed"
        return f"{share} of the normal images of new groups exceed, each group counted equally"

    def at(self, fpr: float) -> "Calibration":
        """The same calibration at another false positive rate.

        Raises:
            SettingError: if there are too few normal examples for it.
        """
        threshold = threshold_of(self.energies, fpr, self.weights)
        return replace(self, fpr=fpr, threshold=threshold)._with_map_threshold()

    def with_maps(
        self, maxima: Tensor, smoothing: float, groups: Tensor | None = None
    ) -> "Calibration":
        """The same calibration with a threshold for heat maps.

        Args:
            maxima: maximum of the map of each normal image, (m,). If one is not finite, there is
                no threshold.
            smoothing: standard deviation, in pixels, of the Gaussian that smoothed the maps.
            groups: group of each image, (m,).
        """
        if not bool(maxima.isfinite().all()):
            return self
        ascending, order = maxima.float().sort()
        weights = None if groups is None else torch.from_numpy(group_weights(groups))[order.cpu()]
        made = replace(self, map_maxima=ascending, map_weights=weights, map_smoothing=smoothing)
        return made._with_map_threshold()

    def _with_map_threshold(self) -> "Calibration":
        """With that of its rate."""
        if self.map_maxima is None:
            return self
        try:
            found = calibrated_threshold(self.map_maxima, self.fpr, weights=self.map_weights)
        except ValueError:  # they are too few
            return replace(self, map_threshold=None)
        return replace(self, map_threshold=float(found))

    def judges_maps(self, smoothing: float) -> bool:
        """Whether it has a threshold for maps with this smoothing."""
        return self.map_threshold is not None and self.map_smoothing == smoothing

    def scores(self, energy: Tensor) -> Scores:
        """Scores of examples with these energies, (B,)."""
        if not len(energy):
            return Scores(energy, energy.double(), energy.bool())
        shares = percentile_of(make_finite(energy), self.energies, weights=self.weights)
        percentile = torch.as_tensor(shares)
        # an energy that is not a number is no evidence of a normal event
        return Scores(energy, percentile, ~(energy <= self.threshold))

    def save(self, run: Path) -> Path:
        """Write the calibration to a run's folder."""
        record = {"format": FORMAT, **vars(self), "network": asdict(self.network)}
        record |= {
            name: _numbers(values) if values.dtype == torch.float32 else values.tolist()
            for name, values in vars(self).items()
            if isinstance(values, Tensor)
        }
        if self.map_maxima is None:
            del record["map_smoothing"]
        if not self.digests:
            del record["digests"]
        record = {name: value for name, value in record.items() if value is not None}
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
    digests: Sequence[str] = (),
) -> Calibration:
    """From the energies (n,) of normal events, in any order. groups (n,): which belong together.
    digests: of what they hold.

    Raises SettingError for an fpr outside (0, 1), or one that n events, or their groups, are too
    few for, and DataError for an energy that is not finite.
    """
    if not bool(energies.isfinite().all()):
        strange = int((~energies.isfinite()).sum())
        raise DataError(
            f"{source}: {strange} of {plural(len(energies), 'energy')} {agree(strange, 'are')} "
            "not finite, so the run cannot score these examples: calibrate on others, or train "
            "again"
        )
    ascending, order = energies.float().sort()
    kept, weights = thin(ascending), None
    if groups is not None:
        weights = thin_weights(torch.from_numpy(group_weights(groups))[order.cpu()])
    threshold = threshold_of(kept, fpr, weights)
    known = tuple(digests[:: -(-len(digests) // MOST_KEPT) or 1])
    return Calibration(
        threshold, fpr, len(energies), network, part, source, fingerprint, kept, weights=weights,
        digests=known,
    )  # fmt: skip


def _numbers(values: Tensor) -> list[float]:
    """As JSON takes them; nine digits give a float32 back exactly."""
    return [float(f"{value:.9g}") for value in values.tolist()]


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


def lowest_rate(count: int) -> float:
    """The lowest false positive rate that so many normal examples, or groups of them, allow,
    rounded up to two digits."""
    rate = 1 / (count + 1)
    unit = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return round(math.ceil(round(rate / unit, 6)) * unit, 12)


def threshold_of(energies: Tensor, fpr: float, weights: Tensor | None = None) -> float:
    """The conformal threshold; SettingError where there can be none."""
    if not 0 < fpr < 1:
        raise SettingError(
            f"fpr {fpr:g}: give a false positive rate between 0 and 1, for example 0.05"
        )
    try:
        return float(calibrated_threshold(energies, fpr, weights=weights))
    except ValueError:
        needed = math.ceil(round((1 - fpr) / fpr, 9))
        count = len(energies) if weights is None else round(float(weights.sum()))
        what = "normal examples" if weights is None else "groups of normal examples"
        raise SettingError(
            f"a false positive rate of {fpr:g} needs at least {needed:,} {what}, and there "
            f"{agree(count, 'are')} {count:,}: give more, or a rate of at least "
            f"{lowest_rate(count):g}"
        ) from None


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
    map_threshold: FiniteFloat | None = None
    map_maxima: Annotated[list[FiniteFloat], Field(min_length=1)] | None = None
    map_weights: list[FiniteFloat] | None = None
    map_smoothing: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    digests: Annotated[list[str], Field(max_length=MOST_KEPT)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, one, weights in (
            ("energies", "energy", self.weights), ("map_maxima", "maximum", self.map_weights),
        ):  # fmt: skip
            values = getattr(self, name) or []
            if any(a > b for a, b in pairwise(values)):
                raise ValueError(f"{name} are not in ascending order")
            if weights is not None and (len(weights) != len(values) or min(weights) <= 0):
                raise ValueError(f"weights are not one for each {one}, above 0")
        return self


def read(run: Path) -> Calibration | None:
    """The calibration that is kept in a run; None if there is none. RunError if it is damaged."""
    path = run / NAME
    if not path.exists():
        return None
    found = read_document(path, _Stored, remedy="remove it, and calibrate again")
    named = {name: getattr(found, name) for name in _Stored.model_fields}
    del named["format"]
    named["network"] = Network(**found.network.model_dump())
    named["digests"] = tuple(found.digests or ())
    named["energies"] = torch.tensor(found.energies, dtype=torch.float32)
    for name in ("weights", "map_maxima", "map_weights"):
        if named[name] is not None:
            kind = torch.float32 if name == "map_maxima" else torch.float64
            named[name] = torch.tensor(named[name], dtype=kind)
    return Calibration(**named)


def read_for(run: Path, network: Network) -> Calibration:
    """The calibration that is kept in a run. Raises SettingError if none is of this network."""
    found = read(run)
    if found is None:
        raise SettingError(f"{run} has no threshold: call run.calibrate() first")
    if found.network != network:
        raise SettingError(
            f"{run} was calibrated with {found.network}, and this is {network}: call "
            "run.calibrate() again"
        )
    return found
