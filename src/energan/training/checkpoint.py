"""A loop's whole state as tensors, saved and put back.

Randomness and data order are functions of (seed, step), so neither is saved.
"""

from pathlib import Path

import torch
from torch import Tensor

from energan.core import CheckpointError, State
from energan.training.checkpoint_folder import FORMAT, STATE, read, write
from energan.training.optimisers import Optimisers
from energan.training.train_state import TrainState


def weights_of(loop: TrainState) -> dict[str, Tensor]:
    """Parameters and buffers of both networks, raw and averaged."""
    weights = dict(loop.networks.state_dict())
    if loop.ema is not None:
        weights |= {f"ema.{k}": v for k, v in loop.ema.module.state_dict().items()}
    return {k: v.detach().contiguous() for k, v in weights.items()}


def save(folder: Path, loop: TrainState, *, estimated: bool = False) -> Path:
    """Write the loop's state, its statistics estimated, to `folder`/step-N and return that path.

    estimated: whether they are, of these weights.
    Raises DivergenceError, writing nothing, if a weight or an optimiser's average is not finite: a
    gradient can overflow without any loss having told.
    """
    if not estimated:
        loop.estimate_statistics()
    weights = weights_of(loop)
    state = {
        f"{network}.optimiser.{k}": v
        for network, optimisers in loop.optimisers.items()
        for k, v in optimisers.state().items()
    }
    state |= {f"sampler.state.{k}": v for k, v in loop.state.items()}
    state |= {f"objective.state.{k}": v for k, v in loop.objective_state.items()}
    for name, value in {**weights, **state}.items():
        rows = value.reshape(loop.members if value.dim() else 1, -1).isfinite().all(-1)
        for member in torch.nonzero(~rows).flatten().tolist():
            loop.drop_member(member, f"{name} is not finite at step {loop.step}")
    if loop.ema is not None:
        state["ema.updates"] = loop.ema.n_averaged
    meta = {
        "format": FORMAT,
        "step": loop.step,
        "seeds": list(loop.randomness.seeds),
        "rate_scale": loop.rate_scale.tolist(),
        "diverged": {str(k): v for k, v in loop.diverged.items()},
    }
    return write(folder, weights, {k: v.contiguous() for k, v in state.items()}, meta)


def restore(path: Path, loop: TrainState) -> None:
    """Put the loop back to where the checkpoint was written. Raises CheckpointError."""
    found = read(path)
    meta, weights, state = found.meta, found.weights, found.state
    if meta.seeds != list(loop.randomness.seeds):
        raise CheckpointError(
            f"{path} was trained with seeds {meta.seeds}, not {list(loop.randomness.seeds)}"
        )
    load_weights(loop.networks, weights, path)
    if loop.ema is not None:
        load_weights(loop.ema.module, select(weights, "ema."), path)
        check_like({"ema.updates": loop.ema.n_averaged}, state, path)
        loop.ema.n_averaged.copy_(state["ema.updates"])
    for network, optimisers in loop.optimisers.items():
        own = select(state, f"{network}.optimiser.")
        _check_optimisers(optimisers, own, path / STATE)
        optimisers.load(own)
    loop.state = _state_of(loop, loop.state, select(state, "sampler.state."), path)
    of_objective = select(state, "objective.state.")
    loop.objective_state = _state_of(loop, loop.objective_state, of_objective, path)
    loop.step = meta.step
    loop.rate_scale = torch.tensor(meta.rate_scale)
    loop.diverged = {int(k): v for k, v in meta.diverged.items()}
    loop.drop_figures()


def _state_of(loop: TrainState, own: State, stored: State, path: Path) -> State:
    """What is stored of a state as `own`, on the loop's device. Raises CheckpointError."""
    check_like(own, stored, path)
    return {name: stored[name].to(loop.engine.device) for name in own}


def check_like(own: dict[str, Tensor], stored: dict[str, Tensor], path: Path) -> None:
    """Raise CheckpointError unless all of `own` is stored, alike."""
    for name, value in own.items():
        there = stored.get(name)
        if there is None:
            raise CheckpointError(f"{path / STATE} has no {name}: it belongs to another model")
        if (there.shape, there.dtype) != (value.shape, value.dtype):
            raise CheckpointError(
                f"{path / STATE}: {name} is {_type_of(there)} there and {_type_of(value)} here; "
                "use the settings it was trained with"
            )


def _check_optimisers(optimisers: Optimisers, stored: dict[str, Tensor], file: Path) -> None:
    """Raise CheckpointError unless the optimiser's tensors fit the parameters, and are complete:
    torch's fused kernels take both for granted."""
    named = dict(optimisers.named)
    counter = torch.zeros(optimisers.members if optimisers.members > 1 else ())
    items: dict[str, set[str]] = {}
    for key in stored:
        name, _, item = key.rpartition("/")
        if name not in named:
            raise CheckpointError(
                f"{file} has {key}, which matches no parameter: it belongs to another model"
            )
        check_like({key: counter if item == "step" else named[name]}, stored, file.parent)
        items.setdefault(name, set()).add(item)
    adam = {"step", "exp_avg", "exp_avg_sq"}
    for name, found in items.items():
        if found & adam and not found >= adam:
            lacking = ", ".join(sorted(adam - found))
            raise CheckpointError(f"{file} lacks {lacking} for {name}: it was altered")


def _type_of(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def load_weights(networks: torch.nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Copy `weights` into `networks`, which must have the same names and shapes."""
    own = networks.state_dict()
    for name, value in own.items():
        if name not in weights:
            raise CheckpointError(f"{path} has no weights {name}: it belongs to another model")
        if weights[name].shape != value.shape:
            raise CheckpointError(
                f"{path}: {name} is {tuple(weights[name].shape)} there and "
                f"{tuple(value.shape)} here; use the settings it was trained with"
            )
    networks.load_state_dict({name: weights[name] for name in own})


def select(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries under `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
