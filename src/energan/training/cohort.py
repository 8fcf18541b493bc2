"""Several members as one program: their parameters and buffers stacked on a leading axis."""

from collections.abc import Sequence
from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from energan.core import Model, SettingError

Network = TypeVar("Network", bound=nn.Module)


def stack(networks: Sequence[Network]) -> Network:
    """One network whose every parameter and buffer is (M, ...), member i being networks[i].

    A single network is returned as it is. Raises SettingError if the members' shapes differ, or if
    a layer that holds parameters does not take the member axis.
    """
    if len(networks) == 1:
        return networks[0]
    for name, layer in networks[0].named_modules():
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        if own and not getattr(layer, "takes_members", False):
            raise SettingError(
                f"{name or 'the network'} ({type(layer).__name__}) has no member axis: "
                "train the members as separate runs"
            )
    stacked = deepcopy(networks[0])
    others = [dict(n.named_modules()) for n in networks]
    for name, layer in stacked.named_modules():
        try:
            for key, parameter in layer._parameters.items():
                if parameter is not None:
                    parts = [getattr(modules[name], key).detach() for modules in others]
                    layer._parameters[key] = nn.Parameter(torch.stack(parts))
            for key, buffer in layer._buffers.items():
                if buffer is not None:
                    parts = [getattr(modules[name], key) for modules in others]
                    layer._buffers[key] = torch.stack(parts)
        except (RuntimeError, KeyError, AttributeError) as error:
            raise SettingError(
                f"members of a cohort differ in values, not shapes, and {name} differs in shape"
            ) from error
    return stacked


PLAIN = (bool, int, float, str, tuple, type(None))


def check_members(models: Sequence[Model]) -> None:
    """Raise SettingError unless the members differ in nothing but what a cohort keeps apart.

    Apart are weights, seeds, scheduled values and rates. All else is the first member's: the
    objective, k, and what the layers hold as plain attributes, such as a dropout rate.
    """
    first = models[0]
    for other in models[1:]:
        differing = [
            name
            for name, a, b in (
                ("the objective", _plain(first.objective), _plain(other.objective)),
                ("k", first.energy_steps, other.energy_steps),
                ("the scheduled values", first.hyper.keys(), other.hyper.keys()),
                ("the energy's layers", _layers(first.energy), _layers(other.energy)),
                ("the sampler's layers", _layers(first.sampler), _layers(other.sampler)),
            )
            if a != b
        ]
        if differing:
            raise SettingError(
                f"members of a cohort differ in {' and '.join(differing)}: train those that differ "
                "as separate runs"
            )


def _plain(thing: object) -> tuple[object, ...]:
    values = sorted((k, v) for k, v in vars(thing).items() if isinstance(v, PLAIN) or callable(v))
    return type(thing), [(k, v) for k, v in values if not k.startswith("_")]


def _layers(network: nn.Module) -> list[object]:
    return [(name, _plain(layer)) for name, layer in network.named_modules()]


@torch.no_grad()
def mask(tensors: Sequence[torch.Tensor], member: int) -> None:
    """Zero one member's part of stacked tensors, so that what is not finite stays nowhere."""
    for tensor in tensors:
        tensor[member] = 0


def share(own: nn.Module, stacked: nn.Module, member: int) -> None:
    """Make the tensors of a single network those of one member: views, so that each change of one
    is a change of the other."""
    of_all = {**dict(stacked.named_parameters()), **dict(stacked.named_buffers())}
    for name, tensor in (*own.named_parameters(), *own.named_buffers()):
        tensor.data = of_all[name].detach()[member]


def unstack(tensors: dict[str, torch.Tensor], member: int) -> dict[str, torch.Tensor]:
    """One member's part of stacked tensors."""
    return {name: t[member].clone() for name, t in tensors.items()}
