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
    """Compute U(x) and its gradient with respect to x.

    Args:
        energy: function from x to U(x), one number per example.
        x: (B, *event), or (M, B, *event) for M seeds that train together. Its own graph is not
            followed.
        members: number of seeds, M.
        create_graph: if True, the results have a graph, so that a loss made of them (a gradient
            penalty, say) trains the energy; if False they are detached.
        autocast: if True, keep the caller's half precision, for speed; gradients are then off by
            a few per cent.

    Returns:
        U(x), (B,) or (M, B), and the gradient, of the shape of x.

    Raises:
        ValueError: if `energy` does not return one number per example.
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
    """Return the function x -> U(x) of an energy.

    Args:
        energy: the energy.
        condition: labels or conditions to fix; None for none.
        stream: the stream that it is called with.
        members: number of seeds that train together.

    Returns:
        A function from (B, *event) to (B,); the energies of cells are averaged.
    """

    def of(x: Tensor) -> Tensor:
        return mean_energy(exact(energy(x, condition, stream=stream).energy), members)

    return of


def mean_energy(energy: Tensor, members: int = 1) -> Tensor:
    """Average the energies of cells, (..., *cells), to (B,), or (M, B) for M seeds."""
    lead = 1 if members == 1 else 2
    return energy if energy.dim() == lead else energy.flatten(lead).mean(lead)
