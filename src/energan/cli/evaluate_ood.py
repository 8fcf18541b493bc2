"""`energan evaluate --ood`: energies of other data among those of held-out data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from energan.anomaly.baselines import JUDGED, BaselineComparison
from energan.cli.run_options import print_baselines, print_notes
from energan.errors import SettingError
from energan.evaluation.ood import OodScores, out_of_distribution
from energan.inference.run import Run
from energan.io.console import figure, say, show, table_of
from energan.io.files import write_atomically
from energan.io.text import plural
from energan.report.run.ood import draw_energies


def score_ood(
    run: Run, sets: Sequence[str], samples: int, seed: int, picture: Path | None
) -> OodScores:
    """What `out_of_distribution` makes, printed, and drawn if a picture is named."""
    made = out_of_distribution(
        run, sets, samples=samples, seed=seed, say=lambda text: say(f"  {text}")
    )
    _print(run, made)
    if picture is not None:
        _draw(made, picture)
    return made


def _draw(made: OodScores, path: Path) -> None:
    picture = draw_energies({**made.record, "sets": made.sets})
    if picture is None:
        raise SettingError(
            "--ood-picture: none of these data sets has a finite energy, so there is nothing to "
            "draw: leave it out"
        )
    write_atomically(path, picture.light)
    print(f"  drawn: {path}")


def _print_baselines(made: OodScores) -> None:
    """AUROC of what needs no training, and where the best of it is not beaten."""
    compared = [
        (row["name"], [BaselineComparison(**one) for one in row["baselines"]])
        for row in made.sets
        if "baselines" in row
    ]
    if compared:
        about = made.record["baselines"]
        print(f"baselines, {about}; AUROC among at most {JUDGED:,} examples of each set:")
        print_baselines("other data", compared)


def _print(run: Run, made: OodScores) -> None:
    record = made.record
    own, nouns = record["held_out"], f"{run.domain.noun}s"
    print(
        f"\n{run.path}: step {run.step}, {run.weights} weights, energy of other data beside "
        f"{own['source']}, {own['split']} part, {own['events']:,} {nouns} of mean energy "
        f"{figure(own['mean_energy'])} (seed {record['seed']})"
    )
    if "note" in own:
        print(f"  {own['note']}")
    table = table_of(
        "other data", "events", "AUROC [95%]", "average precision", "FPR at 95% TPR", "mean energy"
    )
    for row in made.sets:
        table.add_row(
            row["name"], f"{row['events']:,}",
            f"{row['auroc']:.4f}{_ends(row)}",
            f"{row['average_precision']:.4f}", f"{row['fpr_at_95_tpr']:.4f}",
            figure(row.get("mean_energy")),
        )  # fmt: skip
    show(table)
    print_notes((row["name"], row["note"]) for row in made.sets if "note" in row)
    _print_baselines(made)
    for row in made.sets:
        if "not_finite" in row:
            strange = plural(row["not_finite"], "energy")
            print(f"  {row['name']}: {strange} not finite, ranked as the highest")
        if "unreadable" in row:
            print(f"  {row['name']}: {row['unreadable']:,} could not be read and were skipped")
    print(f"  written: {run.path / 'metrics.json'}")


def _ends(row: dict[str, Any]) -> str:
    return f" [{row['low']:.4f}, {row['high']:.4f}]" if "low" in row else ""
