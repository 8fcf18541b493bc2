"""From finished and evaluated runs to docs/results/: settings, curves, samples, scores.

energan evaluate RUN [RUN ...]
python scripts/results.py RUN [RUN ...] [--out docs/results] [--threads N]
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from energan.data import open_data
from energan.evaluation import metrics_file
from energan.inference.run import Run
from energan.io import pictures

SEED, SHOWN_PAIRS = 0, 24
ON_THE_WAY = ("step", "held_out_energy", "sliced_wasserstein", "l1", "error", "calibration_error")


def summary(run: Run) -> dict[str, Any]:
    """All that is kept of a run beside its pictures."""
    stored = metrics_file.read(run.path)
    started, ended = run.events("start")[0], run.events()[-1]
    return {
        "recipe": run.job.recipe,
        "model": run.job.model,
        "hash": run.config["hash"],
        "energan": run.config["energan"],
        "settings": run.config["settings"],
        "resolved": run.config["resolved"],
        "seconds": round(ended["time"] - started["time"]),
        "last": run.events("step")[-1],
        "scores_on_the_way": [{k: e[k] for k in ON_THE_WAY if k in e} for e in run.events("score")],
        "evaluations": stored.evaluations,
        "out_of_distribution": stored.outside,
        "classification": stored.classes,
        "defects": stored.defects,
    }


def samples(run: Run) -> tuple[Tensor, int | None]:
    """Samples as they come, and the columns of their grid.

    A class a row where there are labels; of image to image the results alone, of the first held-out
    pairs, since the data may not be shown.
    """
    if run.domain.paired:
        data = open_data(run.job.settings.data)
        assert data.held_out is not None
        sources = data.held_out.gather(torch.arange(SHOWN_PAIRS)).condition
        return run.sample(SHOWN_PAIRS, SEED, sources), 8
    if run.classes is not None:
        labels, columns = pictures.labels_of_a_grid(run.classes)
        return run.sample(len(labels), SEED, labels), columns
    return run.sample(64 if len(run.domain.shape) == 3 else 2000, SEED), None


def main() -> None:
    parser = argparse.ArgumentParser(description="collect runs into docs/results")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    for path in asked.runs:
        run = Run(path)
        name = f"{run.job.recipe}-s{run.job.settings.seed}"
        text = json.dumps(summary(run), indent=1, ensure_ascii=False)
        (asked.out / f"{name}.json").write_text(text + "\n")
        if run.makes_samples and (len(run.domain.shape) == 3 or not run.given):
            x, columns = samples(run)
            pictures.save_samples(asked.out / f"{name}.png", x, run.domain, columns=columns)
        shutil.copy(path / "curves.png", asked.out / f"{name}-curves.png")
        print(name, flush=True)


if __name__ == "__main__":
    main()
