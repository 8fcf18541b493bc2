"""`energan evaluate --defects`: how well a run finds defects, by masks."""

from pathlib import Path

from energan.cli.localisation import print_kinds
from energan.evaluation.defects import DefectScores, evaluate_defects
from energan.inference.run import Run


def score_defects(
    run: Run, source: str, masks: Path | None, seed: int, resamples: int
) -> DefectScores:
    """What `evaluate_defects` makes, printed."""
    made = evaluate_defects(run, source, masks, resamples=resamples, seed=seed)
    data = made.record["data"]
    print(
        f"\n{run.path}: step {run.step}, {run.weights} weights, {data['source']}: "
        f"{data['events']:,} images, {data['masks']:,} with a mask, {made.record['map']} "
        f"(seed {seed})"
    )
    print_kinds(made.found)
    print(f"  written: {run.path / 'metrics.json'}")
    return made
