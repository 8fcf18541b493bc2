"""Curves of one run as a picture, from its events, and when its settings change its training."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from energan.io.files import aside
from energan.io.run_folder import RunFolder
from energan.training.train_state import TrainState

PANELS: dict[str, tuple[tuple[str, str], ...]] = {
    "energies": (("step", "energy_real"), ("step", "energy_fake"), ("score", "held_out_energy")),
    "losses": (("step", "loss_energy"), ("step", "loss_sampler"), ("step", "pull_away")),
    "cross-entropy of labels": (("step", "cross_entropy"),),
    "error on held-out labels": (("score", "error"),),
    "sliced Wasserstein distance (SWD)": (("score", "sliced_wasserstein"),),
}
"""Title -> (event, figure) of each line; a panel without points is left out."""
LOGARITHMIC = {"cross-entropy of labels"}
ENERGIES, WIDTH, HEIGHT = "energies", 3.7, 3.2
DASHES = ("--", "-.")


def phases(
    learns: Callable[[int], bool], rate: Callable[[int], float], steps: int
) -> dict[str, int]:
    """What changes within `steps` by the settings alone, and at which step.

    learns: whether the sampler learns at a step; once it stops it does not begin anew. rate: the
    energy's learning rate, which at first stays what it is. What holds from the beginning, or
    never, is no change.
    """
    changes = {
        "generator rests": lambda step: not learns(step),
        "rate falls": lambda step: rate(step) < rate(0),
    }
    found = {name: _first(change, steps) for name, change in changes.items()}
    # A rate is lower for the first time one step after it began to fall.
    return {name: step - (name == "rate falls") for name, step in found.items() if 1 < step < steps}


def _first(change: Callable[[int], bool], steps: int) -> int:
    """The first step of `steps` at which `change` holds, which it then goes on to do; or steps."""
    return bisect_left(range(steps), True, key=change)


def draw(folder: RunFolder, loop: TrainState) -> None:
    """Write the run's curves.png, with what its settings change on the way."""
    if folder.writes:
        changes = phases(loop.sampler.learns, loop.optimisers["energy"].rate, loop.settings.steps)
        margin = partial(loop.scheduled, "margin")
        save_curves(folder.path / "curves.png", folder.read(), margin, changes)


def save_curves(
    path: Path,
    events: Sequence[dict[str, Any]],
    margin: Callable[[int], float | None] | None = None,
    changes: Mapping[str, int] | None = None,
) -> Path:
    """Energies, losses and scores over the steps of one run, from its events.

    margin: at each step, drawn among the energies. changes: what `phases` found, as vertical lines.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    lines = {title: _lines(events, wanted) for title, wanted in PANELS.items()}
    shown = {title: found for title, found in lines.items() if found} or {ENERGIES: {}}
    figure = Figure(figsize=(WIDTH * max(len(shown), 2), HEIGHT), dpi=100)
    canvas = FigureCanvasAgg(figure)
    for i, (title, found) in enumerate(shown.items(), 1):
        axes = figure.add_subplot(1, len(shown), i, title=title, xlabel="step")
        for name, points in found.items():
            axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), linewidth=1)
        last = max((points[-1][0] for points in found.values()), default=0)
        if title == ENERGIES and margin is not None and margin(0) is not None:
            steps = [round(last * i / 200) for i in range(201)]
            levels = [margin(s) or 0.0 for s in steps]
            axes.plot(steps, levels, ":", c="black", lw=1, label="margin")
        for (name, step), dashes in zip((changes or {}).items(), DASHES, strict=False):
            if step <= last:
                label = name if title == ENERGIES else None  # told once
                axes.axvline(step, color="0.5", linestyle=dashes, linewidth=0.8, label=label)
        if title in LOGARITHMIC:
            axes.set_yscale("log")
        if found:
            axes.legend(fontsize="small")
        axes.locator_params(axis="x", nbins=4)
    figure.tight_layout()
    with aside(path) as made:
        # `savefig` would draw it twice
        canvas.print_png(made)  # type: ignore[no-untyped-call]
    return path


def _lines(
    events: Sequence[dict[str, Any]], wanted: Sequence[tuple[str, str]]
) -> dict[str, list[tuple[float, float]]]:
    """Figure -> (step, value), where there are any."""
    lines = {
        name: [(e["step"], e[name]) for e in events if e["event"] == event and name in e]
        for event, name in wanted
    }
    return {name: points for name, points in lines.items() if points}
