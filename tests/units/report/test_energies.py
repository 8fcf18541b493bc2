"""Histograms of energies, and the threshold in them."""

import numpy as np
import pytest
import torch

from energan.anomaly.calibration import Calibration, Network, calibrate
from energan.report import energies
from energan.report.energies import EnergyScale, draw_threshold

NETWORK = Network(1, "0", "ema")


def calibration(normal: torch.Tensor, groups: torch.Tensor | None = None) -> Calibration:
    return calibrate(normal, 0.1, NETWORK, "given", "parts", "0", groups)


@pytest.mark.parametrize("reach", [1.0, 100.0])
def test_counts_are_shares_of_the_events_in_each_bin(reach: float) -> None:
    draws = np.random.default_rng(0)
    own, other = np.sort(draws.normal(size=200)), np.sort(reach * draws.normal(size=50))
    scale = EnergyScale(own, [other])
    assert scale.wide == (reach > 1)
    found = scale.counts(other)
    assert found.sum() == pytest.approx(1)
    places = np.arcsinh((other - scale.centre) / scale.unit) if scale.wide else (
        (other - scale.centre) / scale.unit
    )  # fmt: skip
    at = np.searchsorted(scale.edges, places, side="right") - 1
    np.testing.assert_allclose(found, np.bincount(at, minlength=len(found)) / 50)
    weights = draws.uniform(1, 2, 50)
    weighted = np.bincount(at, weights, minlength=len(found)) / weights.sum()
    np.testing.assert_allclose(scale.counts(other, weights), weighted)


def test_the_threshold_is_drawn_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line divides the judged images as the calibration does."""
    drawn = []

    def rows(
        axes: object, theme: object, scale: EnergyScale, behind: object, *more: object
    ) -> None:
        drawn.append((axes, scale, more))

    monkeypatch.setattr(energies, "draw_rows", rows)
    draws = torch.Generator().manual_seed(0)
    made = calibration(torch.randn(100, generator=draws), torch.arange(100) // 2)
    judged = torch.cat([torch.linspace(-3, 3, 12), torch.tensor([float("nan"), float("inf")])])
    assert draw_threshold(made, judged) is not None
    axes, scale, (found, legend) = drawn[0]
    (line,) = axes.lines
    place = line.get_xdata()[0]
    assert place == pytest.approx(scale.of(np.array([made.threshold]))[0])
    above = int((scale.of(judged[:12].double().numpy()) > place).sum())
    assert above == int(made.scores(judged[:12]).anomalous.sum())
    assert found[0].heights.sum() == pytest.approx(1)
    assert legend == ("100 normal", "12 judged images")


def test_energies_without_a_finite_one_are_not_drawn() -> None:
    made = calibration(torch.arange(20.0))
    assert draw_threshold(made, torch.tensor([float("nan"), float("inf")])) is None
