"""The ladder network's equations, one part of a batch at a time, in plain float64.

Written from Rasmus et al. 2015, algorithm 1, with β, and γ of the logits
alone where there is one; it shares nothing with the
product but the names of the weights, which `weights_of` alone knows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from energan.nets.ladder import Ladder

EPS = 1e-5


@dataclass
class Weights:
    up: list[Tensor]  # (out, in)
    beta: list[Tensor]
    gamma: Tensor | float  # of the logits
    down: list[Tensor]  # (out, in), from layer l + 1 to l
    a: list[Tensor]  # (10, units), the input's first


def weights_of(network: Ladder) -> Weights:
    state, layers = network.state_dict(), len(network.widths) - 1
    return Weights(
        [state[f"up.{i}.weight"] for i in range(layers)],
        [state[f"shifts.{i}.bias"] for i in range(layers)],
        state.get(f"shifts.{layers - 1}.weight", 1.0),
        [state[f"down.{i}.weight"] for i in range(layers)],
        [state[f"combinators.{i}.a"] for i in range(layers + 1)],
    )


def randomised(network: Ladder, seed: int = 0) -> Ladder:
    """In float64, with numbers in place of the zeros that most weights begin with."""
    g = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64) * 0.5)
    return network


def moments(z: Tensor) -> tuple[Tensor, Tensor]:
    mean = z.sum(0) / len(z)
    return mean, torch.sqrt(((z - mean) ** 2).sum(0) / len(z) + EPS)


def normalised(z: Tensor) -> Tensor:
    mean, std = moments(z)
    return (z - mean) / std


def combine(z: Tensor, u: Tensor, a: Tensor) -> Tensor:
    """Rasmus et al. 2015, eq. 2, and the line below it."""
    mean = a[0] / (1 + torch.exp(-(a[1] * u + a[2]))) + a[3] * u + a[4]
    scale = a[5] / (1 + torch.exp(-(a[6] * u + a[7]))) + a[8] * u + a[9]
    return (z - mean) * scale + mean


@dataclass
class Up:
    z: list[Tensor]  # z̃, the input's first
    before: list[Tensor]  # N(Wh), to which noise came; the input's is x
    sums: list[Tensor]  # Wh
    logits: Tensor


def encode(w: Weights, x: Tensor, z: tuple[Tensor, ...] | None = None) -> Up:
    """The encoder of x (B, inputs): clean, or on the z̃ that noise has made."""
    before, sums, corrupted = [x], [], [x if z is None else z[0]]
    h = corrupted[0]
    for i, (weight, beta) in enumerate(zip(w.up, w.beta, strict=True)):
        sums.append(h @ weight.T)
        before.append(normalised(sums[-1]))
        corrupted.append(before[-1] if z is None else z[i + 1])
        h = corrupted[-1] + beta
        if i < len(w.up) - 1:
            h = h * (h > 0)
    return Up(corrupted, before, sums, h * w.gamma)


def decode(w: Weights, up: Up) -> list[Tensor]:
    """ẑ of each layer, the input's first."""
    power = torch.exp(up.logits)
    u = normalised(power / power.sum(1, keepdim=True))
    found = [combine(up.z[-1], u, w.a[-1])]
    for i in reversed(range(len(w.down))):
        u = normalised(found[-1] @ w.down[i].T)
        found.append(combine(up.z[i], u, w.a[i]))
    return found[::-1]


def costs(clean: Up, guesses: list[Tensor]) -> list[Tensor]:
    """‖z − ẑ_BN‖² (B,) of each layer: the input's ẑ as it is, the others' normalised by the clean
    sums' statistics."""
    found = [((clean.z[0] - guesses[0]) ** 2).sum(1)]
    for z, total, guess in zip(clean.z[1:], clean.sums, guesses[1:], strict=True):
        mean, std = moments(total)
        found.append(((z - (guess - mean) / std) ** 2).sum(1))
    return found
