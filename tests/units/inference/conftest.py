"""Tiny runs, trained once."""

from pathlib import Path

import pytest

import energan
from energan.inference.run import Run

SMALL = {"checkpoint_every": 10, "sample_every": 0, "log_every": 10}
ENGINE = {"threads": 1}


def trained(recipe: str, out: Path, model: dict[str, object], seed: int = 0, **data: object) -> Run:
    groups = {"output": SMALL, "engine": ENGINE, "training": {"batch_size": 32}}
    return energan.train(
        recipe, steps=20, out=out, seed=seed, model=model, progress=False,
        **({"data": data} if data else {}), **groups,  # type: ignore[arg-type]
    )  # fmt: skip


EBGAN = {"generator": [16], "encoder": [16], "latent": 4}
IGEBM = {"stages": [4], "blocks": [1], "steps": 3, "buffer": 64}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Tiny runs: two EBGANs and a conditional IGEBM on digits, one of each in the plane."""
    root = tmp_path_factory.mktemp("runs")
    conditional = {**IGEBM, "conditional": True}
    return {
        "ebgan": trained("ebgan-digits", root / "ebgan", EBGAN),
        "other": trained("ebgan-digits", root / "other", EBGAN, seed=1),
        "labels": trained(
            "igebm-mnist", root / "labels", conditional, source="digits", range="signed"
        ),
        "ring": trained("ebgan-ring", root / "ring", EBGAN),
        "igebm-ring": trained("igebm-ring", root / "ig", {"hidden": [8], "steps": 3, "buffer": 64}),
    }
