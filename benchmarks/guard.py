"""A run of chains that blows up, with the guard and without: docs/results/guard.json and .png.

    python benchmarks/guard.py [--seeds 3] [--out docs/results]

The settings are those of docs/results/guard.md. Seconds a run; the step at which one blows up hangs
on the last bits of floats.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from energan.cli.main import main as energan
from energan.io.run_folder import RunFolder

WILD = (
    "igebm-ring --steps 240 --model.dynamics langevin --model.step-size 0.03 --model.hidden 32 32 "
    "--model.steps 8 --model.buffer 1000 --model.energy-optimiser.lr 0.3 --model.energy-l2 0.0001 "
    "--training.batch-size 64 --training.ema 0 --output.log-every 10 --output.checkpoint-every 40 "
    "--output.sample-every 0 --output.no-tensorboard --threads 1"
)
WITHOUT = "--training.no-guard --on-divergence stop"


def told(folder: RunFolder) -> dict[str, Any]:
    steps = folder.read("step")
    last = steps[-1]
    largest = max(max(abs(e["energy_real"]), abs(e["energy_fake"])) for e in steps)
    every = [json.loads(line) for line in folder.events.read_text(encoding="utf8").splitlines()]
    back = [{"to": e["step"], "reason": e["reason"]} for e in every if e["event"] == "rollback"]
    return {
        "state": folder.state(), "energy_real": last["energy_real"],
        "energy_fake": last["energy_fake"], "largest": largest,
        "sliced_wasserstein": folder.read("score")[-1]["sliced_wasserstein"], "rollbacks": back,
    }  # fmt: skip


def draw(curves: dict[str, list[dict[str, Any]]], out: Path) -> None:
    figure = Figure(figsize=(7.6, 3.2))
    whole = figure.subplots(1, 2, sharey=True)
    for axes, (title, steps) in zip(whole, curves.items(), strict=True):
        for name, label in (("energy_real", "U(real)"), ("energy_fake", "U(chains)")):
            axes.plot([e["step"] for e in steps], [e[name] for e in steps], label=label)
        axes.set_yscale("symlog", linthresh=10)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    whole[0].set_ylabel("mean energy (linear within ±10)")
    whole[0].legend()
    figure.tight_layout()
    figure.savefig(out, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description="a blow-up with the guard and without")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    asked = parser.parse_args()
    found: dict[str, Any] = {"settings": f"energan train {WILD}", "without": WITHOUT, "runs": []}
    curves: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as place:
        for seed in range(asked.seeds):
            for name, more in (("without the guard", WITHOUT), ("with it", "")):
                folder = RunFolder(Path(place) / f"{name} {seed}")
                words = ["train", *WILD.split(), *more.split(), "--seed", str(seed)]
                code = energan([*words, "--out", str(folder.path)])
                found["runs"].append(
                    {"guard": not more, "seed": seed, "exit": code, **told(folder)}
                )
                if seed == 0:
                    curves[name] = folder.read("step")
    (asked.out / "guard.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")
    draw(curves, asked.out / "guard.png")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
