"""From finished runs to docs/results/: settings, curves, samples, classifier scores.

    python benchmarks/results.py RUN [RUN ...] [--out docs/results] [--threads N]

The classifier is a 3-layer ConvNet (Zhao et al. 2017, section 4.1) trained here on the runs' own
training data with a fixed seed; its accuracy on the test set (or the held-out part) stands beside
the scores. I′ compares with no other published score, nor with one by another classifier.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan import pictures
from energan.core import DataError
from energan.data import DataSet, open_data
from energan.metrics import inception_score, modified_inception_score
from energan.run import Run

EPOCHS, SAMPLES, SEED = 5, 10_000, 0


def convnet(channels: int, side: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, 2, 2), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 5, 2, 2), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.4), nn.Linear(64 * ((side + 3) // 4) ** 2, classes),
    )  # fmt: skip


def log_probabilities(network: nn.Module, x: Tensor) -> Tensor:
    """Log-softmax in float64, (N, K)."""
    with torch.no_grad():
        return torch.cat([network(part).double() for part in x.split(500)]).log_softmax(1)


def train_classifier(data: DataSet) -> nn.Sequential:
    torch.manual_seed(SEED)
    assert data.labels is not None
    network = convnet(data.domain.shape[0], data.domain.shape[-1], data.domain.classes or 0)
    steps = EPOCHS * max(len(data) // 100, 100)
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    for _ in range(steps):
        chosen = torch.randint(len(data), (100,))
        optimiser.zero_grad()
        x = data.gather(chosen).x
        F.cross_entropy(network(x), data.labels[chosen]).backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def classifier_for(data: DataSet, test: DataSet) -> tuple[nn.Sequential, dict[str, Any]]:
    """The classifier and what is to be known of it."""
    network = train_classifier(data)
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.numpy().tobytes())
    x, labels = test.gather(torch.arange(len(test))).x, test.labels
    found = log_probabilities(network, x)
    return network, {
        "what": f"3-layer ConvNet, {EPOCHS} epochs, seed {SEED}",
        "sha256": digest.hexdigest()[:16],
        "accuracy": round(float((found.argmax(1) == labels).double().mean()), 4),
        "real_inception_score": round(inception_score(log_probabilities=found), 3),
        "real_modified_inception_score": round(
            modified_inception_score(log_probabilities=found), 3
        ),
    }


def scores(run: Run, network: nn.Module) -> dict[str, Any]:
    found = log_probabilities(network, run.sample(SAMPLES, seed=SEED))
    shares = found.argmax(1).bincount(minlength=found.shape[1]) / SAMPLES
    return {
        "weights": run.weights,
        "samples": SAMPLES,
        "seed": SEED,
        "inception_score": round(inception_score(log_probabilities=found), 3),
        "modified_inception_score": round(modified_inception_score(log_probabilities=found), 3),
        "class_shares": [round(float(s), 4) for s in shares],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="collect runs into docs/results")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    classifiers: dict[str, tuple[nn.Sequential, dict[str, Any]]] = {}
    for path in asked.runs:
        run = Run(path)
        torch.set_num_threads(asked.threads)
        settings = run.job.settings
        data = open_data(settings.data)
        judged: dict[str, Any] = {"last_score": run.events("score")[-1]}
        # pictures of digits; points are judged by their modes, other pictures by looking
        if data.modes is None and data.labels is not None:
            if data.fingerprint not in classifiers:
                try:
                    test: DataSet | None = open_data(settings.data, "test")
                except DataError:
                    test = data.held_out
                assert test is not None
                classifiers[data.fingerprint] = classifier_for(data, test)
            network, about = classifiers[data.fingerprint]
            both = (run, Run(path, weights="raw"))
            judged = {"classifier": about, "scores": [scores(r, network) for r in both]}
        started, ended = run.events("start")[0], run.events()[-1]
        name = f"{run.job.recipe}-s{settings.seed}"
        summary = {
            "recipe": run.job.recipe,
            "model": run.job.model,
            "hash": run.config["hash"],
            "energan": run.config["energan"],
            "settings": run.config["settings"],
            "resolved": run.config["resolved"],
            "seconds": round(ended["time"] - started["time"]),
            "last": run.events("step")[-1],
            "scores_on_the_way": [
                {k: e[k] for k in ("step", "held_out_energy", "sliced_wasserstein")}
                for e in run.events("score")
            ],
            **judged,
        }
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / f"{name}.json").write_text(json.dumps(summary, indent=1) + "\n")
        shown = 64 if data.modes is None else 2000
        pictures.save_samples(asked.out / f"{name}.png", run.sample(shown, seed=SEED), run.domain)
        shutil.copy(path / "curves.png", asked.out / f"{name}-curves.png")
        print(name, json.dumps(judged), flush=True)


if __name__ == "__main__":
    main()
