"""Energies that add up."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from energan.core import Energy, Scored, Stream
from energan.samplers import langevin


class Bowl(Energy):
    """weight · ||x − centre||²/2, of a label the centre moved by it; with cells its parts."""

    def __init__(self, centre: float, cells: int = 0, nonnegative: bool = True) -> None:
        super().__init__()
        self.centre, self.cells, self.nonnegative = centre, cells, nonnegative

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        centre = self.centre if condition is None else self.centre + condition[:, None]
        parts = (x - centre).square() / 2
        return Scored(parts if self.cells else parts.mean(-1))


@given(
    seed=st.integers(0, 2**31),
    weights=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    cells=st.booleans(),
)
def test_the_sum_of_energies_is_their_sum(seed: int, weights: list[float], cells: bool) -> None:
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
    a, b, c = Bowl(0.0), Bowl(1.5, cells), Bowl(-2.0)
    u = [e(x, stream="eval").energy.reshape(5, -1).mean(1) for e in (a, b, c)]
    total = weights[0] * a + b * weights[1] + weights[2] * c
    assert len(total.terms) == 3  # flat
    expected = weights[0] * u[0] + weights[1] * u[1] + weights[2] * u[2]
    assert torch.allclose(total(x, stream="eval").energy, expected, atol=1e-4)
    doubled = 2 * (a + b) + c
    assert [w for w, _ in doubled.terms] == [2, 2, 1]
    found = doubled(x, stream="eval").energy
    assert torch.allclose(found, 2 * u[0] + 2 * u[1] + u[2], atol=1e-4)


def test_cells_that_are_alike_are_added_one_by_one_and_labels_reach_all() -> None:
    x = torch.randn(3, 4)
    both = Bowl(0.0, 1) + Bowl(1.0, 1)
    assert both(x, stream="eval").energy.shape == (3, 4)
    y = torch.tensor([0, 1, 2])
    u = (Bowl(0.0) + Bowl(1.0))(x, y, stream="eval").energy
    apart = [Bowl(c)(x, y, stream="eval").energy for c in (0.0, 1.0)]
    assert torch.allclose(u, apart[0] + apart[1])


def test_a_sum_is_nonnegative_only_if_all_its_terms_are() -> None:
    fine, free = Bowl(0.0), Bowl(0.0, nonnegative=False)
    assert (fine + 2 * fine).nonnegative
    assert not (fine + free).nonnegative
    assert not (fine + -1.0 * fine).nonnegative
    with pytest.raises(TypeError):
        fine + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        "2" * fine  # type: ignore[operator]


def test_chains_on_a_sum_of_bowls_settle_between_them() -> None:
    """Two unit normals about ±c multiply to one of variance ½ about 0."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 1, generator=g)
    both = Bowl(-1.0) + Bowl(1.0)
    made = langevin(both, x, steps=300, step_size=0.05, generator=g).x
    assert abs(float(made.mean())) < 4 * (0.5 / 4000) ** 0.5
    # of U = k x²/2 the chain's variance is 1/(k (1 − kε/4)), here k = 2
    expected = 1 / (2 * (1 - 2 * 0.05 / 4))
    assert float(made.var()) == pytest.approx(expected, rel=4 * (2 / 4000) ** 0.5)
