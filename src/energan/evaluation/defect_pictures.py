"""The images that a run judges worst, kept as pictures: defects it misses, and false alarms."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from energan.anomaly.calibration import make_finite
from energan.anomaly.detection import ANOMALOUS, NORMAL
from energan.anomaly.heatmaps import ColourScale, file_names, scale_of
from energan.anomaly.overlays import overlay, shrink
from energan.anomaly.score_table import ScoreTable
from energan.inference.run import Run
from energan.io.files import aside
from energan.io.pictures import write_image

EACH, FALSE_ALARMS = 3, 6
"""Pictures of each kind of defect, and of normal images, at most."""
SIDE = 360


def worst_of(table: ScoreTable) -> list[int]:
    """Rows: the normal images of the highest energies, then of each kind of defect the lowest."""
    assert table.energy is not None
    energy, sides, labels = make_finite(table.energy), table.side.tolist(), table.labels
    order = energy.argsort(stable=True).tolist()
    found = [row for row in reversed(order) if sides[row] == NORMAL][:FALSE_ALARMS]
    kinds = sorted({label for label, side in zip(labels, sides, strict=True) if side == ANOMALOUS})
    for kind in kinds:
        of_it = [row for row in order if sides[row] == ANOMALOUS and labels[row] == kind]
        found += of_it[:EACH]
    return found


def draw_worst(
    run: Run, table: ScoreTable, heatmap: Callable[[Tensor], Tensor], scale: ColourScale | None
) -> list[dict[str, Any]]:
    """Overlays of `worst_of`, in the run's folder, in place of earlier ones of this checkpoint and
    data; their record. scale: of the colours; None for that of these maps.

    file: from the run's folder; anomalous: by its label; flagged: by the threshold, None without.
    """
    assert table.energy is not None
    rows = worst_of(table)
    if not rows:
        return []
    kept = str(table.sources[0].data.fingerprint)[:8]
    folder = run.folder.defects / f"step-{run.step:06d}-{run.weights}-{kept}"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    maps = heatmap(table.events(rows))
    scale = scale or scale_of(maps, run.heatmap_kind)
    flags = None if table.calibration is None else table.scores.anomalous
    places = {row: i for i, row in enumerate(rows)}
    names = file_names([table.names[row] for row in rows])
    records: dict[int, dict[str, Any]] = {}
    for row, original in table.originals(rows, run.domain):
        i = places[row]
        heat = original.place(maps[i])
        drawn = shrink(overlay(original.pixels, heat, scale, table.mask(row)), SIDE)
        file = folder / f"{names[i]}.png"
        with aside(file) as made:
            write_image(made, drawn, {"Description": table.names[row], "scale": str(scale)})
        records[i] = {
            "file": file.relative_to(run.path).as_posix(),
            "image": table.names[row],
            "kind": table.labels[row],
            "anomalous": bool(table.side[row] == ANOMALOUS),
            "energy": float(table.energy[row]),
            "flagged": None if flags is None else bool(flags[row]),
        }
    return [records[i] for i in sorted(records)]
