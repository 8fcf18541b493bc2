"""Maximum likelihood by chains: its loss, its gradient, and where that comes to rest."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from energan.core import Batch, Context, Draw, Energy, Randomness, Scored
from energan.nets.dense import Dense
from energan.objectives import MaximumLikelihood, energy_l2


class Quadratic(Energy):
    """U(x) = θ·x²/2 + φ·x: the normal law of precision θ, so that all is known."""

    def __init__(self, theta: float, phi: float) -> None:
        super().__init__()
        self.theta, self.phi = (nn.Parameter(torch.tensor(v).double()) for v in (theta, phi))

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
        return Scored((self.theta * x.square() / 2 + self.phi * x).sum(-1))


def context(weight: float | None) -> Context:
    hyper = {} if weight is None else {"energy_l2": torch.tensor([[weight]]).double()}
    return Context(3, hyper, Randomness([4], dtype=torch.float64).at(3))


@given(
    seed=st.integers(0, 10**6), weight=st.floats(0, 3), kind=st.sampled_from(["sum", "difference"])
)
@settings(deadline=None)
def test_the_loss_is_the_formula(seed: int, weight: float, kind: str) -> None:
    g = torch.Generator().manual_seed(seed)
    real, fake = torch.randn(2, 9, 2, generator=g, dtype=torch.float64)
    energy = Quadratic(1.3, -0.4)
    u, v = energy(real, stream="real").energy, energy(fake, stream="fake").energy
    sign = 1 if kind == "sum" else -1
    expected = sum(a - b + weight * (a * a + sign * b * b) for a, b in zip(u, v, strict=True)) / 9
    objective = MaximumLikelihood(kind)  # type: ignore[arg-type]
    loss = objective.energy_loss(energy, Batch(real), Draw(fake), context(weight))
    assert loss.total.shape == (1,)
    assert torch.allclose(loss.total, expected)
    assert torch.allclose(loss.parts["energy_real"], u.mean())
    assert torch.allclose(loss.parts["energy_fake"], v.mean())


def test_its_gradient_is_that_of_the_likelihood() -> None:
    """With draws of q itself, ∇E U(x) − E_q ∇U is the gradient of −E log q, known for a normal."""
    g = torch.Generator().manual_seed(0)
    theta, phi = 1.7, 0.6
    energy = Quadratic(theta, phi)
    real = torch.randn(50_000, 1, generator=g, dtype=torch.float64) * 0.8 + 0.3
    q = torch.randn(2_000_000, 1, generator=g, dtype=torch.float64) / theta**0.5 - phi / theta
    MaximumLikelihood().energy_loss(energy, Batch(real), Draw(q), context(None)).total.backward()
    t, p = (torch.tensor(v).double().requires_grad_() for v in (theta, phi))
    normal = torch.distributions.Normal(-p / t, t.rsqrt())
    (-normal.log_prob(real).mean()).backward()
    assert float(energy.theta.grad) == pytest.approx(float(t.grad), abs=0.01)
    assert float(energy.phi.grad) == pytest.approx(float(p.grad), abs=0.01)


def test_the_sum_of_squares_bounds_the_energies_and_the_difference_does_not() -> None:
    """Fault of a printed form: raising U of fakes lowers the loss without end under a minus."""
    real, fakes = torch.zeros(4), [torch.full((4,), u) for u in (1.0, 10.0, 100.0)]
    sums = [float(-f.mean() + energy_l2(real, f, "sum")) for f in fakes]
    differences = [float(-f.mean() + energy_l2(real, f, "difference")) for f in fakes]
    assert sums == [0.0, 90.0, 9900.0]
    assert differences == [-2.0, -110.0, -10100.0]


def test_noise_on_the_data_has_its_standard_deviation_and_repeats_by_place() -> None:
    seen: list[Tensor] = []

    class Watched(Quadratic):
        def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
            seen.append(x)
            return super().forward(x, condition, stream=stream)

    energy, real = Watched(1.0, 0.0), torch.zeros(20_000, 1, dtype=torch.float64)
    for _ in range(2):
        MaximumLikelihood(data_noise=0.3).energy_loss(
            energy, Batch(real), Draw(real), context(None)
        )
    assert float(seen[0].std()) == pytest.approx(0.3, rel=0.02)
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], real)  # chains get none


def test_both_terms_are_of_one_network_under_spectral_norm() -> None:
    """Power iteration moves on once a step, not between data and chains."""
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.spectral_norm(Dense(3, 1))
    used: list[Tensor] = []

    class Linear(Energy):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
            used.append(self.layer.weight)
            return Scored(self.layer(x).squeeze(-1))

    x = torch.randn(4, 3)
    at = Context(0, {}, Randomness([0]).at(0))
    for _ in range(2):
        MaximumLikelihood().energy_loss(Linear(), Batch(x), Draw(x), at)
    assert used[0] is used[1]
    assert used[2] is not used[0]


def test_noisy_data_stays_in_the_range_of_chains() -> None:
    seen: list[Tensor] = []

    class Watched(Quadratic):
        def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
            seen.append(x)
            return super().forward(x, condition, stream=stream)

    real = torch.tensor([[0.0], [1.0], [0.5]]).double().repeat(100, 1)
    kept = real.clone()
    MaximumLikelihood("sum", 0.1, 0.0, 1.0).energy_loss(
        Watched(1.0, 0.0), Batch(real), Draw(real), context(None)
    )
    assert float(seen[0].min()) == 0
    assert float(seen[0].max()) == 1
    assert torch.equal(real, kept)
