"""The table of how well a run's heat maps find the pixels of defects."""

from collections.abc import Callable

from torch import Tensor

from energan.anomaly.localisation import KindScores, Localisation, localise
from energan.anomaly.score_table import ScoreTable
from energan.cli.run_options import brackets
from energan.errors import DataError
from energan.io.console import progress, show, table_of
from energan.metrics.bootstrap import Interval


def print_localisation(
    table: ScoreTable, heatmap: Callable[[Tensor], Tensor], *, required: bool
) -> None:
    """By kind of defect; nothing if there are no masks. heatmap: as `localise` takes it. required:
    whether the user named the masks, so that some which do not fit are an error, and not a line."""
    try:
        with progress("heat maps compared with masks", len(table)) as advance:
            found = localise(table, heatmap, advance=advance)
    except DataError as error:
        if required:
            raise
        print(f"  no pixel metrics: {error}")
        return
    if found is not None:
        print_kinds(found)


def print_kinds(found: Localisation) -> None:
    """The table, and what did not count."""
    print(f"defects by mask, against all normal images [95% over {found.resampled}]:")
    listed = table_of("kind", "images", "image AUROC", "pixel AUROC", "AUPRO (FPR 30%)", "defects")
    for row in found.kinds:
        listed.add_row(*_row(row))
    show(listed)
    for note in found.notes:
        print(f"  {note}")


def _row(row: KindScores) -> tuple[str, ...]:
    pixels = row.pixels
    return (
        row.kind, f"{row.images:,}", _figure(row.auroc, row.interval),
        _figure(pixels.auroc, pixels.auroc_interval), _figure(pixels.aupro, pixels.aupro_interval),
        f"{pixels.defects:,}",
    )  # fmt: skip


def _figure(value: float | None, ends: Interval | None) -> str:
    return "-" if value is None else f"{value:.4f}{brackets(ends)}"
