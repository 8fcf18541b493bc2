"""The density's own shares of modes, of mixtures where they are known."""

from math import exp

import pytest
import torch

from energan.evaluation.density import SIGMAS, mode_masses


@pytest.mark.parametrize("shares", [(0.25, 0.25, 0.25, 0.25), (0.7, 0.1, 0.15, 0.05)])
def test_they_are_those_of_a_mixture(shares: tuple[float, ...]) -> None:
    modes = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    std, weights = 0.05, torch.tensor(shares).double()

    def energy(x: torch.Tensor) -> torch.Tensor:
        squares = torch.cdist(x.double(), modes.double()).square() / (2 * std**2)
        return 3.7 - (weights.log() - squares).logsumexp(1)

    box = torch.tensor([1.5, 1.5])
    found = mode_masses(energy, modes, std, -box, box)
    assert torch.allclose(found / found.sum(), weights, atol=2e-3)
    assert float(found.sum()) == pytest.approx(1 - exp(-(SIGMAS**2) / 2), abs=2e-3)
