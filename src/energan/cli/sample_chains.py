"""`energan sample --chains`: long chains on the energies of runs, and pictures of their ways."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from energan.cli.options import target_of
from energan.cli.run_options import (
    chain_rule,
    open_run_at,
    open_training_data,
    provenance,
)
from energan.inference.chain_traces import Mixing
from energan.inference.chains import ChainSamples, sample_chains
from energan.inference.composition import TrainedEnergy
from energan.inference.labels import class_number
from energan.inference.run import Run
from energan.io import pictures
from energan.io.console import show, table_of, warn
from energan.io.files import aside
from energan.io.text import plural
from energan.metrics.mixing import MIXED
from energan.report.figures.chains import draw_paths, draw_strip
from energan.samplers.hamiltonian import FRICTION, LEAPFROG
from energan.samplers.kernels import Dynamics, kernel_of
from energan.training.checkpoint_choice import Weights

OUT = Path("samples.png")
IMAGES, POINTS = 10, 200
"""Snapshots of each chain."""
RISEN = 10
"""Rise of the energy, in standard deviations at the start, above which a warning is given."""


@dataclass(frozen=True, kw_only=True)
class ChainOptions:
    """What `energan sample --chains` asks for; see there."""

    runs: tuple[str, ...]
    chains: int
    out: Path = OUT
    seed: int
    label: str | None
    weights: Weights | None
    checkpoint: str
    device: str
    steps: int = 500
    start: Literal["noise", "buffer", "data"] = "noise"
    turn: int = 10
    together: bool = False
    step_size: float | None = None
    noise: str | None = None
    clip: str | None = None
    dynamics: Dynamics | None = None
    leapfrog: int = LEAPFROG
    friction: float = FRICTION
    target_acceptance: float | None = None
    warmup: int | None = None
    anneal: float = 0.0
    labels: tuple[str, ...] = ()
    data: str | None = None


def follow(options: ChainOptions) -> int:
    """Follow the chains, write them, draw their ways, and tell their energies."""
    runs = [
        open_run_at(word, options.checkpoint, options.weights, options.device)
        for word in options.runs
    ]
    energies: list[TrainedEnergy] = list(runs)
    if options.together:
        energies = [sum(runs[1:], runs[0])]
    labels = _labels(runs, options)
    pictures.check_target(options.out, runs[0].domain)
    made = _followed(runs[0], energies, labels, options)
    _print_energies(runs, made, options)
    about, names = _about(runs, options), _conditional(runs).class_names
    target_of(options)
    if options.out.suffix == ".npz":
        _save(options.out, made, about, names)
    else:
        columns = None
        if made.labels is not None:
            columns = pictures.columns_in_turn(options.chains, len(made.labels.unique()))
        pictures.save_samples(
            options.out, made.x, runs[0].domain,
            about=about, columns=columns, labels=made.labels, class_names=names,
        )  # fmt: skip
    chains, steps = plural(options.chains, "chain"), plural(options.steps, "step")
    print(f"{chains} of {steps} from {options.start}: {options.out}")
    if options.out.suffix == ".png":
        print(f"paths of the chains: {_draw(energies, made, options.out)}")
    return 0


def _labels(runs: Sequence[Run], options: ChainOptions) -> Tensor | None:
    """The label of each chain, those that were named in turn; None if none was."""
    words = options.labels or (() if options.label is None else (options.label,))
    if not words:
        return None
    conditional = _conditional(runs)
    numbers = torch.tensor([class_number(conditional, word) for word in words])
    return numbers[torch.arange(options.chains) % len(words)]


def _conditional(runs: Sequence[Run]) -> Run:
    """The run whose classes labels are of."""
    return next((run for run in runs if run.classes), runs[0])


def _followed(
    first: Run, energies: list[TrainedEnergy], labels: Tensor | None, options: ChainOptions
) -> ChainSamples:
    kernel, rules = None, None
    if options.dynamics is not None:
        kernel = kernel_of(options.dynamics, options.leapfrog, options.friction)
    rule = options.step_size, options.noise, options.clip
    if rule != (None, None, None):
        rules = [chain_rule(energy, *rule, kernel) for energy in energies]
    return sample_chains(
        energies, options.chains,
        steps=options.steps, start=options.start, turn=options.turn, rules=rules,
        anneal=options.anneal, labels=labels, seed=options.seed, dynamics=kernel,
        target_acceptance=options.target_acceptance, warmup=options.warmup,
        snapshots=IMAGES if pictures.is_image(first.domain) else POINTS,
        data=open_training_data(first, options.data) if options.start == "data" else None,
    )  # fmt: skip


def _about(runs: Sequence[Run], options: ChainOptions) -> dict[str, Any]:
    each = [provenance(run, options.seed) for run in runs]
    of_all = {name: " ".join(str(one[name]) for one in each) for name in ("run", "step", "weights")}
    about = {**each[0], **of_all, "chain_steps": options.steps, "start": options.start}
    if len(runs) > 1:
        about["shared"] = "their sum" if options.together else f"turns of {options.turn}"
    return about


def _print_energies(runs: Sequence[Run], made: ChainSamples, options: ChainOptions) -> None:
    """The mean energy of the chains at some of the snapshots, by each energy."""
    names = [f"U {run.path.name}@{run.step}" for run in runs]
    table = table_of("step", *(["U sum"] if options.together else names))
    last = len(made.steps) - 1
    for i in sorted({round(k * last / (IMAGES - 1)) for k in range(IMAGES)}):
        means = made.energies[i].mean(-1).tolist()
        table.add_row(str(made.steps[i]), *(f"{mean:.5g}" for mean in means))
    show(table)
    start, end = made.energies[0].sum(0), made.energies[-1].sum(0)
    if float(end.mean()) > float(start.mean()) + RISEN * float(start.std(correction=0)):
        warn(
            "the energy of the chains rose far above its start: the step is too large for this "
            "energy; give a smaller --step-size, or a --clip"
        )
    if made.acceptance is not None:
        print(f"{float(made.acceptance.mean()):.0%} of the moves were accepted")
    if made.step_size is not None:
        print(f"step size {float(made.step_size.median()):.3g} after warm-up (median of chains)")
    if made.mixing is not None:
        _print_mixing(made.mixing)


def _print_mixing(mixing: Mixing) -> None:
    """Effective sample size and split R-hat after warm-up, and a warning if chains still differ."""
    print(
        f"effective sample size {mixing.ess:,.0f} of {mixing.draws:,} draws after warm-up, split "
        f"R-hat {mixing.rhat:.3f} (of U alone {mixing.energy_ess:,.0f}, {mixing.energy_rhat:.3f})"
    )
    if mixing.rhat > MIXED:
        warn(
            f"split R-hat is above {MIXED}: the chains still depend on where they began, so they "
            "do not sample the energy's density yet; use more --steps, or --dynamics hmc"
        )


def _save(path: Path, made: ChainSamples, about: dict[str, Any], names: Sequence[str]) -> None:
    """x, snapshots (S, N, *event), steps (S,), energies (S, R, N), and labels where there are."""
    arrays: dict[str, Any] = {
        "x": made.x.numpy(),
        "snapshots": made.snapshots.numpy(),
        "steps": np.array(made.steps),
        "energies": made.energies.numpy(),
    }
    if made.mixing is not None:
        arrays |= {name: np.array(value) for name, value in vars(made.mixing).items()}
    arrays |= pictures.label_arrays(made.labels, names)
    with aside(path) as writing:
        np.savez(writing, **arrays, **about)


def _draw(energies: list[TrainedEnergy], made: ChainSamples, out: Path) -> Path:
    """A strip of images, or the paths of points over the (mean) energy, beside `out`."""
    beside = out.with_name(f"{out.stem}-chains.png")
    if pictures.is_image(energies[0].domain):
        with aside(beside) as writing:
            draw_strip(made.snapshots, energies[0]).save(writing)
        return beside
    mean = energies[0]
    if len(energies) > 1:
        mean = (1 / len(energies)) * sum(energies[1:], energies[0])
    labels = [] if made.labels is None else made.labels.unique().tolist()
    label = labels[0] if len(labels) == 1 else None
    with aside(beside) as writing:
        draw_paths(made.snapshots, made.steps, mean, label).savefig(writing, dpi=100)
    return beside
