"""Latents of a generator, the ways from one to another, and what it makes of them."""

import torch
from torch import Tensor

from energan.core import PerSample, Randomness, attach, through
from energan.inference.conditions import check_room, classes_in_turn
from energan.inference.run import Run
from energan.samplers.generator import Generator, Prior, latent

AT_ONCE = 250
STEP = 0.01
"""Of the differences that a Jacobian is made of."""


def draw(run: Run, count: int, seed: int = 0) -> Tensor | None:
    """z (count, L) from the generator's prior; None if the sampler is no generator."""
    if not isinstance(run.sampler, Generator):
        return None
    check_room(count, run.sampler.latent_size + run.domain.size, "latents, with what they give,")
    randomness = Randomness([seed], run.engine.device).at("report", "latents")
    return latent(randomness, run.sampler.prior, count, run.sampler.latent_size)


def draw_sampled(run: Run, count: int, seed: int = 0, cut: float | None = None) -> Tensor | None:
    """z (count, L) of which `run.sample(count, seed)` makes its samples; None if the sampler is no
    generator, or makes them of something else too. cut: truncates them, see `truncate`."""
    if not isinstance(run.sampler, Generator) or run.given:
        return None
    check_room(count, run.sampler.latent_size + run.domain.size, "latents, with what they give,")
    randomness = PerSample(seed, run.domain.shape, run.engine.device).at("sample", 0)
    z = latent(randomness, run.sampler.prior, count, run.sampler.latent_size)
    return z if cut is None else truncate(z, cut, run.sampler.prior)


def truncate(z: Tensor, cut: float, prior: Prior) -> Tensor:
    """Latents of the prior truncated to [−cut, cut], each number of the same rank as in z (N, L).

    The truncation trick (Brock, Donahue and Simonyan 2019) without drawing anew: with F the prior's
    distribution function, F⁻¹(F(−c) + F(z)(F(c) − F(−c))).
    """
    if prior != "normal":
        bound = 1.0 if prior == "uniform" else 3**0.5
        return z.mul(min(cut / bound, 1.0))
    tail = torch.special.ndtr(torch.tensor(-cut, dtype=torch.float64, device=z.device))
    share = tail + torch.special.ndtr(z.double()) * (1 - 2 * tail)
    found: Tensor = torch.special.ndtri(share)
    return found.clamp(-cut, cut).to(z.dtype)


def directions(run: Run, z: Tensor, count: int, labels: Tensor | None = None) -> Tensor:
    """The orthonormal directions (count, L) in which G changes most at z (1, L), the first most.

    The left singular vectors of its Jacobian, by central differences. The largest number of each is
    positive. labels: (1,), of a conditional run. With fewer latents than `count` the rest is 0.
    """
    size = z.shape[1]
    steps = STEP * torch.eye(size, device=z.device)
    every = None if labels is None else labels.expand(size)
    ahead, behind = (generate(run, z + side * steps, every) for side in (1, -1))
    jacobian = (ahead - behind).flatten(1).double() / (2 * STEP)  # (L, D)
    vectors = torch.linalg.eigh(jacobian @ jacobian.T).eigenvectors.flip(1).T[:count]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    found = z.new_zeros(count, size)
    found[: len(vectors)] = (vectors * largest.sign()).to(z)
    return found


def labels_for(run: Run, labels: Tensor | None, count: int) -> Tensor | None:
    """The labels (count,) that a conditional run needs: as given, or its classes in turn."""
    if run.classes is None:
        return None
    found = classes_in_turn(count, run.classes) if labels is None else labels
    return found.to(run.engine.device)


def row_labels(run: Run, rows: int, steps: int) -> Tensor | None:
    """Labels (rows * steps,) of a conditional run that stay the same along a row; None else."""
    if run.classes is None:
        return None
    return (torch.arange(rows) % run.classes).repeat_interleave(steps).to(run.engine.device)


def linear(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """(N, L), (N, L) -> (N, steps, L), with both ends, along the straight line."""
    t = torch.linspace(0, 1, steps, device=a.device).view(1, steps, 1)
    return (1 - t) * a.unsqueeze(1) + t * b.unsqueeze(1)


def spherical(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """(N, L), (N, L) -> (N, steps, L), with both ends, along the great circle (Shoemake 1985).

    In between the norm stays near those of the ends, as normal latents have it in high dimensions.
    Ends that point the same or opposite ways leave no circle, and are joined by a straight line.
    """
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1)
    angle = cosine.acos().view(-1, 1, 1)
    t = torch.linspace(0, 1, steps, device=a.device).view(1, steps, 1)
    sine = angle.sin()
    safe = sine.clamp_min(1e-3)
    round_about = (
        ((1 - t) * angle).sin() * a.unsqueeze(1) + (t * angle).sin() * b.unsqueeze(1)
    ) / safe
    return torch.where(sine > 1e-3, round_about, linear(a, b, steps))


@torch.no_grad()
def generate(run: Run, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """G(z) in evaluation mode, float (len(z), *event) on the CPU.

    labels: (len(z),), of a conditional run.
    """
    generator = run.sampler
    assert isinstance(generator, Generator)
    attach(generator, Randomness([0], run.engine.device).at("report", "noise"))
    at_once = generator.at_once or AT_ONCE
    zs = z.split(at_once)
    conditions = [None] * len(zs) if labels is None else labels.split(at_once)
    parts = [through(generator.network, *of, "eval") for of in zip(zs, conditions, strict=True)]
    return torch.cat([part.float().cpu() for part in parts])
