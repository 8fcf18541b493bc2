"""Several members as one program: their parameters and buffers stacked on a leading axis."""

from collections.abc import Sequence
from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from energan.core import SettingError

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


def unstack(tensors: dict[str, torch.Tensor], member: int) -> dict[str, torch.Tensor]:
    """One member's part of stacked tensors."""
    return {name: t[member].clone() for name, t in tensors.items()}
