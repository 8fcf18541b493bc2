"""Today's methods beside the older ones on the same data: docs/results/methods-NAME.json.

    python benchmarks/methods.py ring [--seeds 3] [--runs runs/methods] [--out docs/results]

Each row is a recipe with the changes named here, trained for the steps named here and evaluated by
10,000 samples of its averaged weights. A run that is there already is not trained again, and one
that was cut off goes on. Seconds are CPU seconds of one thread, so that load on the machine does
not count. The data of mnist and celeba is looked for in ENERGAN_DATA.
"""

import argparse
import json
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import energan
from energan.cli.main import main as command
from energan.io.run_folder import RunFolder

PENALTIES = {"loss": "relativistic", "r1": 0.1, "r2": 0.1}
FACES = {"source": "celeba", "size": 64}


@dataclass(frozen=True)
class Row:
    """A recipe, changed. steps: of training, the schedules as they are; scale: shortens both."""

    recipe: str
    steps: int | None = None
    scale: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def settings(self, source: str | None) -> dict[str, Any]:
        data = self.data if source is None else {"source": source}
        return {"model": self.model, **({"data": data} if data else {})}


POINTS = {
    "GAN": Row("gan-ring", 10_000),
    "GAN, relativistic, R1 and R2": Row("gan-ring", 10_000, model=PENALTIES),
    "EBGAN-PT": Row("ebgan-ring", 12_000),
    "Energy Matching": Row("energymatching-ring", 4000),
    "Equilibrium Matching": Row("equilibriummatching-ring", 4000),
    "denoising score matching": Row("scorematching-ring", 4000),
}
FALLING, PUBLISHED = "linear(1, 0.1, 1500)", {"lr": 0.0002}
SLOW = {"energy_optimiser": PUBLISHED, "sampler_optimiser": PUBLISHED}
# About ten minutes of one core each, by the time of sixty steps.
STACKED = {
    "R3GAN": Row("r3gan-stacked", scale="3/8"),
    "R3GAN without penalties": Row("r3gan-stacked", scale="3/8", model={"r1": 0, "r2": 0}),
    "R3GAN, published rate, weak penalties": Row(
        "r3gan-stacked", 3000, model={**SLOW, "r1": FALLING, "r2": FALLING}
    ),
    "R3GAN, published rate, without penalties": Row(
        "r3gan-stacked", 3000, model={**SLOW, "r1": 0, "r2": 0}
    ),
    "EBGAN": Row("ebgan-stacked", 6000, model={"pull_away": 0}),
    "EBGAN-PT": Row("ebgan-stacked", 6000),
}


def faces(count: int) -> dict[str, Row]:
    """R3GAN on so many faces, by its augmentation."""
    data = {**FACES, "limit": count}
    adaptive = {"augment": ["adaptive"], "augment_images": 30_000}
    return {
        "plain": Row("r3gan-folder", scale="1/8", model={"augment": []}, data=data),
        "DiffAugment": Row("r3gan-folder", scale="1/8", data=data),
        "adaptive": Row("r3gan-folder", scale="1/8", model=adaptive, data=data),
    }


COMPARISONS: dict[str, tuple[dict[str, Row], str | None]] = {
    "ring": (POINTS, "ring"),
    "grid": (POINTS, "grid"),
    "stacked": (STACKED, None),
    "faces-100": (faces(100), None),
    "faces-300": (faces(300), None),
}


def trained(row: Row, source: str | None, seed: int, folder: Path) -> energan.Run:
    """The run of this row, trained as far as it was not."""
    if not folder.exists():
        energan.train(
            row.recipe, steps=row.steps, scale=row.scale, seed=seed, out=folder, progress=False,
            engine={"threads": 1}, output={"tensorboard": False}, **row.settings(source),
        )  # fmt: skip
    elif RunFolder(folder).state() != "finished":
        command(["resume", str(folder)])
    return energan.load(folder)


def told(row: Row, source: str | None, seed: int, folder: Path) -> dict[str, Any]:
    kept = folder / "figures.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf8"))
        return found
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    run = trained(row, source, seed, folder)
    spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    scores = energan.evaluate(run)
    found = {
        "hash": run.config["hash"], "seed": seed, "steps": run.step, "cpu_seconds": round(spent),
        "settings": run.config["settings"],
        "evaluation": {k: v for k, v in scores.record.items() if k != "metrics"},
        "scores": {one.name: [one.value, one.low, one.high] for one in scores.results},
    }  # fmt: skip
    kept.write_text(json.dumps(found), encoding="utf8")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="methods beside each other on the same data")
    parser.add_argument("name", choices=list(COMPARISONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/methods"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows, source = COMPARISONS[asked.name]
    table: dict[str, list[dict[str, Any]]] = {label: [] for label in rows}
    for seed in range(asked.seeds):
        for label, row in rows.items():
            name = f"{asked.name}-{label.lower().replace(' ', '-').replace(',', '')}-s{seed}"
            table[label].append(told(row, source, seed, asked.runs / name))
            print(name, flush=True)
            text = json.dumps(table, indent=1, ensure_ascii=False)
            (asked.out / f"methods-{asked.name}.json").write_text(text + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
