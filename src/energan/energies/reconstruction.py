"""U(x) = ‖Dec(Enc(x)) − x‖: the auto-encoder energy of EBGAN (Zhao et al. 2017, eq. 13)."""

from typing import Literal

import torch
from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact, through

Reduction = Literal["l2", "sum", "mean"]
Code = Literal["raw", "activated"]


def reconstruction_energy(
    x: Tensor, reconstruction: Tensor, event_dims: int, reduction: Reduction = "l2"
) -> Tensor:
    """Reconstruction error of each example (Zhao et al. 2017, eq. 13).

    Neither argument is detached: the generator's gradient flows through both.

    Args:
        x: examples, (..., B, *event).
        reconstruction: the same shape.
        event_dims: number of dimensions of an example.
        reduction: "l2" for the ℓ2 norm of the difference, as published; "sum" for its square;
            "mean" for the mean square. A margin is meaningful only for the reduction that it was
            set for.

    Returns:
        (..., B), ≥ 0.
    """
    difference = (exact(reconstruction) - exact(x)).flatten(-event_dims)
    if reduction == "l2":
        norm: Tensor = torch.linalg.vector_norm(difference, dim=-1)
        return norm
    squares = difference.square()
    return squares.sum(-1) if reduction == "sum" else squares.mean(-1)


class Reconstruction(Energy):
    """Energy of an auto-encoder: its reconstruction error, with the code for the pulling-away term.

    Args:
        network: from x (B, *event), and labels if it takes them, to (reconstruction, raw code,
            activated code).
        event_dims: number of dimensions of an example.
        reduction: see `reconstruction_energy`.
        code: "raw" for the encoder's output before norm and ReLU, "activated" for after them.
    """

    nonnegative = True

    def __init__(
        self,
        network: nn.Module,
        event_dims: int,
        reduction: Reduction = "l2",
        code: Code = "raw",
    ) -> None:
        super().__init__()
        self.network = network
        self.event_dims = event_dims
        self.reduction: Reduction = reduction
        self.code: Code = code

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        reconstruction, raw, activated = through(self.network, x, condition, stream)
        code = raw if self.code == "raw" else activated
        batch_dims = x.dim() - self.event_dims
        return Scored(
            energy=reconstruction_energy(x, reconstruction, self.event_dims, self.reduction),
            # Maps in channels-last order, which copies nothing there; angles know no order.
            code=code.movedim(1, -1).flatten(1) if code.dim() == 4 else code.flatten(batch_dims),
            reconstruction=reconstruction,
        )
