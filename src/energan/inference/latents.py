"""Latents of a generator, the ways from one to another, and what it makes of them."""

import torch
from torch import Tensor

from energan.core import Randomness, attach, through
from energan.inference.conditions import check_room
from energan.inference.run import Run
from energan.samplers.generator import Generator, latent

AT_ONCE = 250


def draw(run: Run, count: int, seed: int = 0) -> Tensor | None:
    """z (count, L) from the generator's prior; None if the sampler is no generator."""
    if not isinstance(run.sampler, Generator):
        return None
    check_room(count, run.sampler.latent_size + run.domain.size, "latents, with what they give,")
    randomness = Randomness([seed], run.engine.device).at("report", "latents")
    return latent(randomness, run.sampler.prior, count, run.sampler.latent_size)


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
