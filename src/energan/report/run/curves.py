"""Figures over the steps of runs: losses, energies, gradient norms, scores on the way."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from energan.core.schedules import parse
from energan.experiment.callbacks.curves import phases
from energan.metrics.catalogue import title_of
from energan.report.html import Picture, Theme, draw_figure, safe_label
from energan.report.run.captions import (
    AUGMENTATION,
    CAPTIONS,
    CHAINS,
    CROSS_ENTROPY,
    GRADIENTS,
    TITLES,
    energies_caption,
    losses_caption,
    settles_at_margin,
)
from energan.report.run.contents import Points, RunContents

Lines = dict[tuple[str, str], str]
"""(event, figure) -> what the legend calls it."""
LOSSES = {("step", "loss_energy"): "energy, $L_D$", ("step", "loss_sampler"): "sampler, $L_G$"}
ENERGIES = {
    ("step", "energy_real"): "data (training)",
    ("score", "train_energy"): "data (evaluation)",
    ("score", "held_out_energy"): "held out (evaluation)",
    ("step", "energy_fake"): "samples (training)",
}
GRADIENT = re.compile(r"^grad(ient)?_(norm_)?")
DASHES = ("--", "-.")
"""Of vertical lines where the generator rests and the rate falls."""
MARKED = ("health", "rollback", "diverged")
MARKS = "①②③④⑤⑥⑦⑧⑨"
WIDE_RANGE = 30.0
"""Largest value over the median beyond which an axis of positive values is logarithmic."""


@dataclass(frozen=True)
class Curve:
    """One line of a figure; without a label it has no entry in the legend."""

    label: str
    points: Points
    colour: int
    style: str = "-"


def draw_run(contents: RunContents) -> list[Picture]:
    """The figures of one run: losses, energies with the margin, gradient norms, chains."""
    margin = contents.schedule("margin")
    level = margin if settles_at_margin(contents) else None
    labels = {("step", "cross_entropy"): "labelled examples (training)"}
    names = [name for name in contents.names("step") if GRADIENT.search(name)]
    gradients = {("step", name): title_of(GRADIENT.sub("", name)) for name in names}
    figures: list[tuple[str, str, str, Lines, Callable[[int], float] | None]] = [
        ("losses", "Losses", losses_caption(contents), LOSSES, level),
        ("energies", "Energies", energies_caption(contents), ENERGIES, margin),
        ("labels", "Cross-entropy of labels", CROSS_ENTROPY, labels, None),
        ("gradients", "Gradient norms", GRADIENTS, gradients, None),
    ]
    for name, (title, caption, named) in {**CHAINS, "augmentation": AUGMENTATION}.items():
        chains = {("step", figure): label for figure, label in named.items()}
        figures.append((name, title, caption, chains, None))
    return [
        _draw_curves(name, title, caption, curves, contents, line)
        for name, title, caption, wanted, line in figures
        if (curves := _curves(contents, wanted))
    ]


def draw_scores(runs: Sequence[RunContents]) -> list[Picture]:
    """A figure for each score on the way, with a line for each run."""
    known = {n: None for m in runs for n in m.names("score")}
    names = [n for n in known if n not in {name for _, name in ENERGIES}]
    names = [n for n in names if not n.endswith("_real")]
    made = []
    for name in names:
        lines = _curves_of_runs(runs, "score", name)
        lines += [
            replace(line, label="", style="--")
            for line in _curves_of_runs(runs, "score", f"{name}_real")
        ]
        title, caption = TITLES.get(name, title_of(name)), CAPTIONS.get(name, "")
        made.append(_draw_overlay(name, title, caption, lines, legend=len(runs) > 1))
    return made


def draw_overlays(runs: Sequence[RunContents]) -> list[Picture]:
    """Losses and energies of several runs, each figure in one picture with a line for each run."""
    wanted = {
        ("step", "loss_energy"): ("Loss of the energy, L_D", "With a margin it settles near m."),
        ("step", "loss_sampler"): ("Loss of the sampler, L_G", ""),
        ("step", "energy_real"): (
            "Energy of data, in training",
            "Scales of energies differ between models: compare runs of one model only.",
        ),
        ("step", "energy_fake"): ("Energy of samples, in training", ""),
        ("score", "held_out_energy"): ("Energy of held-out data", "In evaluation mode."),
    }
    made = []
    for (event, name), (title, caption) in wanted.items():
        if lines := _curves_of_runs(runs, event, name):
            made.append(_draw_overlay(name, title, caption, lines))
    return made


def marks(contents: RunContents) -> list[tuple[str, float, str]]:
    """(mark, step, words) of what the run warned of and what befell it."""
    found: list[tuple[str, float, str]] = []
    for event in (e for e in contents.events if e["event"] in MARKED):
        reason = event.get("says") or event.get("reason") or ""
        what = event.get("kind") or event["event"]
        sign = MARKS[len(found)] if len(found) < len(MARKS) else "·"
        found.append((sign, event["step"], f"{what}: {reason}" if reason else str(what)))
    return found


def changes(contents: RunContents) -> dict[str, int]:
    """What changes within the steps that were done, by the settings alone: words, step."""
    model = contents.model
    if model is None:
        return {}
    return phases(model.sampler.learns, parse(model.energy_optimiser.lr), contents.last_step)


def _curves(contents: RunContents, wanted: Lines) -> list[Curve]:
    """Lines of one run; evaluation is dashed, in the colour of its like."""
    colours = {"energy_real": 0, "train_energy": 0, "held_out_energy": 2, "energy_fake": 1}
    made = []
    for i, ((event, name), label) in enumerate(wanted.items()):
        if points := contents.line(event, name):
            style = "--" if event == "score" else "-"
            made.append(Curve(label, points, colours.get(name, i), style))
    return made


def _curves_of_runs(runs: Sequence[RunContents], event: str, name: str) -> list[Curve]:
    lines = [Curve(safe_label(m.label), m.line(event, name), i) for i, m in enumerate(runs)]
    return [line for line in lines if line.points]


def _draw_curves(
    name: str,
    title: str,
    caption: str,
    lines: list[Curve],
    contents: RunContents,
    level: Callable[[int], float] | None = None,
) -> Picture:
    """Lines of one run, with its margin and its marks."""

    def draw(axes: Any, theme: Theme) -> None:
        _plot(axes, theme, lines)
        end = max(step for line in lines for step, _ in line.points)
        if level is not None:
            places = [end * i / 200 for i in range(201)]
            axes.plot(
                places, [level(round(s)) for s in places], ":", c=theme.ink, label="margin $m$"
            )
        _leave_out_start(axes, lines, 0.0 if level is None else max(level(0), level(round(end))))
        for (words, at), dashes in zip(changes(contents).items(), DASHES, strict=False):
            axes.axvline(at, color=theme.faint, linewidth=0.9, linestyle=dashes, label=words)
        for sign, step, _ in marks(contents):
            axes.axvline(step, color=theme.faint, linewidth=0.8, linestyle=(0, (1, 2)))
            axes.annotate(sign, (step, 1), xycoords=("data", "axes fraction"), ha="center",
                          va="bottom", fontsize=9, family="DejaVu Sans")  # fmt: skip
        _finish(axes, theme)

    return draw_figure(f"curves-{name}", title, caption, draw)


def _draw_overlay(
    name: str, title: str, caption: str, lines: list[Curve], legend: bool = True
) -> Picture:
    def draw(axes: Any, theme: Theme) -> None:
        _plot(axes, theme, lines)
        _finish(axes, theme, legend)

    return draw_figure(f"curves-{name.replace('_', '-')}", title, caption, draw)


def _plot(axes: Any, theme: Theme, lines: list[Curve]) -> None:
    for line in lines:
        steps, values = zip(*line.points, strict=True)
        axes.plot(
            steps, values, line.style, color=theme.colours[line.colour % len(theme.colours)],
            label=line.label or None, marker="o" if len(steps) < 3 else None, markersize=3,
        )  # fmt: skip
    every = [value for line in lines for _, value in line.points]
    if min(every) > 0 and max(every) > WIDE_RANGE * median(every):
        axes.set_yscale("log")


def _leave_out_start(axes: Any, lines: list[Curve], level: float) -> None:
    """Let values at step 0, of untrained networks, lie outside if they dwarf all that follows.

    level: a value that stays inside.
    """
    first = [value for line in lines for step, value in line.points if step == 0]
    later = [value for line in lines for step, value in line.points if step > 0]
    if first and later:
        top, bottom = max(*later, level), min(0.0, *later)
        if max(first) - bottom > 2 * (top - bottom) > 0:
            axes.set_ylim(top=top + 0.15 * (top - bottom))


def _finish(axes: Any, theme: Theme, legend: bool = True) -> None:
    axes.set_xlabel("step")
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if legend:
        axes.legend(handlelength=1.6, borderaxespad=0.2)
