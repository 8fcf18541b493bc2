"""How well a run finds defects in labelled images with masks, kept in its metrics.json."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energan.anomaly.localisation import Localisation, localise
from energan.anomaly.score_table import open_score_table
from energan.core import SettingError
from energan.evaluation.metrics_file import about_run, write_defects
from energan.evaluation.results import Result, as_record, with_interval
from energan.inference.run import Run
from energan.io.console import progress

INTERVAL = "95% percentile bootstrap over images; of image AUROC Wilson's, as of other data"


@dataclass(frozen=True)
class DefectScores:
    """record: the entry of metrics.json. found: what it was made of. results: of all kinds
    together, as others are."""

    record: dict[str, Any]
    found: Localisation

    @property
    def results(self) -> list[Result]:
        every = self.found.kinds[0]
        figures = {
            "image_auroc": (every.auroc, every.interval),
            "pixel_auroc": (every.pixels.auroc, every.pixels.auroc_interval),
            "aupro": (every.pixels.aupro, every.pixels.aupro_interval),
        }
        return [
            with_interval(f"{name}_of_defects", value, ends, INTERVAL, better="higher")
            for name, (value, ends) in figures.items()
            if value is not None and ends is not None
        ]


def evaluate_defects(
    run: Run, source: str, masks: Path | None = None, *, resamples: int = 1000, seed: int = 0
) -> DefectScores:
    """Image AUROC, pixel AUROC and AUPRO of a source, by kind of defect.

    masks: a folder of them, if not the source's own. The same call gives the same file. Raises
    SettingError without masks, DataError for images and masks that do not fit.
    """
    run.check_judges()
    table = open_score_table([source], run.job.settings.data, run.domain, masks=masks)
    (group,) = table.groups
    if group.masks is None:
        raise SettingError(
            f"--defects {source}: there are no masks beside its images: name their folder, as with "
            "--masks ground_truth"
        )
    table = table.with_energies(run.energies)
    with progress("heat maps beside masks", len(table)) as advance:
        found = localise(table, run.heatmap, resamples=resamples, seed=seed, advance=advance)
    assert found is not None
    data = {
        "source": table.what, "sha256": group.data.fingerprint, "events": len(table),
        "masks": sum(path is not None for path in group.masks.paths),
    }  # fmt: skip
    record = {
        **about_run(run, seed, len(table), resamples),
        "interval": INTERVAL,
        "map": run.heatmap_kind,
        "data": data,
        "kinds": [as_record(row.record) for row in found.kinds],
        "notes": list(found.notes),
    }
    write_defects(run, record)
    return DefectScores(record, found)
