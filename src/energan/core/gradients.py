"""∇U(x): of chains, and of penalties that are trained through it."""

from contextlib import nullcontext

import torch
from torch import Tensor

from energan.core.chains import Function
from energan.core.contracts import Energy
from energan.core.streams import Stream
from energan.core.values import exact, full_precision


def value_and_gradient(
    energy: Function,
    x: Tensor,
    *,
    members: int = 1,
    create_graph: bool = False,
    autocast: bool = False,
) -> tuple[Tensor, Tensor]:
    """U(x) (B,) and ∇U(x) (B, *event); of a cohort (M, B) and (M, B, *event).

    x is taken as it is, without the graph that it comes from. create_graph: whether a loss may be
    made of both, as a gradient penalty is, which then trains the energy; else they have no graph.
    autocast: whether the caller's half precision stays on, as chains have it for speed: gradients
    are then off by some per cent. Raises ValueError if `energy` does not give one number for each
    x.
    """
    with torch.enable_grad(), nullcontext() if autocast else full_precision(x):
        x = (x if autocast else exact(x)).detach().requires_grad_()
        u = exact(energy(x))
        lead = x.shape[: 1 if members == 1 else 2]
        if u.shape != lead:
            raise ValueError(
                f"the energy must return one number for each of {lead.numel()} examples, shape "
                f"{tuple(lead)}: it returned {tuple(u.shape)}"
            )
        (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=create_graph)
    return u if create_graph else u.detach(), gradient


def potential(
    energy: Energy, condition: Tensor | None = None, stream: Stream = "eval", *, members: int = 1
) -> Function:
    """U(x) of an energy under a condition; the mean over cells of one that has cells."""

    def of(x: Tensor) -> Tensor:
        return mean_energy(exact(energy(x, condition, stream=stream).energy), members)

    return of


def mean_energy(energy: Tensor, members: int = 1) -> Tensor:
    """(B,), or (M, B), of energies, or of those of cells (..., *cells) their mean."""
    lead = 1 if members == 1 else 2
    return energy if energy.dim() == lead else energy.flatten(lead).mean(lead)
