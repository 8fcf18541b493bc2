"""What commands about runs share: opening a run, where a result is from, classes, threads."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from energan.anomaly.baselines import BaselineComparison, fit_baselines, verdict
from energan.anomaly.score_table import ScoreTable
from energan.cli.options import Checkpoint, Weights
from energan.core import DataError, Kernel, SettingError, StepRule
from energan.data import DataSet, open_data
from energan.data.inference import PredictSet
from energan.inference.chain_rules import change_rule
from energan.inference.composition import TrainedEnergy
from energan.inference.run import Run
from energan.io.console import show, table_of, warn
from energan.io.cores import MOST_THREADS
from energan.io.cores import threads as all_threads
from energan.metrics.bootstrap import Interval
from energan.version import __version__

SHOWN = 10
"""Number of unreadable files to list."""


def open_run_at(word: str, checkpoint: Checkpoint, weights: Weights, device: str) -> Run:
    """The run that a word names, RUN or RUN@STEP.

    Raises SettingError if the word and the option both name a checkpoint.
    """
    if "@" not in word or Path(word).exists():
        return Run(word, checkpoint=checkpoint, weights=weights, device=device)
    if checkpoint != "last":
        raise SettingError(f"{word} already names a checkpoint: leave --checkpoint out")
    path, _, checkpoint = word.rpartition("@")
    return Run(path, checkpoint=checkpoint, weights=weights, device=device)


def open_training_data(run: Run, source: str | None) -> DataSet:
    """The data that a run was trained on. source: where it is now, if it was moved."""
    settings = run.job.settings.data
    if source is not None:
        settings = settings.model_copy(update={"source": source})
    return open_data(settings)


def provenance(run: Run, seed: int) -> dict[str, Any]:
    """Where a result is from, as it is written into the file."""
    return {
        "run": run.config["hash"],
        "step": run.step,
        "seed": seed,
        "weights": run.weights,
        "energan": __version__,
    }


def chain_rule(
    energy: TrainedEnergy,
    step_size: float | None,
    noise: str | None,
    clip: str | None,
    kernel: Kernel | None = None,
) -> StepRule:
    """The energy's rule with the options --step-size, --noise and --clip in it. kernel: what was
    asked for to move chains."""
    return change_rule(
        energy,
        step_size,
        "coupled" if noise == "coupled" else _number("noise", noise, "coupled"),
        "none" if clip == "none" else _number("clip", clip, "none"),
        kernel,
    )


def _number(option: str, text: str | None, word: str) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise SettingError(f"--{option} {text}: give a number, or {word}") from None


def set_threads(threads: int | None) -> None:
    """So many CPU threads, or one for each core. Raises SettingError for less than one,
    or more than MOST_THREADS."""
    if threads is not None and threads < 1:
        raise SettingError(f"--threads {threads}: give at least 1")
    if threads is not None and threads > MOST_THREADS:
        raise SettingError(f"--threads {threads}: give at most {MOST_THREADS}")
    torch.set_num_threads(threads or all_threads())


def warn_skipped(skipped: Sequence[tuple[Any, str]]) -> None:
    """A line on stderr for each file that could not be read, with the reason."""
    for file, reason in skipped:
        warn(f"{file} cannot be read and is skipped: {reason}")


def print_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    """How many files could not be read, and the first of them."""
    if not skipped:
        return
    print(f"  {len(skipped):,} could not be read and were skipped")
    for file, reason in skipped[:SHOWN]:
        print(f"    {file}: {reason}")
    if len(skipped) > SHOWN:
        print(f"    … {len(skipped) - SHOWN:,} more")


def print_facts(groups: Sequence[PredictSet]) -> None:
    """What each source was taken for: other parts of it, masks, and what is left out; and what was
    done to its images, since nobody asked for it here."""
    lines = [
        f"  {f'{group.source}: ' if len(groups) > 1 else ''}{fact}"
        for group in groups
        for fact in group.data.facts
        if fact.subject != "train" or group.part == "test"  # else it is what is listed
    ]
    if any("--data." in line for line in lines):
        lines.append(
            "  (to prepare images as in training, the --data settings are those of training)"
        )
    print("".join(f"{line}\n" for line in lines), end="")


def judge_baselines(run: Run, table: ScoreTable) -> tuple[str, list[BaselineComparison]]:
    """What baselines were fitted to, and the energy of a labelled table beside each; none of
    points, or, with a line, where the images that were trained on cannot be opened."""
    try:
        baselines = fit_baselines(run.job.settings.data, run.domain.whole)
    except DataError as error:  # the images to be judged may be all that is there
        print(f"  no baselines for {run.path}: {error}")
        return "", []
    return ("", []) if baselines is None else (baselines.about, table.compare(baselines))


def print_baselines(
    what: str, compared: Sequence[tuple[str, Sequence[BaselineComparison]]]
) -> None:
    """AUROC of the energy and of baselines, and where the best is not beaten. what: the names."""
    table = table_of(what, "energy", *(one.name for one in compared[0][1]))
    for name, found in compared:
        figures = (found[0].energy_auroc, *(one.auroc for one in found))
        table.add_row(name, *(f"{value:.4f}" for value in figures))
    show(table)
    for name, found in compared:
        if (said := verdict(found)) is not None:
            print(f"  {name}: {said}")


def brackets(ends: Interval | None) -> str:
    """The ends of an interval after a figure."""
    return "" if ends is None else f" [{ends.low:.4f}, {ends.high:.4f}]"


def print_notes(noted: Iterable[tuple[str, str]]) -> None:
    """Each note once, after the names that it is about. noted: (name, note)."""
    names: dict[str, list[str]] = {}
    for name, note in noted:
        names.setdefault(note, []).append(name)
    for note, about in names.items():
        print(f"  {', '.join(about)}: {note}")
