"""Zhao et al. 2017, section 2.3: the two claims for an auto-encoder as the energy."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Batch, Context, Energy, Randomness
from energan.energies.logit import Logit
from energan.energies.reconstruction import Reconstruction
from energan.nets.autoencoder import mlp_autoencoder
from energan.nets.dense import Dense
from energan.nets.mlp import mlp_logit
from energan.objectives import Hinge, hinge, logistic

# --- the directions of per-sample gradients -------------------------------------------------------

SIZE, BODY, MARGIN = 24, (32, 16), 4.0
FAR = torch.tensor([1e4])  # the energy of a fake that costs nothing under either loss


def clusters(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Data in six clusters, and fakes without structure."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.rand(6, SIZE, generator=g) * 2 - 1
    x = centres[torch.randint(6, (count,), generator=g)]
    x = x + 0.3 * torch.randn(count, SIZE, generator=g)
    return x, 0.7 * torch.randn(count, SIZE, generator=g)


def two_energies(seed: int) -> tuple[Reconstruction, Logit]:
    """An auto-encoder and a logistic discriminator whose bodies have the same weights."""
    torch.manual_seed(seed)
    reconstruction = Reconstruction(mlp_autoencoder((SIZE,), BODY, norm=False), 1)
    logit = Logit(mlp_logit((SIZE,), BODY, norm=False))
    for ours, theirs in zip(body(reconstruction), body(logit), strict=True):
        theirs.load_state_dict(ours.state_dict())
    return reconstruction, logit


def body(energy: Energy) -> list[Dense]:
    """The weight layers from x to the last hidden width, of either energy."""
    return [layer for layer in energy.modules() if isinstance(layer, Dense)][: len(BODY)]


def train(energy: Energy, loss, seed: int, steps: int) -> None:
    optimiser = torch.optim.Adam(energy.parameters(), 1e-3)
    x, _ = clusters(seed, 64)
    for _ in range(steps):
        fake = 0.7 * torch.randn(64, SIZE)
        optimiser.zero_grad()
        loss(energy(x, stream="real").energy, energy(fake, stream="fake").energy).backward()
        optimiser.step()


def mean_squared_cosine(losses: list[Tensor], parameters: list[nn.Parameter]) -> float:
    """Of the gradients of all pairs of different samples: 0 orthogonal, 1 along one line."""
    rows = []
    for loss in losses:
        grads = torch.autograd.grad(loss, parameters, retain_graph=True)
        row = torch.cat([g.flatten() for g in grads]).double().numpy()
        rows.append(row / np.linalg.norm(row))
    return float(np.mean([(a @ b) ** 2 for a, b in itertools.combinations(rows, 2)]))


@pytest.mark.parametrize("steps", [0, 150], ids=["at the start", "after training"])
@pytest.mark.parametrize("part", ["all parameters", "the body"])
def test_claim_1_gradients_of_a_reconstruction_are_nearer_to_orthogonal(steps, part):
    """Mean squared cosine of per-sample gradients in a minibatch, averaged over seeds: well
    below that of a logistic discriminator whose body is the same."""
    ours, theirs = [], []
    for seed in range(4):
        reconstruction, logit = two_energies(seed)
        train(reconstruction, lambda r, f: hinge(r, f, MARGIN), seed, steps)
        train(logit, logistic, seed, steps)
        x, _ = clusters(seed, 16)
        u = reconstruction(x, stream="real").energy
        v = logit(x, stream="real").energy
        for energies, energy, loss, found in (
            (u, reconstruction, lambda e: hinge(e, FAR, MARGIN), ours),
            (v, logit, lambda e: logistic(e, FAR), theirs),
        ):
            modules = [energy] if part == "all parameters" else body(energy)
            parameters = [p for module in modules for p in module.parameters()]
            losses = [loss(energies[i : i + 1]) for i in range(len(energies))]
            found.append(mean_squared_cosine(losses, parameters))
    assert np.mean(ours) < 0.7 * np.mean(theirs)


def test_claim_1_the_measure_tells_one_line_from_a_right_angle():
    """The mean squared cosine itself: opposite gradients score 1, orthogonal ones 0."""
    w = nn.Parameter(torch.tensor([2.0, 3.0]))
    assert mean_squared_cosine([w[0] * 5, -w[0]], [w]) == pytest.approx(1)
    assert mean_squared_cosine([w[0] * 5, -w[1]], [w]) == pytest.approx(0)


# --- what is learnt from data alone ---------------------------------------------------------------


def curve(t: Tensor, size: int) -> Tensor:
    """An arc of 270 degrees, laid into R^size by a fixed isometry."""
    plane = torch.stack([torch.cos(1.5 * math.pi * t), torch.sin(1.5 * math.pi * t)], -1)
    frame = torch.linalg.qr(torch.randn(size, 2, generator=torch.Generator().manual_seed(5)))[0]
    return plane @ frame.T


def train_on_data_alone(energy: Energy, loss, size: int, steps: int) -> None:
    optimiser = torch.optim.Adam(energy.parameters(), 3e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(energy, curve(torch.rand(128), size)).backward()
        optimiser.step()


def hinge_without_fakes(energy: Energy, x: Tensor) -> Tensor:
    """The product's own loss where there is no sampler."""
    context = Context(0, {"margin": torch.ones(1, 1)}, Randomness([0]))
    return Hinge().energy_loss(energy, Batch(x), None, context).total.sum()


def on_and_off(size: int) -> tuple[Tensor, Tensor]:
    """New points of the curve, and points of its surroundings at least 0.4 away from it."""
    on = curve(torch.linspace(0.01, 0.99, 200), size)
    dense = curve(torch.linspace(0, 1, 2000), size)
    around = on.repeat(10, 1)
    around = around + F.normalize(torch.randn_like(around), dim=-1) * (0.4 + torch.rand(2000, 1))
    return on, around[torch.cdist(around, dense).amin(1) > 0.4]


@pytest.mark.parametrize(("size", "seed"), [(2, 0), (8, 1)])
def test_claim_2_a_reconstruction_finds_the_manifold_from_data_alone(size, seed):
    """An auto-encoder with a narrow code, trained on points of a curve and nothing else, gives
    unseen points of it less energy than 99 % of the points around it."""
    torch.manual_seed(seed)
    network = mlp_autoencoder((size,), (64, 64, 1), decoder=(64, 64), norm=False)
    with torch.no_grad():  # a code of one ReLU unit: start it where it is alive
        network.encoder[-1].bias.fill_(1.0)
    energy = Reconstruction(network, 1)
    on, off = on_and_off(size)

    def below() -> float:
        with torch.no_grad():
            u, v = energy(on, stream="eval").energy, energy(off, stream="eval").energy
        return (u[:, None] < v).double().mean().item()

    assert len(off) > 500
    untrained = below()
    train_on_data_alone(energy, hinge_without_fakes, size, 800)
    assert below() > 0.99 > untrained


def test_claim_2_a_logistic_discriminator_finds_nothing_from_data_alone():
    """The same body with a logit, without fakes, calls everything real: D > 0.95 off the curve."""
    torch.manual_seed(0)
    logit = Logit(mlp_logit((2,), (64, 64, 64), norm=False))
    train_on_data_alone(
        logit, lambda energy, x: logistic(energy(x, stream="real").energy, FAR), 2, 150
    )
    _, off = on_and_off(2)
    with torch.no_grad():
        assert torch.sigmoid(-logit(off, stream="eval").energy).quantile(0.01) > 0.95
