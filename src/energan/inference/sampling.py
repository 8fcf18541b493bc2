"""Samples of a run in chunks, and what is said of the checkpoint that they are of."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from energan.core import Context, Energy, Sampler, State
from energan.inference.conditions import examples_at_once
from energan.io.console import warn


def warn_of_checkpoints(
    path: str | Path, warnings: Sequence[str], used: str, *, untrained: bool
) -> None:
    """Of each checkpoint that cannot be used, and of a best one that is of step 0."""
    for warning in warnings:
        warn(f"{warning}; using {used} instead")
    if untrained:
        warn(
            f"{path}: the best checkpoint is that of step 0, which is untrained: no later one "
            "scored better; use last, or train further"
        )


def draw_samples(
    sampler: Sampler,
    energy: Energy,
    count: int,
    conditions: Tensor | None,
    state: State,
    context_at: Callable[[int], Context],
) -> Tensor | None:
    """`count` finished samples, some at a time, on the CPU; None if the sampler makes none."""
    chunk = count if sampler.samples_at_once else examples_at_once(conditions)
    parts = []
    for start in range(0, count, chunk):
        context = context_at(start)
        part = conditions
        if conditions is not None:
            part = conditions[start : start + chunk].to(context.generator.device)
        made = sampler.sample(energy, min(chunk, count - start), part, state, context)
        if made is None:
            return None
        parts.append(made.x.float().cpu())
    return torch.cat(parts)
