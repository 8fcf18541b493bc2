"""How learning from few labels went, as curves: error at each checkpoint, energies, margin.

    python benchmarks/few_labels.py RUN [RUN ...] [--out docs/results/few-labels-curves]

Runs of the same recipe are seeds of one system and are drawn in one colour. Error is of the
labelled events that the run held out, never of the test set.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from energan.core.schedules import parse
from energan.data import DataSet, open_data
from energan.inference.run import Run
from energan.metrics.classification import error_rate
from energan.training import checkpoint_folder

TICKS = (1, 1.5, 2, 3, 4, 6, 8, 10)
MOVING = ("cross_entropy", "loss_energy", "energy_real", "energy_fake")


def errors(run: Run, held: DataSet) -> list[dict[str, float]]:
    """{step, error} of every checkpoint that the run kept; found ones are kept in its folder."""
    kept = run.path / "held_out_errors.json"
    found: dict[str, float] = json.loads(kept.read_text()) if kept.is_file() else {}
    batch = held.gather(torch.arange(len(held)), conditions=True)
    assert batch.condition is not None
    for path in checkpoint_folder.listed(run.folder.checkpoints):
        step = checkpoint_folder.step_of(path)
        if step and str(step) not in found:
            then = Run(run.path, checkpoint=step, device="cpu")
            wrong = error_rate(then.classify(batch.x).labels, batch.condition)
            found[str(step)] = float(wrong)
            kept.write_text(json.dumps(found))
    return [{"step": int(step), "error": found[step]} for step in sorted(found, key=int)]


def curves(path: Path) -> dict[str, Any]:
    run = Run(path, device="cpu")
    data = open_data(run.job.settings.data)
    if data.held_out is None or data.held_out.labels is None:
        raise SystemExit(f"{path}: nothing labelled is held out")
    return {
        "recipe": run.job.recipe,
        "seed": run.job.settings.seed,
        "hash": run.config["hash"],
        "model": run.job.model,
        "settings": run.config["settings"],
        "held_out_errors": errors(run, data.held_out),
        "events": [
            {"step": e["step"], **{k: e[k] for k in MOVING if k in e}} for e in run.events("step")
        ],
    }


def draw(found: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    recipes = list(dict.fromkeys(f["recipe"] for f in found))
    colours = dict(zip(recipes, plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False))
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 8), sharex=True)
    told: set[str] = set()
    for one in found:
        name, colour = one["recipe"], colours[one["recipe"]]
        steps = [e["step"] for e in one["held_out_errors"]]
        values = [100 * e["error"] for e in one["held_out_errors"]]
        above.plot(steps, values, color=colour, lw=1, label=None if name in told else name)
        for key, style in (("energy_real", "-"), ("energy_fake", ":")):
            points = [(e["step"], e[key]) for e in one["events"] if key in e]
            if points:
                label = f"U of {key[7:]}s, {name}" if name not in told else None
                below.plot(*zip(*points, strict=True), style, color=colour, lw=0.8, label=label)
        model = one["settings"]["model"]
        if "margin" in model and name not in told:
            margin, stop = parse(model["margin"]), model["until"]
            xs = range(0, one["settings"]["training"]["steps"] + 1, 100)
            below.plot(xs, [margin(x) for x in xs], "--", color="0.4", lw=1, label="margin m")
            for axis in (above, below):
                axis.axvline(stop, color="0.6", lw=0.8)
            above.annotate("G stops", (stop, 0.9), xycoords=("data", "axes fraction"), fontsize=8)
        told.add(name)
    above.set_yscale("log")
    above.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    above.minorticks_off()
    above.set_ylabel("error on held-out digits (%)")
    below.set_ylabel("U, sum of squares (training)")
    below.set_ylim(0, 20)
    below.set_xlabel("step")
    for axis in (above, below):
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="curves of runs that learn from few labels")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results/few-labels-curves"))
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    found = [curves(path) for path in asked.runs]
    asked.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found, asked.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
