"""`energan sample --chains`: long chains on the energies of runs, and pictures of their ways."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energan.cli.options import show, table_of
from energan.cli.sample import class_number, opened
from energan.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from energan.core import StepRule
    from energan.inference.chains import Followed
    from energan.inference.composition import Composable

IMAGES, POINTS = 10, 200
"""Snapshots of each chain."""
RISEN = 10
"""Standard deviations of the energies at the start, beyond which chains that climb are told of."""


def follow(asked: Any) -> int:
    """Follow the chains, write them, draw their ways, and tell their energies."""
    from energan.data import open_data
    from energan.inference.chains import sample_chains
    from energan.io import pictures

    runs = [opened(word, asked) for word in asked.runs]
    energies: list[Composable] = list(runs)
    if asked.together:
        energies = [sum(runs[1:], runs[0])]
    labels = labels_of(runs, asked)
    columns = None
    if labels is not None and not asked.chains % len(labels.unique()):
        columns = asked.chains // len(labels.unique())
    settings = runs[0].job.settings.data
    if asked.data is not None:
        settings = settings.model_copy(update={"source": asked.data})
    pictures.check_target(asked.out, runs[0].domain)
    image = pictures.is_image(runs[0].domain)
    made = sample_chains(
        energies, asked.chains,
        steps=asked.steps, start=asked.start, turn=asked.turn,
        rules=[rule_asked(energy, asked) for energy in energies],
        anneal=asked.anneal, labels=labels, seed=asked.seed, dynamics=asked.dynamics,
        snapshots=IMAGES if image else POINTS,
        data=open_data(settings) if asked.start == "data" else None,
    )  # fmt: skip
    _tell(runs, made, asked)
    about = _about(runs, asked)
    if asked.out.suffix == ".npz":
        _save(asked.out, made, about)
    else:
        pictures.save_samples(asked.out, made.x, runs[0].domain, about=about, columns=columns)
    print(f"{asked.chains} chains of {asked.steps} steps from {asked.start}: {asked.out}")
    if asked.out.suffix == ".png":
        print(f"their ways: {_draw(energies, made, asked.out)}")
    return 0


def rule_asked(energy: "Composable", asked: Any) -> "StepRule":
    """The energy's rule with the options --step-size, --noise and --clip in it."""
    from energan.inference.chain_rules import rule_of

    noise: Any = asked.noise if asked.noise in (None, "coupled") else _number("noise", asked.noise)
    clip: Any = asked.clip if asked.clip in (None, "none") else _number("clip", asked.clip)
    return rule_of(energy, asked.step_size, noise, clip)


def _number(option: str, text: str) -> float:
    from energan.core import SettingError

    try:
        return float(text)
    except ValueError:
        word = {"noise": "coupled", "clip": "none"}[option]
        raise SettingError(f"--{option} {text}: a number, or {word}") from None


def labels_of(runs: list[Any], asked: Any) -> "Tensor | None":
    """The label of each chain, those of a class beside each other; None if none was named."""
    import torch

    words = asked.labels or (() if asked.label is None else (asked.label,))
    taking = next((run for run in runs if run.classes), runs[0])
    if words:
        numbers = torch.tensor([class_number(taking, word) for word in words])
        return numbers[torch.arange(asked.chains) * len(words) // asked.chains]
    return None


def _about(runs: list[Any], asked: Any) -> dict[str, Any]:
    about = {
        "run": " ".join(run.config["hash"] for run in runs),
        "step": " ".join(str(run.step) for run in runs),
        "seed": asked.seed,
        "weights": " ".join(run.weights for run in runs),
        "energan": __version__,
        "chain_steps": asked.steps,
        "start": asked.start,
    }
    if len(runs) > 1:
        about["shared"] = "their sum" if asked.together else f"turns of {asked.turn}"
    return about


def _tell(runs: list[Any], made: "Followed", asked: Any) -> None:
    """The mean energy of the chains at some of the snapshots, by each energy."""
    names = [f"U {run.path.name}@{run.step}" for run in runs]
    table = table_of("step", *(["U sum"] if asked.together else names))
    last = len(made.steps) - 1
    for i in sorted({round(k * last / (IMAGES - 1)) for k in range(IMAGES)}):
        means = made.energies[i].mean(-1).tolist()
        table.add_row(str(made.steps[i]), *(f"{mean:.5g}" for mean in means))
    show(table)
    start, end = made.energies[0].sum(0), made.energies[-1].sum(0)
    if float(end.mean()) > float(start.mean()) + RISEN * float(start.std(correction=0)):
        print(
            "energan: the chains climbed far above where they began: the step is too large for "
            "this energy; try a smaller --step-size, or a --clip",
            file=sys.stderr,
        )
    if made.acceptance is not None:
        print(f"{float(made.acceptance.mean()):.0%} of the moves were accepted")


def _save(path: Path, made: "Followed", about: dict[str, Any]) -> None:
    """x, snapshots (S, N, *event), steps (S,), energies (S, R, N), and labels where there are."""
    import numpy as np

    arrays: dict[str, Any] = {
        "x": made.x.numpy(),
        "snapshots": made.snapshots.numpy(),
        "steps": np.array(made.steps),
        "energies": made.energies.numpy(),
    }
    if made.labels is not None:
        arrays["labels"] = made.labels.numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays, **about)


def _draw(energies: "list[Composable]", made: "Followed", out: Path) -> Path:
    """A strip of images, or the paths of points over the (mean) energy, beside `out`."""
    from energan.io import pictures
    from energan.report.figures import chains as paths

    beside = out.with_name(f"{out.stem}-chains.png")
    domain = energies[0].domain
    if pictures.is_image(domain):
        paths.strip(made.snapshots, energies[0]).save(beside)
        return beside
    mean = (
        energies[0] if len(energies) == 1 else (1 / len(energies)) * sum(energies[1:], energies[0])
    )
    labels = [] if made.labels is None else made.labels.unique().tolist()
    label = labels[0] if len(labels) == 1 else None
    paths.paths(made.snapshots, made.steps, mean, label).savefig(beside, dpi=100)
    return beside
