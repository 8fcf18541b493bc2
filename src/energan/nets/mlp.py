"""Fully connected networks as the papers build them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from energan.core import Domain, SettingError
from energan.nets.dense import (
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    Maxout,
    ReLU,
    Sequential,
    Unflatten,
)

Output = Literal["linear", "tanh", "sigmoid"]
Widths = tuple[Annotated[int, Field(ge=1)], ...]
"""Type of a setting for layer widths."""
OUTPUTS: dict[str, type[nn.Module]] = {
    "linear": nn.Identity,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def check_output(output: Output, domain: Domain) -> None:
    """Raise SettingError if a generator with this output unit cannot reach the data's range."""
    bounded: dict[tuple[float | None, float | None], str]
    bounded = {(-1.0, 1.0): "tanh", (0.0, 1.0): "sigmoid"}
    needed = bounded.get((domain.low, domain.high), "linear")
    if output not in (needed, "linear"):
        raise SettingError(
            f"model.output: {output} does not fit "
            + (
                "unbounded data; use linear (--model.output linear)"
                if domain.low is None
                else f"data in [{domain.low:g}, {domain.high:g}]; use {needed}, or set data.range"
            )
        )


def hidden_layers(
    sizes: Sequence[int], *, norm: bool, norm_first: bool, dropout: float = 0.0
) -> list[nn.Module]:
    """Weight layers sizes[0] -> sizes[1] -> ..., each with its ReLU and dropout.

    norm: batch norm after each; norm_first: also after the first, which a discriminator goes
    without (Radford et al. 2015: none at D's input).
    """
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        normed = norm and (i > 0 or norm_first)
        layers.append(Dense(inputs, outputs, bias=not normed))
        if normed:
            layers.append(BatchNorm(outputs))
        layers.append(ReLU(dropout))
    return layers


def mlp_generator(
    latent: int, hidden: Sequence[int], shape: tuple[int, ...], *, norm: bool, output: Output
) -> Sequential:
    """z (B, latent) -> x (B, *event): hidden ReLU layers, batch norm in all but the output."""
    sizes = [latent, *hidden]
    size = torch.Size(shape).numel()
    return Sequential(
        *hidden_layers(sizes, norm=norm, norm_first=True),
        Dense(sizes[-1], size),
        OUTPUTS[output](),
        Unflatten(shape),
    )


def mlp_logit(
    shape: tuple[int, ...], hidden: Sequence[int], *, norm: bool, dropout: float = 0.0
) -> Sequential:
    """x (B, *event) -> logit (B, 1) through ReLU layers."""
    sizes = [torch.Size(shape).numel(), *hidden]
    return Sequential(
        Flatten(shape),
        *hidden_layers(sizes, norm=norm, norm_first=False, dropout=dropout),
        Dense(sizes[-1], 1),
    )


def maxout_logit(
    shape: tuple[int, ...],
    hidden: Sequence[int],
    pieces: int,
    *,
    input_dropout: float,
    dropout: float,
) -> Sequential:
    """x (B, *event) -> logit (B, 1) through maxout layers with dropout (Goodfellow et al. 2014)."""
    sizes = [torch.Size(shape).numel(), *hidden]
    layers: list[nn.Module] = [Flatten(shape), Dropout(input_dropout)]
    for inputs, outputs in pairwise(sizes):
        layers += [Maxout(inputs, outputs, pieces), Dropout(dropout)]
    return Sequential(*layers, Dense(sizes[-1], 1))


@torch.no_grad()
def set_weights(network: nn.Module, kind: Literal["normal", "uniform"], scale: float) -> None:
    """Draw the weights of all linear layers from N(0, scale²) or U(−scale, scale), biases 0.

    Linear are the layers whose `weight` has two axes or more: dense ones and convolutions.
    """
    for layer in network.modules():
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if not isinstance(weight, Tensor) or weight.dim() < 2:
            continue
        if kind == "normal":
            weight.normal_(0, scale)
        else:
            weight.uniform_(-scale, scale)
        if isinstance(bias, Tensor):
            bias.zero_()


@torch.no_grad()
def set_output_mean(generator: Sequential, mean: Tensor, output: Output) -> None:
    """Set the last bias so that the generator starts at the mean example (the 2014 GAN's start)."""
    flat = mean.flatten()
    if output == "sigmoid":
        flat = flat.double().clamp(1e-7, 1 - 1e-7).logit()  # always black: as the 2014 code has it
    elif output == "tanh":
        flat = flat.double().clamp(-1 + 2e-7, 1 - 2e-7).atanh()
    last = [layer for layer in generator if isinstance(layer, Dense)][-1]
    assert last.bias is not None
    last.bias.copy_(flat)


def smooth_mlp(size: int, hidden: Sequence[int], *, beside: int = 0, spectral: bool) -> Sequential:
    """x (B, size) -> (B, 1) through SiLU layers: an energy whose gradient is smooth.

    beside: further numbers that come with x, such as a label one-hot. spectral: the largest
    singular value of each weight is 1.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([size + beside, *hidden, 1]):
        dense = Dense(inputs, outputs)
        layers += [spectral_norm(dense) if spectral else dense, nn.SiLU()]
    return Sequential(*layers[:-1])
