"""From finished and evaluated runs to docs/results/: settings, curves, samples, scores.

energan evaluate RUN [RUN ...]
python benchmarks/results.py RUN [RUN ...] [--out docs/results] [--threads N]
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from energan import pictures
from energan.evaluation.evaluate import kept
from energan.run import Run

SEED = 0


def summary(run: Run) -> dict[str, Any]:
    """All that is kept of a run beside its pictures."""
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
        "scores_on_the_way": [
            {k: e[k] for k in ("step", "held_out_energy", "sliced_wasserstein") if k in e}
            for e in run.events("score")
        ],
        "evaluations": kept(run.path),
    }


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
        shown = 64 if len(run.domain.shape) == 3 else 2000
        pictures.save_samples(asked.out / f"{name}.png", run.sample(shown, seed=SEED), run.domain)
        shutil.copy(path / "curves.png", asked.out / f"{name}-curves.png")
        print(name, flush=True)


if __name__ == "__main__":
    main()
