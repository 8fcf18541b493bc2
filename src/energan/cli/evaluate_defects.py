"""`energan evaluate --defects`: how well a run finds defects, by masks."""

from pathlib import Path
from typing import Any

from energan.cli.localisation import print_kinds
from energan.cli.run_options import print_baselines
from energan.evaluation.defects import DefectScores, evaluate_defects
from energan.inference.run import Run


def score_defects(
    run: Run,
    source: str,
    masks: Path | None,
    groups: str | None,
    smooth: float,
    seed: int,
    resamples: int,
) -> DefectScores:
    """What `evaluate_defects` makes, printed."""
    made = evaluate_defects(
        run, source, masks, groups, smooth=smooth, resamples=resamples, seed=seed
    )
    data = made.record["data"]
    print(
        f"\n{run.path}: step {run.step}, {run.weights} weights, {data['source']}: "
        f"{data['events']:,} images, {data['masks']:,} with a mask, {made.record['map']} "
        f"(seed {seed})"
    )
    print_kinds(made.found)
    _print_threshold(made)
    if why := made.record.get("baselines", {}).get("missing"):
        print(f"  no baselines for {run.path}: {why}")
    if made.baselines:
        print_baselines("AUROC of", [(data["source"], made.baselines)])
    print(
        f"  written: {run.path / 'metrics.json'}, and pictures of the worst images (see them "
        f"with: energan report {run.path})"
    )
    return made


def _print_threshold(made: DefectScores) -> None:
    found = made.record.get("threshold")
    if found is None:
        print(
            "  no threshold, because no images were held out to calibrate on: set one with "
            "energan score --calibrate NORMAL"
        )
        return
    told = [
        f"{one['flagged']:,} of {one['images']:,} {one['kind'] or 'images'}{_ends(one)}"
        for one in found["counts"]
    ]
    print(
        f"called anomalous at the threshold {found['energy']:.5g} (at most {found['fpr']:.3g} of "
        f"new normal images, {found['calibrated_on']}): {', '.join(told)}"
    )


def _ends(one: dict[str, Any]) -> str:
    """The interval of the share that is called anomalous."""
    found = one.get("interval")
    return "" if found is None else f" [{100 * found['low']:.3g} to {100 * found['high']:.3g} %]"
