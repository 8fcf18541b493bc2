"""The page of a sweep, or of several beside one another, from their folders alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from energan.io.files import write_atomically
from energan.report import html
from energan.report.html import Picture
from energan.report.sweep import effects, facts, samples, table
from energan.report.sweep.comparison import Comparison, compare, headline, metric_name
from energan.report.sweep.distributions import draw_axis, draw_sweeps
from energan.report.sweep.effects import Importance
from energan.report.sweep.labels import file_name
from energan.report.sweep.records import SweepRecords, read
from energan.sweeps.store import Record

PAGE = "report.html"


@dataclass
class _Figures:
    """What goes into figures/ beside the page. numbers: what is behind a picture."""

    pictures: dict[str, Picture] = field(default_factory=dict)
    numbers: dict[str, Record] = field(default_factory=dict)

    def add(self, picture: Picture, numbers: Record | None = None) -> Picture:
        self.pictures[picture.name] = picture
        if numbers is not None:
            self.numbers[picture.name] = numbers
        return picture

    def write(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name, picture in self.pictures.items():
            write_atomically(folder / f"{name}.png", picture.light)
        for name, numbers in self.numbers.items():
            write_atomically(folder / f"{name}.json", json.dumps(numbers, indent=1) + "\n")


@dataclass
class Distributions:
    """The scores of the sweeps that are ranked by one metric, over one another."""

    title: str
    histograms: list[Picture]
    comparison: Comparison | None


def write(folders: Sequence[Path]) -> Path:
    """Write table.csv, table.arrow, figures/ and report.html into the first of these sweeps'
    folders; the page's path.

    It reads sweep.json, results/ and trials/ as they are now, also while the sweep runs. EBGAN's
    grid and the GAN's together make figures 2 and 3 of Zhao et al. 2017.
    Raises RunError for a folder that holds no sweep.
    """
    sweeps = read(folders)
    home, figures = sweeps[0].path, _Figures()
    table.write(home, table.tabulate(sweeps))
    best = [picture for one in sweeps if (picture := samples.draw_best(one)) is not None]
    strips = [picture for one in sweeps if (picture := samples.draw_strip(one)) is not None]
    text = html.render_page(
        "sweep.html.j2",
        title=" and ".join(one.label for one in sweeps),
        several=False,
        headlines=[headline(one) for one in sweeps],
        notes=[note for one in sweeps for note in facts.notes(one)],
        distributions=_distributions(sweeps, figures),
        rankings=[facts.ranking(one, home) for one in sweeps],
        samples=[figures.add(picture) for picture in best],
        strips=[figures.add(picture) for picture in strips],
        effects=_axis_effects(sweeps, figures),
        reasons=[(one.label, facts.reasons(one)) for one in sweeps],
        times=[(one.label, facts.times(one)) for one in sweeps],
        provenance=[(one.label, facts.provenance(one)) for one in sweeps],
    )
    figures.write(home / "figures")
    write_atomically(home / PAGE, text)
    return home / PAGE


def _distributions(sweeps: Sequence[SweepRecords], figures: _Figures) -> list[Distributions]:
    found = []
    metrics = list(dict.fromkeys(one.metric for one in sweeps))
    for metric in metrics:
        alike = [one for one in sweeps if one.metric == metric]
        histograms = []
        for picture, numbers in draw_sweeps(alike):
            if len(metrics) > 1:
                picture = replace(picture, name=f"{picture.name}-{file_name(metric or 'none')}")
            histograms.append(figures.add(picture, numbers))
        found.append(Distributions(metric_name(metric), histograms, compare(alike)))
    return found


def _axis_effects(sweeps: Sequence[SweepRecords], figures: _Figures) -> list[Importance]:
    found = []
    for one in sweeps:
        importance = effects.importance(one)
        if importance is None:
            continue
        if importance.picture is not None:
            figures.add(importance.picture, importance.numbers)
        by_value = [pair for axis in one.varied if (pair := draw_axis(one, axis)) is not None]
        importance.histograms = [figures.add(*pair) for pair in by_value]
        found.append(importance)
    return found
