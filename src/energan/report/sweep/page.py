"""The page of a sweep, or of several beside one another, from their folders alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from energan.io.files import write_atomically
from energan.report import html
from energan.report.html import Picture
from energan.report.sweep import effects as sweep_axes
from energan.report.sweep import facts as sweep_facts
from energan.report.sweep import samples as sweep_samples
from energan.report.sweep import table as sweep_table
from energan.report.sweep.comparison import Comparison, compare, headline, metric_name
from energan.report.sweep.effects import Importance
from energan.report.sweep.histograms import of_axis, of_grids
from energan.report.sweep.records import Record, Searched, file_name, read

PAGE = "report.html"


@dataclass
class _Drawn:
    """What goes into the page and, as files, into figures/. numbers: what is behind a picture."""

    pictures: dict[str, Picture] = field(default_factory=dict)
    numbers: dict[str, Record] = field(default_factory=dict)

    def keep(self, picture: Picture, numbers: Record | None = None) -> Picture:
        self.pictures[picture.name] = picture
        if numbers is not None:
            self.numbers[picture.name] = numbers
        return picture


@dataclass
class Part:
    """Of the sweeps that are ranked by one metric: their distributions, over one another."""

    title: str
    histograms: list[Picture]
    comparison: Comparison | None


@dataclass
class Weighed:
    """Of one sweep: which axis matters, and its histograms by the values of each."""

    importance: Importance
    title: str
    histograms: list[Picture]


def write(folders: Sequence[Path]) -> Path:
    """Write table.csv, table.arrow, figures/ and report.html into the first of these sweeps'
    folders; the page's path.

    It reads sweep.json, results/ and trials/ as they are now, also while the sweep runs. EBGAN's
    grid and the GAN's together make figures 2 and 3 of Zhao et al. 2017.
    Raises RunError for a folder that holds no sweep.
    """
    sweeps = read(folders)
    home, drawn = sweeps[0].path, _Drawn()
    sweep_table.write(home, sweep_table.table(sweeps))
    samples = [p for one in sweeps if (p := sweep_samples.best(one)) is not None]
    strips = [p for one in sweeps if (p := sweep_samples.strip(one)) is not None]
    text = html.render(
        "sweep.html.j2",
        title=" and ".join(one.label for one in sweeps),
        several=False,
        headlines=[headline(one) for one in sweeps],
        notes=[note for one in sweeps for note in sweep_facts.notes(one)],
        parts=_parts(sweeps, drawn),
        rankings=[sweep_facts.ranking(one, home) for one in sweeps],
        samples=[drawn.keep(picture) for picture in samples],
        strips=[drawn.keep(picture) for picture in strips],
        weighed=_weighed(sweeps, drawn),
        reasons=[(one.label, sweep_facts.reasons(one)) for one in sweeps],
        times=[(one.label, sweep_facts.times(one)) for one in sweeps],
        provenance=[(one.label, sweep_facts.provenance(one)) for one in sweeps],
    )
    figures = home / "figures"
    figures.mkdir(exist_ok=True)
    for name, picture in drawn.pictures.items():
        write_atomically(figures / f"{name}.png", picture.light)
    for name, numbers in drawn.numbers.items():
        write_atomically(figures / f"{name}.json", json.dumps(numbers, indent=1) + "\n")
    write_atomically(home / PAGE, text)
    return home / PAGE


def _parts(sweeps: Sequence[Searched], drawn: _Drawn) -> list[Part]:
    made = []
    metrics = list(dict.fromkeys(one.metric for one in sweeps))
    for metric in metrics:
        alike = [one for one in sweeps if one.metric == metric]
        found = of_grids(alike)
        if len(metrics) > 1:
            found = [(_renamed(p, metric), numbers) for p, numbers in found]
        pictures = [drawn.keep(*pair) for pair in found]
        made.append(Part(metric_name(metric), pictures, compare(alike)))
    return made


def _renamed(picture: Picture, metric: str | None) -> Picture:
    from dataclasses import replace

    return replace(picture, name=f"{picture.name}-{file_name(metric or 'none')}")


def _weighed(sweeps: Sequence[Searched], drawn: _Drawn) -> list[Weighed]:
    made = []
    for one in sweeps:
        found = sweep_axes.importance(one)
        if found is None:
            continue
        if found.picture is not None:
            drawn.keep(found.picture, found.numbers)
        by_value = [pair for axis in one.varied if (pair := of_axis(one, axis)) is not None]
        title = sweep_axes.title_of_means(one)
        made.append(Weighed(found, title, [drawn.keep(*pair) for pair in by_value]))
    return made
