"""`energan sample`: draws of a run, or with `--chains` long chains on energies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor

from energan.cli.options import (
    Checkpoint,
    ComputeDevice,
    GradientClip,
    PictureTarget,
    StepNoise,
    StepSize,
    Weights,
    parse,
    target_of,
)
from energan.cli.run_options import open_run_at, provenance
from energan.cli.sample_chains import OUT, ChainOptions, follow
from energan.core import SettingError
from energan.inference.conditions import classes_in_turn
from energan.inference.labels import class_number
from energan.inference.run import Run
from energan.io import pictures
from energan.io.text import plural

OF_CHAINS = (
    "steps", "start", "turn", "together", "step_size", "noise", "clip", "dynamics", "leapfrog",
    "friction", "target_acceptance", "warmup", "anneal", "labels", "data",
)  # fmt: skip
"""Options that apply only to chains."""


@dataclass
class Sample:
    """Draw samples from a run and write them as a picture, an array or a folder of pictures.

    --chains runs Langevin dynamics or HMC on the energy of any run instead. With several runs,
    or several checkpoints of one run (RUN@2000 RUN@4000), the chains take turns on their
    energies. The path of the chains is drawn next to a .png, or stored in an .npz.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """the run's folder; RUN@STEP (or @best, @last) for one of its checkpoints"""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """number of samples (default 64; for a .png of a conditional model, 8 of each class)"""
    out: PictureTarget = OUT
    seed: int = 0
    """seed of the samples"""
    label: str | None = None
    """for a conditional model: the class to draw, by name or number; by default all classes in
    turn"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"
    chains: int | None = None
    """sample the energy with this many chains"""
    steps: int | None = None
    """steps of each chain (default 500)"""
    start: Annotated[Literal["noise", "buffer", "data"] | None, tyro.conf.arg(name="from")] = None
    """where chains start: noise, the run's replay buffer, or training data (default noise)"""
    turn: int | None = None
    """with several energies: steps on one before the next takes over (default 10)"""
    together: bool = False
    """with several energies: sample from their sum instead of taking turns"""
    step_size: StepSize = None
    noise: StepNoise = None
    clip: GradientClip = None
    dynamics: Literal["langevin", "mala", "hmc", "underdamped"] | None = None
    """how chains move: langevin (approximate), underdamped, or mala and hmc, which reject some
    moves to sample the energy's density exactly; by default as in training"""
    leapfrog: int | None = None
    """hmc: gradient steps per move (default 10)"""
    friction: float | None = None
    """underdamped: how fast momentum decays (default 1)"""
    target_acceptance: float | None = None
    """mala and hmc: adapt each chain's step size to this acceptance rate during warm-up (hmc: 0.8
    by default, unless --step-size is given)"""
    warmup: int | None = None
    """number of first steps that effective sample size and R-hat leave out (default half of
    --steps)"""
    anneal: float | None = None
    """fraction of the steps, at the end, during which step size and noise fall to 0 (default 0)"""
    labels: tuple[str, ...] = ()
    """for conditional energies: the classes to sample, the same number of each"""
    data: str | None = None
    """with --from data: the training data's new place, if it was moved"""


def sample(args: list[str]) -> int:
    options = parse(Sample, args, "energan sample")
    if not options.runs:
        raise SettingError(
            "name a run, for example `energan sample runs/x`; `energan runs` lists them"
        )
    of_chains = {name: getattr(options, name) for name in OF_CHAINS}
    if options.chains is not None:
        _check_chains(options)
        return follow(_chain_options(options, options.chains, of_chains))
    _check_draws(options, of_chains)
    run = open_run_at(options.runs[0], options.checkpoint, options.weights, options.device)
    pictures.check_target(options.out, run.domain)
    labels, columns = _labels(run, options)
    count = (64 if options.n is None else options.n) if labels is None else len(labels)
    x = run.sample(count, seed=options.seed, condition=labels)
    about = provenance(run, options.seed)
    if options.label is not None:
        about["label"] = options.label
    path = pictures.save_samples(
        target_of(options), x, run.domain,
        about=about, columns=columns, labels=labels, class_names=run.class_names,
    )  # fmt: skip
    of = "" if labels is None else f" ({_spread(labels, run.class_names)})"
    print(
        f"{plural(len(x), 'sample')}{of} of step {run.step} ({run.weights} weights, seed "
        f"{options.seed}): {path}"
    )
    return 0


def _check_chains(options: Sample) -> None:
    """Raise SettingError for options of chains that do not go together."""
    if options.n is not None:
        raise SettingError("--chains sets the number of samples: leave -n out")
    if options.label is not None and options.labels:
        raise SettingError("--label and --labels cannot be combined: give one of them")
    if len(options.runs) == 1 and (options.together or options.turn is not None):
        raise SettingError("--together and --turn need several energies: name more runs")
    if options.together and options.turn is not None:
        raise SettingError("--together uses the sum at each step: leave --turn out")
    if options.leapfrog is not None and options.dynamics != "hmc":
        raise SettingError(
            "--leapfrog applies to --dynamics hmc only: add it, or leave --leapfrog out"
        )
    if options.friction is not None and options.dynamics != "underdamped":
        raise SettingError(
            "--friction applies to --dynamics underdamped only: add it, or leave --friction out"
        )
    if options.data is not None and options.start != "data":
        raise SettingError(
            "--data is needed only for chains that start at data: add --from data, or leave it out"
        )


def _check_draws(options: Sample, of_chains: dict[str, Any]) -> None:
    """Raise SettingError for options that only chains have."""
    if len(options.runs) > 1:
        raise SettingError(
            "sampling from several runs needs chains: give their number, for example --chains 64"
        )
    for name, value in of_chains.items():
        if value not in (None, False, ()):
            option = "from" if name == "start" else name.replace("_", "-")
            raise SettingError(
                f"--{option} applies to chains only: give their number, for example --chains 64"
            )


def _chain_options(options: Sample, chains: int, of_chains: dict[str, Any]) -> ChainOptions:
    """What was given of the options of chains, with the defaults of the rest."""
    given = {name: value for name, value in of_chains.items() if value is not None}
    shared = ("runs", "out", "seed", "label", "weights", "checkpoint", "device")
    return ChainOptions(chains=chains, **{n: getattr(options, n) for n in shared}, **given)


def _labels(run: Run, options: Sample) -> tuple[Tensor | None, int | None]:
    """Labels to draw, and the columns of a grid: one class, or all in turn."""
    count = 64 if options.n is None else options.n
    if options.label is not None:
        return torch.full((count,), class_number(run, options.label)), None
    if run.classes is None:
        return None, None
    if options.n is None and options.out.suffix == ".png":
        return pictures.labels_of_a_grid(run.classes)
    return classes_in_turn(count, run.classes), pictures.columns_in_turn(count, run.classes)


def _spread(labels: Tensor, names: Sequence[str]) -> str:
    """How many of which classes."""
    classes, counts = labels.unique(return_counts=True)
    few, many = int(counts.min()), int(counts.max())
    each = f"{few}" if few == many else f"{few} or {many}"
    if len(classes) == 1:
        return f"class {names[int(classes[0])]}"
    missing = f" of {len(names)}" if len(classes) < len(names) else ""
    return f"{each} of each of {len(classes)}{missing} classes"
