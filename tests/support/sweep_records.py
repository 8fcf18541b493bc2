"""Made-up records of sweeps, as the folders of true ones hold them, for tests of their page."""

import json
from collections.abc import Sequence
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from energan.core import Domain
from energan.io import pictures

SHAPES: dict[str, list[Any]] = {
    "nLayerG": [2, 3, 4, 5],
    "nLayerD": [2, 3, 4, 5],
    "sizeG": [400, 800, 1600, 3200],
    "sizeD": [128, 256, 512, 1024],
    "dropoutD": [True, False],
}
EBGAN = {**SHAPES, "optimD": ["adam"], "optimG": ["adam"], "lr": [0.001]}
GAN = {
    **SHAPES, "optimD": ["adam", "sgd"], "optimG": ["adam", "sgd"], "lr": [0.01, 0.001, 0.0001],
}  # fmt: skip
SHA = "1f2e" * 16
DIGITS = Domain((1, 32, 32), -1.0, 1.0)


def combinations(axes: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def made_up(values: dict[str, Any], model: str, rng: np.random.Generator) -> dict[str, Any]:
    """A record as a trial of these values may leave it: seldom diverged, GANs more often."""
    gan = model == "gan"
    state = rng.choice(
        ["done", "diverged", "failed"], p=[0.88, 0.1, 0.02] if gan else [0.98, 0.02, 0]
    )
    score = 6 * rng.beta(5, 2) - 0.3 * values["nLayerG"]
    if gan:
        score *= (
            0.25 + (0.5 if values["optimG"] == "sgd" else 0) + (0.2 if values["lr"] > 1e-3 else 0)
        )
    score = max(float(score), 0.01)
    scores = {
        "modified_inception_score": {
            "value": score, "low": 0.97 * score, "high": 1.03 * score, "better": "higher",
        },
        "inception_score": {
            "value": 1 + score, "low": 1 + 0.9 * score, "high": 1 + 1.1 * score, "better": "higher",
        },
    }  # fmt: skip
    seconds = 40 * values["nLayerG"] * (values["sizeG"] / 800) * float(rng.lognormal(0, 0.1))
    return record(values, model, str(state), scores if state == "done" else {}, seconds)


def record(
    values: dict[str, Any], model: str, state: str, scores: dict[str, Any], seconds: float = 10.0
) -> dict[str, Any]:
    reasons = {"diverged": "energy loss is not finite at step 140", "failed": "out of memory"}
    return {
        "id": sha256(f"{model}{json.dumps(values)}".encode()).hexdigest()[:16],
        "state": state, "reason": reasons.get(state), "recipe": f"{model}-mnist", "model": model,
        "seed": 0, "values": values, "metric": next(iter(scores), None), "scores": scores,
        "steps": 140 if state == "diverged" else 1000, "seconds": seconds, "scoring_seconds": 9.5,
        "cohort": 1, "threads": 1, "device": "cpu", "precision": "float32", "host": "one",
        "hash": "0123456789abcdef", "weights": "raw", "samples": 10000, "attempts": 1,
        "energan": "0.1.0", "torch": "2.13.0", "finished": 1.7e9,
        "extractor": {"name": "classifier", "what": "3-layer ConvNet", "trained_on": "digits",
                      "sha256": SHA, "test_accuracy": 0.99, "tested_on": "held-out"},
    }  # fmt: skip


def folder(
    path: Path,
    name: str,
    axes: dict[str, list[Any]],
    records: Sequence[dict[str, Any]],
    metrics: Sequence[str] = ("modified_inception_score", "inception_score"),
    missing: int = 0,
    recipe: str = "ebgan-mnist",
) -> Path:
    """A sweep's folder with these records, and so many trials that have none yet."""
    (path / "results").mkdir(parents=True)
    count = int(np.prod([len(values) for values in axes.values()]))
    asked = [r["id"] for r in records] + [f"missing{i:09d}" for i in range(missing)]
    definition = {
        "name": name, "summary": "made up", "recipe": recipe, "axes": axes,
        "metrics": list(metrics), "count": count, "trials": asked, "energan": "0.1.0",
    }  # fmt: skip
    (path / "sweep.json").write_text(json.dumps(definition))
    for one in records:
        (path / "results" / f"{one['id']}.json").write_text(json.dumps({"sweep": name, **one}))
    return path


def sample(path: Path, trial: str, images: torch.Tensor, step: int = 1000) -> Path:
    """The run of a trial with a picture of its samples (64, 1, 32, 32)."""
    run = path / "trials" / trial
    domain = {"shape": [1, 32, 32], "low": -1.0, "high": 1.0, "classes": None}
    resolved = {"precision": "32", "threads": 1, "from": None, "domain": domain,
                "data": {"name": "faces", "events": 1, "fingerprint": "0"}}  # fmt: skip
    (run / "samples").mkdir(parents=True)
    (run / "config.json").write_text(
        json.dumps({"settings": {}, "asked": {}, "model": "ebgan", "resolved": resolved})
    )
    return pictures.save_samples(run / "samples" / f"step-{step:06d}.png", images, DIGITS)


def grids(path: Path, trials: int | None = None, seed: int = 0) -> list[Path]:
    """EBGAN's grid and 1,500 of the GAN's, or so many of each."""
    rng = np.random.default_rng(seed)
    made = []
    for name, axes, model, most in (
        ("ebgan-grid", EBGAN, "ebgan", 512),
        ("gan-grid", GAN, "gan", 1500),
    ):
        every = combinations(axes)
        chosen = rng.choice(len(every), min(trials or most, len(every)), replace=False)
        records = [made_up(every[i], model, rng) for i in sorted(chosen)]
        recipe = "ebgan-mnist" if model == "ebgan" else "gan-relu-mnist"
        made.append(folder(path / name, name, axes, records, missing=3, recipe=recipe))
        best = max(
            (r for r in records if r["scores"]),
            key=lambda r: r["scores"]["inception_score"]["value"],
        )
        noise = torch.rand(64, 1, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        sample(made[-1], best["id"], noise)
    return made
