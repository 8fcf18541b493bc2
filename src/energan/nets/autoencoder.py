"""Auto-encoders, kept in three parts so that the code can be read at a chosen place."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from energan.core import Stream
from energan.nets.dense import BatchNorm, Dense, Flatten, ReLU, Sequential, Unflatten
from energan.nets.mlp import OUTPUTS, Output, hidden_layers

Join = Callable[[Tensor], Tensor]
"""Appends a label's channels to x, and to the code."""


def identity(x: Tensor) -> Tensor:
    """The join of an auto-encoder without labels."""
    return x


class AutoEncoder(nn.Module):
    """x -> encoder -> raw code -> bridge (norm, ReLU, dropout) -> decoder -> reconstruction."""

    def __init__(self, encoder: Sequential, bridge: Sequential, decoder: Sequential) -> None:
        super().__init__()
        self.encoder, self.bridge, self.decoder = encoder, bridge, decoder

    def forward(
        self, x: Tensor, stream: Stream, join: Join = identity
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(reconstruction (B, *event), raw code, code after the bridge)."""
        raw = self.encoder(join(x), stream)
        activated = self.bridge(raw, stream)
        return self.decoder(join(activated), stream), raw, activated


def mlp_autoencoder(
    shape: tuple[int, ...],
    encoder: Sequence[int],
    *,
    decoder: Sequence[int] = (),
    norm: bool,
    dropout: float = 0.0,
    output: Output = "linear",
    beside: int = 0,
) -> AutoEncoder:
    """Section 4.1 of Zhao et al. 2017: an encoder of ReLU layers, a decoder of one.

    encoder: its layer widths; the last is the code. decoder: hidden widths, none in the paper.
    Batch norm follows every weight layer but the first of the encoder (D's input) and the output.
    beside: further inputs of encoder and decoder, as of a label; the encoder's is flat then.
    """
    size = torch.Size(shape).numel()
    sizes = [size + beside, *encoder]
    code = sizes[-1]
    before = hidden_layers(sizes[:-1], norm=norm, norm_first=False, dropout=dropout)
    normed = norm and len(encoder) > 1
    bridge: list[nn.Module] = [BatchNorm(code)] if normed else []
    bridge.append(ReLU(dropout))
    after = hidden_layers([code + beside, *decoder], norm=norm, norm_first=True, dropout=dropout)
    last = decoder[-1] if decoder else code + beside
    flat: list[nn.Module] = [] if beside else [Flatten(shape)]
    return AutoEncoder(
        Sequential(*flat, *before, Dense(sizes[-2], code, bias=not normed)),
        Sequential(*bridge),
        Sequential(*after, Dense(last, size), OUTPUTS[output](), Unflatten(shape)),
    )
