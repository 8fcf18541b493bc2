"""What came of a sweep, for Python: its records, its best trial, a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from energan.core import RunError
from energan.inference.run import Run
from energan.io.text import plural, score_text
from energan.metrics.catalogue import sign_of
from energan.report.sweep import page
from energan.report.sweep.records import read
from energan.report.sweep.table import tabulate
from energan.sweeps.store import Record, SweepFolder, best_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class SweepResult:
    """Trials of a sweep.

    Attributes:
        path: folder of the sweep, with its page report.html.
        records: state, values and scores of each trial that has ended.
        missing: number of trials without a record; calling `energan.sweep` again continues with
            them.
    """

    path: Path
    records: list[Record] = field(repr=False)
    missing: int

    @classmethod
    def of(cls, path: Path, trials: Sequence[str]) -> Self:
        """Read the folder, and write its page."""
        records = SweepFolder(path).records(trials)
        if records:
            page.write([path])
        return cls(path, records, len(trials) - len(records))

    @property
    def best(self) -> Record | None:
        """The record of the trial with the best score; None if no trial has one."""
        return best_of(self.records)

    def best_run(self) -> Run:
        """The run of the trial with the best score.

        Raises:
            RunError: if no trial has a score, or its checkpoints were not kept.
        """
        if (best := self.best) is None:
            raise RunError(f"{self.path}: no trial has a score; its report.html gives the reasons")
        return Run(SweepFolder(self.path).run(best["id"]).path)

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas table with a row per trial: values, scores with their intervals, times."""
        (own,) = read([self.path])
        wanted = {record["id"] for record in self.records}
        own.records = [record for record in own.records if record["id"] in wanted]
        frame: pandas.DataFrame = tabulate([own]).to_pandas()
        return frame

    def __str__(self) -> str:
        best = self.best
        found = "no score yet"
        if best is not None:
            value = best["scores"][best["metric"]]["value"]
            found = f"best {sign_of(best['metric'])} {score_text(value)}"
        left = f", {self.missing} missing" if self.missing else ""
        return f"{self.path}: {plural(len(self.records), 'trial')}{left}, {found}"

    def _repr_html_(self) -> str:
        html: str = self.to_frame()._repr_html_()
        return f"<p>{self}</p>{html}"
