"""Histograms of energies: rows of other data over those of normal data, on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from energan.anomaly.calibration import Calibration
from energan.io.text import plural
from energan.report.html import Picture, Theme, draw_figure

BINS = 60
WIDE = 6.0
"""Compress the axis if the range of all energies exceeds that of the normal ones by this factor."""
Values = NDArray[np.float64]


class EnergyScale:
    """Energies on an axis that shows the normal ones well, whatever the others are.

    Linear, or asinh about the median of the normal ones where the others reach much further.
    own, others: in ascending order.
    """

    def __init__(self, own: Values, others: Sequence[Values]) -> None:
        every = np.concatenate([own, *others])
        self.centre = float(np.median(own))
        self.unit = max(float(own[-1] - own[0]), 1e-6 * float(np.abs(every).max()), 1e-12)
        self.low, self.high = float(every.min()), float(every.max())
        self.wide = self.high - self.low > WIDE * self.unit
        ends = self.of(np.array([self.low, self.high]))
        room = 0.02 * max(float(ends[1] - ends[0]), 1e-6)
        self.edges = np.linspace(ends[0] - room, ends[1] + room, BINS + 1)
        self.middles = (self.edges[:-1] + self.edges[1:]) / 2

    def of(self, energy: Values) -> Values:
        z = (energy - self.centre) / self.unit
        return np.arcsinh(z) if self.wide else z

    def heights(self, levels: Values, shares: Values) -> Values:
        """The share of events in each bin, from their quantiles."""
        places = self.of(levels)
        places = places + 1e-9 * np.arange(len(places))  # equal ones are a step, not a gap
        return np.diff(np.interp(self.edges, places, shares, left=0, right=1))

    def counts(self, energy: Values, weights: Values | None = None) -> Values:
        """The share of these events in each bin."""
        found = np.histogram(self.of(energy), self.edges, weights=weights)[0].astype(np.float64)
        return found / max(float(found.sum()), 1e-12)

    def ticks(self) -> tuple[Values, list[str]]:
        """Places of energies of two digits, and these energies."""
        at = np.linspace(self.edges[0], self.edges[-1], 8)[1:-1]
        energy = self.centre + self.unit * (np.sinh(at) if self.wide else at)
        texts = list(dict.fromkeys(f"{e:.2g}" for e in energy))
        places = self.of(np.array([float(t) for t in texts]))
        return places, [f"{float(t):g}".replace("-", "−") for t in texts]


@dataclass(frozen=True)
class EnergyRow:
    """heights: shares of each bin. colour: its number in the theme. name: at the left."""

    heights: Values
    colour: int = 0
    name: str = ""


def draw_rows(
    axes: Any, theme: Theme, scale: EnergyScale, behind: Values, rows: Sequence[EnergyRow],
    legend: tuple[str, str],
) -> None:  # fmt: skip
    """The rows, the first at the top, each over the histogram of normal data and of its own height.

    legend: what the normal data and the others are.
    """
    for place, row in enumerate(reversed(rows)):
        colour = theme.colours[row.colour]
        for these, paint, what in zip(
            (behind, row.heights), (theme.faint, colour), legend, strict=True
        ):
            axes.fill_between(
                scale.middles, place, place + 0.85 * these / max(these.max(), 1e-12),
                step="mid", color=paint, alpha=0.55, linewidth=0,
                label=what if place == 0 else None,
            )  # fmt: skip
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)], va="bottom")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(0, len(rows))
    axes.spines["left"].set_visible(False)
    axes.set_xticks(*scale.ticks())
    axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    axes.set_xlabel("U(x)" + (", compressed away from the data" if scale.wide else ""))


def draw_threshold(calibration: Calibration, energy: Tensor) -> Picture | None:
    """Energies of judged images over those that the threshold was calibrated on, and the threshold.

    energy (B,): those that are no finite numbers are left out; None if all are.
    """
    judged = energy[energy.isfinite()].double().sort().values.cpu().numpy()
    if not len(judged):
        return None
    normal = calibration.energies.double().numpy()
    weights = None if calibration.weights is None else calibration.weights.double().numpy()
    threshold = np.array([calibration.threshold])
    scale = EnergyScale(normal, [judged, threshold])
    legend = (
        f"{calibration.count:,} normal",
        f"{plural(len(judged), 'judged image')}",
    )

    def draw(axes: Any, theme: Theme) -> None:
        row = EnergyRow(scale.counts(judged), 1)
        draw_rows(axes, theme, scale, scale.counts(normal, weights), [row], legend)
        axes.axvline(float(scale.of(threshold)[0]), color=theme.ink, linewidth=1.2)
        share = f"{100 * calibration.fpr:.3g} %"
        axes.set_title(f"threshold {calibration.threshold:.5g} ({share})", loc="left", fontsize=9)

    caption = (
        "Grey: normal images, on which the threshold was calibrated. Orange: the judged images. "
        "What lies right of the line is called anomalous. Each histogram has its own height."
    )
    return draw_figure("threshold", "Energies and threshold", caption, draw, (4.2, 2.0))
