"""Several members as one program: their parameters and buffers stacked on a leading axis."""

from collections.abc import Sequence
from copy import deepcopy
from types import BuiltinFunctionType, FunctionType
from typing import TypeVar

import torch
from torch import nn

from energan.core import Model, Objective, SettingError

Network = TypeVar("Network", bound=nn.Module)


def stack(networks: Sequence[Network]) -> Network:
    """One network whose every parameter and buffer is (M, ...), member i being networks[i].

    A single network is returned as it is. A plain attribute that a layer names in `apart`, such as
    a dropout rate, becomes the tuple of the members' values where they differ.
    Raises SettingError if the members' shapes differ, or if a layer that holds parameters does not
    take the member axis.
    """
    if len(networks) == 1:
        return networks[0]
    if layer := without_axis(networks[0]):
        raise SettingError(
            f"{layer} cannot train several seeds as one program: train them as separate runs"
        )
    stacked = deepcopy(networks[0])
    others = [dict(n.named_modules()) for n in networks]
    for name, own in stacked.named_modules():
        try:
            for key, parameter in own._parameters.items():
                if parameter is not None:
                    parts = [getattr(modules[name], key).detach() for modules in others]
                    own._parameters[key] = nn.Parameter(torch.stack(parts))
            for key, buffer in own._buffers.items():
                if buffer is not None:
                    parts = [getattr(modules[name], key) for modules in others]
                    own._buffers[key] = torch.stack(parts)
            for key in _apart(own):
                values = tuple(getattr(modules[name], key) for modules in others)
                setattr(own, key, values[0] if len(set(values)) == 1 else values)
        except (RuntimeError, KeyError, AttributeError) as error:
            raise SettingError(
                f"seeds that train together may differ in values, not in shapes, and {name} "
                "differs in shape"
            ) from error
    return stacked


PLAIN = (bool, int, float, str, tuple, type(None))
Traits = dict[str, object]


def check_members(models: Sequence[Model]) -> None:
    """Raise SettingError unless the members differ in nothing but what a cohort keeps apart.

    Apart are weights, seeds, scheduled values, optimisers, and what layers name in `apart`. All
    else is the first member's: see `traits`.
    """
    first = traits(models[0])
    for other in models[1:]:
        of_other = traits(other)
        differing = [name for name in first if first[name] != of_other[name]]
        if differing:
            raise SettingError(
                f"seeds that train together differ in {' and '.join(differing)}: train those "
                "that differ as separate runs"
            )


def traits(model: Model) -> Traits:
    """What members of a cohort have in common, beside shapes: name -> what compares equal."""
    return {
        "the objective": _plain(model.objective),
        "k": model.energy_steps,
        "the scheduled values": sorted(model.hyper),
        "their labels": (model.conditional, model.labelled),
        "the energy's layers": _layers(model.energy),
        "the sampler's layers": _layers(model.sampler),
    }


def shapes(model: Model) -> list[tuple[str, tuple[int, ...]]]:
    """Of every parameter and buffer, by name."""
    networks = nn.ModuleDict({"energy": model.energy, "sampler": model.sampler})
    tensors = (*networks.named_parameters(), *networks.named_buffers())
    return [(name, tuple(tensor.shape)) for name, tensor in tensors]


def without_axis(network: nn.Module) -> str | None:
    """Which layer takes no member axis; None if there is none.

    Without `takes_members` that is one that holds parameters or buffers.
    """
    for name, layer in network.named_modules():
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        if not getattr(layer, "takes_members", not own):
            kind = type(layer).__name__
            return f"{name} ({kind})" if name else kind
    return None


def _apart(layer: nn.Module) -> tuple[str, ...]:
    """The plain attributes that each member has its own of."""
    return getattr(layer, "apart", ())


def _layers(network: nn.Module) -> list[object]:
    return [(name, _plain(layer, _apart(layer))) for name, layer in network.named_modules()]


def _plain(thing: object, apart: Sequence[str] = ()) -> tuple[object, ...]:
    """Its type and its plain attributes, but those in `apart`; of an objective within, the same."""
    values = [
        (name, _plain(value) if isinstance(value, Objective) else _known(value))
        for name, value in sorted(vars(thing).items())
        if (isinstance(value, (*PLAIN, Objective)) or callable(value))
        and not name.startswith("_")
        and name not in apart
    ]
    return _known(type(thing)), values


def _known(value: object) -> object:
    """A function or class by its name, so that two processes agree; all else as it is."""
    if (
        not isinstance(value, type | FunctionType | BuiltinFunctionType)
        or "<" in value.__qualname__
    ):
        return value
    return f"{value.__module__}.{value.__qualname__}"


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
