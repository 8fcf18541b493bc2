"""Whether an energy, a sampler and an objective give what the contracts ask for.

A wrong type or shape would end in a traceback elsewhere, or in wrong numbers; here it is one
sentence. All checks are of types and shapes, and wait for no number.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from energan.core import (
    Batch,
    Draw,
    Loss,
    Objective,
    Sampler,
    Scored,
    SettingError,
    State,
    describe,
    exact,
)


def check_scored(
    energy: nn.Module, given: tuple[Tensor, ...], named: Mapping[str, Any], found: object
) -> None:
    """A forward hook: raise SettingError unless `found` is a Scored of as many energies as there
    are x."""
    if not isinstance(found, Scored):
        raise _wrong(energy, "forward", "a Scored", found)
    count = len(given[0] if given else named["x"])
    if not isinstance(found.energy, Tensor) or found.energy.shape[:1] != (count,):
        raise _wrong(energy, "forward", f"energies of {count} examples", found.energy)


def checked_draw(
    sampler: Sampler, found: object, batch: Batch, state: State, members: int
) -> tuple[Draw | None, State]:
    """What `Sampler.draw` gave, x in full precision and figures without a graph.

    state: from before. Raises SettingError for another type, for x of another event than the
    batch's, or for a state whose names, shapes or types changed: no checkpoint could restore it.
    """
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], Mapping):
        raise _wrong(sampler, "draw", "(a Draw or None, the state)", found)
    draw, after = found
    if _types(after) != _types(state):
        raise SettingError(
            f"{type(sampler).__name__}.draw: the state must keep its names, shapes and types, "
            f"{_told(state)}, and became {_told(after)}"
        )
    after = {name: value.detach() for name, value in after.items()}
    if draw is None:
        return None, after
    if not isinstance(draw, Draw) or not isinstance(draw.x, Tensor):
        raise _wrong(sampler, "draw", "a Draw or None", draw)
    lead = 1 if members == 1 else 2
    if draw.x.dim() < lead or draw.x.shape[lead:] != batch.x.shape[lead:]:
        raise SettingError(
            f"{type(sampler).__name__}.draw: x must have the shape and type of the batch's "
            f"examples, {tuple(batch.x.shape)}, and is {tuple(draw.x.shape)}"
        )
    info = _figures(
        sampler, "draw: info", draw.info, members, "; put other tensors into Draw.extra"
    )
    return replace(draw, x=exact(draw.x), info=info), after


def checked_loss(objective: Objective, method: str, found: object, members: int) -> Loss:
    """What an objective's `method` gave, its parts without a graph."""
    if not isinstance(found, Loss):
        raise _wrong(objective, method, "a Loss", found)
    total = found.total
    if not isinstance(total, Tensor) or not total.is_floating_point() or total.numel() != members:
        raise _wrong(objective, f"{method}: total", f"one number for each member, ({members},)",
                     total)  # fmt: skip
    parts = _figures(objective, f"{method}: parts", found.parts, members)
    return Loss(total.reshape(members), parts)


def digest(state: State) -> str:
    """Of the numbers in a state."""
    found = blake2b(digest_size=16)
    for name in sorted(state):
        found.update(state[name].detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _types(state: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: (getattr(v, "shape", None), getattr(v, "dtype", None), type(v) is Tensor)
            for name, v in state.items()}  # fmt: skip


def _told(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_type_of(value)}" for name, value in state.items()) or "nothing"


def _figures(
    of: object, where: str, found: object, members: int, remedy: str = ""
) -> dict[str, Tensor]:
    """Named values for the log, one for each member."""
    if not isinstance(found, Mapping):
        raise _wrong(of, where, "named values for the log", found)
    for name, value in found.items():
        if not isinstance(value, Tensor) or value.numel() != members:
            raise _wrong(
                of, f"{where} {name!r}", f"one number for each member, ({members},)", value, remedy
            )
    return {name: value.detach().reshape(members) for name, value in found.items()}


def _type_of(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def _wrong(of: object, where: str, wanted: str, found: object, remedy: str = "") -> SettingError:
    return SettingError(
        f"{type(of).__name__}.{where} must return {wanted}, and returned "
        f"{describe(_type_of(found))}" + remedy
    )
