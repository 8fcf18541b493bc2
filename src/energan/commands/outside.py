"""`energan evaluate --ood`: how a run's energy ranks other data among held-out data."""

from typing import TYPE_CHECKING, Any

from energan.commands.parts import figure, show, table_of
from energan.errors import SettingError

if TYPE_CHECKING:
    from pathlib import Path

    from energan.evaluation.ood import Outside
    from energan.run import Run


def check(asked: Any) -> None:
    """Raise SettingError for options that say nothing together."""
    picture = asked.ood_picture
    if picture is not None and not asked.ood:
        raise SettingError("--ood-picture draws what --ood scores: name other data, as --ood all")
    if picture is not None and (picture.suffix.lower() != ".png" or picture.is_dir()):
        raise SettingError(f"--ood-picture {picture}: name a .png file")
    if picture is not None and len(asked.runs) > 1:
        raise SettingError("--ood-picture draws one run: name one, or leave it out")
    if asked.ood and not asked.metrics:
        for option in ("reference", "extractor"):
            if getattr(asked, option) is not None:
                raise SettingError(
                    f"--{option} is for metrics, and --ood alone makes none: leave it out, or "
                    "name them by --metrics"
                )


def scored(run: "Run", asked: Any) -> "Outside":
    """What `out_of_distribution` makes, printed, and drawn if that is asked for."""
    from energan.data.bar import say
    from energan.evaluation.ood import out_of_distribution

    made = out_of_distribution(
        run, asked.ood, samples=asked.samples, seed=asked.seed, say=lambda text: say(f"  {text}")
    )
    _print(run, made)
    if asked.ood_picture is not None:
        _draw(made, asked.ood_picture)
    return made


def _draw(made: "Outside", path: "Path") -> None:
    from energan.report.outside import energies

    picture = energies({**made.record, "sets": made.sets})
    if picture is None:
        raise SettingError("--ood-picture: no energy of these sets is finite: leave it out")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture.light)
    print(f"  drawn: {path}")


def _print(run: "Run", made: "Outside") -> None:
    record = made.record
    own = record["held_out"]
    print(
        f"\n{run.path}: step {run.step}, {run.weights} weights, energy of other data beside "
        f"{own['source']}, {own['split']} part, {own['events']:,} events of mean energy "
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
            f"{row['auroc']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
            f"{row['average_precision']:.4f}", f"{row['fpr_at_95_tpr']:.4f}",
            figure(row.get("mean_energy")),
        )  # fmt: skip
    show(table)
    notes: dict[str, list[str]] = {}
    for row in made.sets:
        if "note" in row:
            notes.setdefault(row["note"], []).append(row["name"])
    for note, names in notes.items():
        print(f"  {', '.join(names)}: {note}")
    for row in made.sets:
        if "not_finite" in row:
            print(
                f"  {row['name']}: {row['not_finite']:,} energies are not finite, and count as the "
                "highest"
            )
        if "unreadable" in row:
            print(f"  {row['name']}: {row['unreadable']:,} could not be read and are left out")
    print(f"  written: {run.path / 'metrics.json'}")
