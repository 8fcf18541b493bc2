"""The losses against plain loops, the objectives against the losses, and the faults of others."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Model, Randomness, Scored, SettingError
from energan.energies.logit import Logit
from energan.energies.reconstruction import Reconstruction, reconstruction_energy
from energan.nets.autoencoder import mlp_autoencoder
from energan.nets.dense import BatchNorm
from energan.nets.mlp import mlp_generator, mlp_logit
from energan.objectives import (
    Contrastive,
    Hinge,
    Log,
    Logistic,
    PairedLogistic,
    SquareSquare,
    contrastive,
    hinge,
    log_loss,
    logistic,
    minimax,
    non_saturating,
    pull_away,
    square_square,
)
from energan.samplers.generator import Generator

LEADS = [(), (1,), (3,), (2, 3)]


def energies(seed: int, *shape: int, signed: bool = False) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    values = 2 * torch.randn(shape, generator=g, dtype=torch.float64)
    return values if signed else values.abs()


def softplus(u: float) -> float:
    return math.log1p(math.exp(-abs(u))) + max(u, 0.0)


# --- the pure functions ---------------------------------------------------------------------------

NAIVE = {
    "hinge": lambda r, f, m: sum(r) / len(r) + sum(max(0.0, m - u) for u in f) / len(f),
    "square_square": lambda r, f, m: (
        sum(u * u for u in r) / len(r) + sum(max(0.0, m - u) ** 2 for u in f) / len(f)
    ),
    "contrastive": lambda r, f, m: sum(r) / len(r) - sum(f) / len(f),
    "logistic": lambda r, f, m: (
        sum(-math.log(1 / (1 + math.exp(u))) for u in r) / len(r)
        + sum(-math.log(1 - 1 / (1 + math.exp(u))) for u in f) / len(f)
    ),
}
OURS = {
    "hinge": hinge,
    "square_square": square_square,
    "contrastive": lambda r, f, m: contrastive(r, f),
    "logistic": lambda r, f, m: logistic(r, f),
}


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("name", NAIVE)
def test_energy_losses_are_their_definitions(name, lead):
    """Every energy loss against a loop over samples, with leading axes, for unequal batch sizes."""
    signed = name in ("contrastive", "logistic")
    real, fake = energies(1, *lead, 5, signed=signed), energies(2, *lead, 7, signed=signed)
    m = 1.3
    ours = OURS[name](real, fake, m)
    assert ours.shape == lead
    for index in np.ndindex(*lead):
        expected = NAIVE[name](real[index].tolist(), fake[index].tolist(), m)
        assert ours[index].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("lead", LEADS)
def test_log_loss_compares_the_ith_with_the_ith(lead):
    """E softplus(U(x_i) - U(G(z_i))), and not of all pairs or of the means."""
    real, fake = energies(1, *lead, 6, signed=True), energies(2, *lead, 6, signed=True)
    ours = log_loss(real, fake)
    assert ours.shape == lead
    for index in np.ndindex(*lead):
        pairs = zip(real[index].tolist(), fake[index].tolist(), strict=True)
        assert ours[index].item() == pytest.approx(np.mean([softplus(a - b) for a, b in pairs]))


def test_log_loss_refuses_unequal_batches():
    """A pair needs two: broadcasting one fake over all real samples would be silent."""
    with pytest.raises(ValueError, match="5 real and 1 fake"):
        log_loss(torch.ones(5), torch.ones(1))


@pytest.mark.parametrize("lead", LEADS)
def test_generator_losses_are_their_definitions(lead):
    """-E log D and E log(1 - D) with D = 1 / (1 + e^U), over leading axes."""
    fake = energies(3, *lead, 7, signed=True)
    d = 1 / (1 + np.exp(fake.numpy()))
    np.testing.assert_allclose(non_saturating(fake).numpy(), -np.log(d).mean(-1), rtol=1e-10)
    np.testing.assert_allclose(minimax(fake).numpy(), np.log(1 - d).mean(-1), rtol=1e-10)


@pytest.mark.parametrize("loss", [hinge, square_square])
def test_every_member_has_its_own_margin(loss):
    """A margin (M, 1) applies row by row."""
    real, fake = energies(1, 3, 5), energies(2, 3, 5)
    margins = torch.tensor([[0.5], [1.0], [4.0]], dtype=torch.float64)
    rows = [loss(real[i], fake[i], margins[i].item()) for i in range(3)]
    torch.testing.assert_close(loss(real, fake, margins), torch.stack(rows))


def naive_pull_away(codes: np.ndarray) -> float:
    """Eq. 14 as it is printed."""
    n, total = len(codes), 0.0
    for i in range(n):
        for j in range(n):
            if j != i:
                cosine = codes[i] @ codes[j]
                cosine /= np.linalg.norm(codes[i]) * np.linalg.norm(codes[j])
                total += cosine**2
    return total / (n * (n - 1))


@pytest.mark.parametrize("lead", LEADS)
def test_pull_away_is_eq_14(lead):
    """f_PT against the double sum, with leading axes."""
    codes = energies(4, *lead, 6, 5, signed=True)
    ours = pull_away(codes)
    assert ours.shape == lead
    for index in np.ndindex(*lead):
        expected = naive_pull_away(codes[index].numpy())
        assert ours[index].item() == pytest.approx(expected, rel=1e-10)


@given(st.integers(2, 9), st.integers(1, 6), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_pull_away_sees_directions_only(n, s, seed):
    """In [0, 1]; no scale or sign of any code changes it, nor their order, nor a rotation."""
    codes = energies(seed, n, s, signed=True)
    value = pull_away(codes).item()
    assert -1e-12 <= value <= 1 + 1e-12
    scales = energies(seed + 1, n, 1) + 0.1
    scales[0] *= -1
    rotation = torch.linalg.qr(energies(seed + 2, s, s, signed=True))[0]
    assert pull_away((codes * scales).flip(0) @ rotation).item() == pytest.approx(value, abs=1e-9)


def test_pull_away_of_one_code_is_refused():
    """One code has no pair; 0/0 would be NaN."""
    with pytest.raises(ValueError, match="at least 2"):
        pull_away(torch.ones(1, 4))


def test_pull_away_gradient_is_that_of_its_definition():
    """Autograd against finite differences."""
    codes = energies(5, 4, 3, signed=True).requires_grad_()
    assert torch.autograd.gradcheck(pull_away, codes)


# --- the objectives -------------------------------------------------------------------------------


class Told(Energy):
    """An energy that says what it was told for each stream, and remembers what it was asked."""

    nonnegative = True

    def __init__(self, real: Tensor, fake: Tensor, code: Tensor | None = None) -> None:
        super().__init__()
        self.says = {"real": Scored(real), "fake": Scored(fake, code=code)}
        self.asked: list[tuple[str, Tensor, Tensor | None]] = []

    def forward(self, x, condition=None, *, stream):
        self.asked.append((stream, x, condition))
        return self.says[stream]


def context(members: int = 1, **hyper: list[float]) -> Context:
    values = {k: torch.tensor(v, dtype=torch.float64)[:, None] for k, v in hyper.items()}
    return Context(0, values, Randomness(range(members)))


OBJECTIVES = {
    "hinge": (Hinge(), hinge, True),
    "square-square": (SquareSquare(), square_square, True),
    "log": (Log(), log_loss, False),
    "contrastive": (Contrastive(), contrastive, False),
    "logistic": (Logistic(), logistic, False),
}


@pytest.mark.parametrize("cells", [(), (2, 2)], ids=["one value", "a value a patch"])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_objectives_are_the_pure_functions(name, members, cells):
    """Loss.total is (M,), each member's pure loss with its margin; data and draws with their
    conditions go through the energy once each, as their own streams."""
    objective, function, has_margin = OBJECTIVES[name]
    shape = (6, *cells) if members == 1 else (members, 6, *cells)
    real, fake = energies(1, *shape), energies(2, *shape)
    margins = [0.7, 1.4, 2.9][:members]
    energy = Told(real, fake)
    x, g, a, b = (torch.randn(2) for _ in range(4))
    loss = objective.energy_loss(energy, Batch(x, a), Draw(g, b), context(members, margin=margins))
    rows = [(real, fake)] if members == 1 else list(zip(real, fake, strict=True))
    for i, (r, f) in enumerate(rows):
        arguments = (r.flatten(), f.flatten(), margins[i])[: 3 if has_margin else 2]
        torch.testing.assert_close(loss.total[i], function(*arguments))
        torch.testing.assert_close(loss.parts["energy_real"][i], r.mean())
        torch.testing.assert_close(loss.parts["energy_fake"][i], f.mean())
    assert loss.total.shape == (members,)
    assert all(part.shape == (members,) for part in loss.parts.values())
    (s, asked_x, asked_a), (t, asked_g, asked_b) = energy.asked
    assert (s, t) == ("real", "fake")
    assert asked_x is x
    assert asked_a is a
    assert asked_g is g
    assert asked_b is b


SAMPLER_LOSSES = {
    "hinge": (Hinge(), lambda f: f.mean()),
    "square-square": (SquareSquare(), lambda f: f.mean()),
    "log": (Log(), lambda f: f.mean()),
    "contrastive": (Contrastive(), lambda f: f.mean()),
    "non-saturating": (Logistic(), non_saturating),
    "minimax": (Logistic("minimax"), minimax),
}


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("name", SAMPLER_LOSSES)
def test_the_sampler_losses_are_the_pure_functions(name, members):
    """Loss.total (M,) of fakes alone: E U(G(z)), or the logistic loss that was chosen."""
    objective, function = SAMPLER_LOSSES[name]
    fake = energies(2, *((6,) if members == 1 else (members, 6)))
    energy = Told(fake, fake)
    b = torch.randn(2)
    draw = Draw(torch.randn(2), b)
    loss = objective.sampler_loss(
        energy, Batch(torch.randn(2)), draw, context(members, margin=[1.0] * members)
    )
    expected = torch.stack([function(f) for f in fake.reshape(members, -1)])
    torch.testing.assert_close(loss.total, expected)
    assert [(s, x is draw.x, c is b) for s, x, c in energy.asked] == [("fake", True, True)]


@pytest.mark.parametrize("members", [1, 3])
def test_the_sampler_loss_adds_each_members_own_pulling_away_term(members):
    """L_G = E U(G(z)) + w f_PT with one weight a member, and the term itself in the parts."""
    shape = (6,) if members == 1 else (members, 6)
    fake, code = energies(2, *shape), energies(3, *shape, 4, signed=True)
    weights = [0.1, 0.0, 2.0][:members]
    loss = Hinge().sampler_loss(
        Told(fake, fake, code),
        Batch(fake),
        Draw(fake),
        context(members, margin=[1.0] * members, pull_away=weights),
    )
    for i in range(members):
        term = naive_pull_away(code.reshape(members, 6, 4)[i].numpy())
        mean = fake.reshape(members, 6)[i].mean().item()
        assert loss.parts["pull_away"][i].item() == pytest.approx(term)
        assert loss.total[i].item() == pytest.approx(mean + weights[i] * term)
    assert loss.total.shape == (members,)


@pytest.mark.parametrize("name", ["hinge", "contrastive"])
def test_without_a_draw_the_data_alone_is_the_loss(name):
    """Once the generator rests, the loss is E U(x), and no stream of fakes is asked for."""
    real = energies(1, 2, 5)
    energy = Told(real, real)
    loss = OBJECTIVES[name][0].energy_loss(energy, Batch(real), None, context(2, margin=[1.0] * 2))
    torch.testing.assert_close(loss.total, real.mean(-1))
    assert [stream for stream, _, _ in energy.asked] == ["real"]


def test_losses_of_half_precision_energies_are_float32():
    """bfloat16 energies near 10 are 1/16 apart; their loss is formed in float32."""
    real = torch.tensor([10.0, 10.0625, 10.0, 10.0]).bfloat16()
    energy = Told(real, real, code=torch.randn(4, 3).bfloat16())
    at = Context(
        0, {"margin": torch.full((1, 1), 20.0), "pull_away": torch.ones(1, 1)}, Randomness([0])
    )
    total = Hinge().energy_loss(energy, Batch(real), Draw(real), at).total
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(20)
    of_sampler = Hinge().sampler_loss(energy, Batch(real), Draw(real), at)
    assert of_sampler.total.dtype == torch.float32
    assert (of_sampler.total - of_sampler.parts["pull_away"]).item() == pytest.approx(10.015625)


# --- faults in public copies (systems.md, section 7) ----------------------------------------------


def test_fault_no_square_two_opposite_codes_score_1():
    """Without the square (and with the diagonal) opposite codes look perfectly apart."""
    codes = torch.tensor([[1.0, 2.0], [-1.0, -2.0]], dtype=torch.float64)
    assert pull_away(codes).item() == pytest.approx(1)
    unit = codes / codes.norm(dim=1, keepdim=True)
    faulty = ((unit @ unit.T).sum() - 2) / 2
    assert faulty.item() == pytest.approx(-1)


def test_fault_the_diagonal_counts():
    """Orthogonal codes score 0; with the diagonal, N of the N(N-1) terms are 1."""
    codes = torch.linalg.qr(energies(1, 5, 5, signed=True))[0] * 3
    assert pull_away(codes).item() == pytest.approx(0, abs=1e-12)
    unit = codes / codes.norm(dim=1, keepdim=True)
    faulty = (unit @ unit.T).square().sum() / (5 * 4)
    assert faulty.item() == pytest.approx(1 / 4)


@pytest.mark.parametrize("zeros", [1, 2, 4])
def test_fault_no_epsilon_on_the_norm(zeros):
    """Zero codes score 0 with all others, with finite gradients; without an epsilon it is NaN."""
    codes = energies(1, 4, 3, signed=True)
    codes[:zeros] = 0
    codes.requires_grad_()
    value = pull_away(codes)
    value.backward()
    assert codes.grad.isfinite().all()
    rest = codes.detach()[zeros:].numpy()
    pairs = len(rest) * (len(rest) - 1)
    expected = naive_pull_away(rest) * pairs / 12 if pairs else 0.0
    assert value.item() == pytest.approx(expected, abs=1e-12)
    unit = codes / codes.norm(dim=1, keepdim=True)
    assert (unit @ unit.T).square().sum().isnan()


def test_fault_normalised_across_the_batch():
    """The norm is over one code's numbers, not over one number's batch."""
    codes = torch.tensor([[1.0, 0.0], [100.0, 100.0]], dtype=torch.float64)
    assert pull_away(codes).item() == pytest.approx(0.5)  # 45 degrees
    across = codes / codes.norm(dim=0, keepdim=True)
    faulty = (across[0] @ across[1]) ** 2
    assert faulty.item() == pytest.approx(1e-4, rel=1e-2)


def test_fault_the_hinge_on_the_batch_mean():
    """Fake energies half 0.2, half 3.0 at m = 1 cost 0.4; the hinge of their mean costs 0."""
    fake = torch.tensor([0.2, 3.0] * 8, dtype=torch.float64)
    real = torch.zeros(5, dtype=torch.float64)
    assert hinge(real, fake, 1.0).item() == pytest.approx(0.4)
    through = Hinge().energy_loss(Told(real, fake), Batch(real), Draw(fake), context(margin=[1.0]))
    assert through.total.item() == pytest.approx(0.4)
    assert max(0.0, 1.0 - fake.mean().item()) == 0.0
    assert square_square(real, fake, 1.0).item() == pytest.approx(0.32)  # 0.8² on half of them


class Small:
    """A float64 auto-encoder and fakes for it, away from any kink."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        network = mlp_autoencoder((4,), (6, 3), norm=False).double()
        self.energy = Reconstruction(network, 1)
        self.x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)

    def loss(self, x: Tensor, **hyper: list[float]) -> Tensor:
        return Hinge().sampler_loss(self.energy, Batch(x), Draw(x), context(**hyper)).total.sum()

    def gradient(self, value: Tensor) -> Tensor:
        return torch.autograd.grad(value, self.x, retain_graph=True)[0]


@pytest.mark.parametrize("margin", [100.0, 0.01], ids=["U < m", "U >= m"])
def test_fault_a_detached_target_in_the_sampler_loss(margin):
    """The gradient of L_G in the generator's output is the whole one, by finite differences, on
    either side of the margin; with the target detached it is another, with a hinge it is 0."""
    small = Small()
    u = small.energy(small.x, stream="fake").energy
    assert (u >= margin).all() == (margin < 1)
    whole = small.gradient(small.loss(small.x, margin=[margin]))
    h = 1e-6
    for index in np.ndindex(5, 4):
        step = torch.zeros(5, 4, dtype=torch.float64)
        step[index] = h
        up, down = (small.loss(small.x.detach() + s, margin=[margin]) for s in (step, -step))
        assert whole[index].item() == pytest.approx(((up - down) / (2 * h)).item(), abs=1e-7)
    reconstruction = small.energy(small.x, stream="fake").reconstruction
    cut = reconstruction_energy(small.x.detach(), reconstruction, 1).mean()
    other = reconstruction_energy(small.x, reconstruction.detach(), 1).mean()
    assert (small.gradient(cut) - whole).norm() > 0.1 * whole.norm()
    torch.testing.assert_close(small.gradient(cut) + small.gradient(other), whole)
    if margin < 1:
        hinged = -torch.relu(margin - small.energy(small.x, stream="fake").energy).mean()
        assert not small.gradient(hinged).any()
        assert whole.abs().min(dim=1).values.gt(0).all()


def test_fault_the_pulling_away_term_as_a_step_of_its_own():
    """One loss, one gradient, one step: the sum's. Two steps in turn lead elsewhere."""
    small = Small()
    w = 0.7
    code = small.energy(small.x, stream="fake").code
    descent = small.gradient(small.energy(small.x, stream="fake").energy.mean())
    apart = small.gradient(pull_away(code))
    total = small.loss(small.x, margin=[10.0], pull_away=[w])
    one = small.gradient(total)
    torch.testing.assert_close(one, descent + w * apart)
    plain = small.loss(small.x, margin=[10.0])
    assert (total - plain).item() == pytest.approx(w * naive_pull_away(code.detach().numpy()))

    def adam_after(losses) -> Tensor:
        x = small.x.detach().clone().requires_grad_()
        optimiser = torch.optim.Adam([x], 0.01)
        for loss in losses:
            optimiser.zero_grad()
            loss(x).backward()
            optimiser.step()
        return x.detach()

    together = adam_after([lambda x: small.loss(x, margin=[10.0], pull_away=[w])])
    in_turn = adam_after(
        [
            lambda x: small.loss(x, margin=[10.0]),
            lambda x: w * pull_away(small.energy(x, stream="fake").code),
        ]
    )
    expected = small.x.detach() - 0.01 * one.sign()  # Adam's first step
    torch.testing.assert_close(together, expected, atol=1e-6, rtol=0)
    assert (in_turn - together).abs().max() > 0.005


def test_the_energy_loss_has_no_pulling_away_term():
    """The term is in L_G alone: L_D and its gradient are the same with and without a weight."""
    small = Small()
    real = torch.randn(5, 4, dtype=torch.float64)
    grads = []
    for hyper in ({"margin": [10.0]}, {"margin": [10.0], "pull_away": [5.0]}):
        loss = Hinge().energy_loss(small.energy, Batch(real), Draw(small.x), context(**hyper))
        assert "pull_away" not in loss.parts
        grads.append(torch.autograd.grad(loss.total.sum(), list(small.energy.parameters())))
    for plain, weighted in zip(*grads, strict=True):
        torch.testing.assert_close(plain, weighted, rtol=0, atol=0)


def test_fault_batch_norm_eps_of_0_8():
    """eps is 1e-5 in every network; 0.8, meant as a momentum, shrinks features of small spread."""
    for network in (
        mlp_autoencoder((8,), (8, 8, 4), decoder=(8,), norm=True),
        mlp_generator(3, (8, 8), (8,), norm=True, output="tanh"),
        mlp_logit((8,), (8, 8, 8), norm=True),
    ):
        norms = [layer for layer in network.modules() if isinstance(layer, BatchNorm)]
        assert len(norms) >= 2
        assert {layer.eps for layer in norms} == {1e-5}
    x = 0.1 * torch.randn(4000, 6)
    assert BatchNorm(6)(x, "fake").std(0).sub(1).abs().max() < 0.01
    assert BatchNorm(6, eps=0.8)(x, "fake").std(0).max() < 0.12


@pytest.mark.parametrize("objective", [Hinge(), SquareSquare()])
def test_fault_a_margin_from_the_batch_size(objective):
    """The same samples 64 times over cost the same; with m = max(1, batch / 64) they do not."""
    real, fake = energies(1, 16), energies(2, 16)

    def loss(times: int, margin: float) -> float:
        told = Told(real.repeat(times), fake.repeat(times))
        batch, draw = Batch(real.repeat(times)), Draw(fake.repeat(times))
        return objective.energy_loss(told, batch, draw, context(margin=[margin])).total.item()

    assert loss(64, 1.0) == pytest.approx(loss(1, 1.0))
    assert loss(64, max(1, 16 * 64 / 64)) != pytest.approx(loss(1, max(1, 16 / 64)), rel=0.5)


@pytest.mark.parametrize("objective", [Hinge(), SquareSquare()])
def test_fault_a_margin_for_an_energy_that_can_be_negative(objective):
    """A logit under a margin is refused with the remedy: its hinge has no least value."""
    logit = Logit(mlp_logit((4,), (3,), norm=False))
    generator = Generator(mlp_generator(2, (3,), (4,), norm=False, output="linear"), 2)
    with pytest.raises(SettingError, match=r"never negative.*Logit.*reconstruction"):
        objective.check(logit)
    with pytest.raises(SettingError, match="never negative"):
        Model(logit, generator, objective)
    # the loss it would have: without end downwards, on real data alone
    ends = [hinge(torch.full((4,), -u), torch.full((4,), 2.0), 1.0).item() for u in (1e2, 1e4)]
    assert ends == [-1e2, -1e4]


@pytest.mark.parametrize("objective", [Log(), Contrastive(), Logistic()])
def test_objectives_without_a_margin_take_any_energy(objective):
    """Only the margin losses need U >= 0."""
    objective.check(Logit(mlp_logit((4,), (3,), norm=False)))


@pytest.mark.parametrize("objective", [Hinge(), SquareSquare()])
def test_a_reconstruction_under_a_margin_is_accepted(objective):
    """The energy of the paper is never negative, and says so."""
    objective.check(Reconstruction(mlp_autoencoder((4,), (3,), norm=False), 1))


def test_the_objective_without_a_margin_has_no_least_value():
    """E U(x) - E U(G(z)) falls without end as fakes are pushed up; the hinge stops at m."""
    fakes = [torch.full((4,), u) for u in (1.0, 10.0, 1e3, 1e5)]
    real = torch.zeros(4)
    free = [contrastive(real, f).item() for f in fakes]
    bounded = [hinge(real, f, 10.0).item() for f in fakes]
    assert free == [-1, -10, -1e3, -1e5]
    assert bounded == [9, 0, 0, 0]


@pytest.mark.parametrize(("objective", "value"), [(Logistic(), "1.39"), (PairedLogistic(), "0.69")])
def test_the_loss_where_nothing_is_told_apart_is_the_one_that_is_written(objective, value):
    """D = ½ everywhere, that is U = 0."""
    energy, x = Told(torch.zeros(6), torch.zeros(6)), torch.zeros(6, 2)
    loss = objective.energy_loss(energy, Batch(x), Draw(x), context())
    assert f"{float(loss.total):.2f}" == value
    assert value in objective.equilibrium
