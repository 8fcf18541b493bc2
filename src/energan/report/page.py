"""One page that shows a run, or several side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from energan.core import SettingError
from energan.inference.run import Run
from energan.io.files import write_atomically
from energan.io.pictures import is_image
from energan.io.text import weights_text
from energan.report import html
from energan.report.html import PageTable, Picture
from energan.report.run import classification, curves, defects, facts, ood, points, samples, scores
from energan.report.run.contents import RunContents, read_runs

Say = Callable[[str], None]


@dataclass
class Section:
    """shared: pictures of all runs together. runs: the pictures of each; thumbnails are small.

    tables: above the pictures of each run.
    """

    title: str
    intro: str
    runs: list[list[Picture]]
    shared: list[Picture] = field(default_factory=list)
    thumbnails: bool = False
    tables: list[list[PageTable]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.shared) or any(self.runs) or any(self.tables)


def write_report(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    data: bool = True,
    say: Say = lambda text: None,
) -> Path:
    """Write a page about `runs` with its figures as PNGs beside it; the page's path.

    out: by default report.html in the run's folder, or here if there are several runs.
    data: whether to open the runs' data, for neighbours and reconstructions.

    A run that is broken in part is shown as far as it goes. Raises RunError for a path that holds
    no run, SettingError if `out` cannot be a page.
    """
    path, figures = _targets(runs, out)
    contents = read_runs(runs, data)
    sections = _sections(contents, say)
    table = scores.tabulate(contents)
    text = html.render_page(
        title=contents[0].label if len(contents) == 1 else f"{len(contents)} runs",
        runs=contents,
        several=len(contents) > 1,
        sections=sections,
        summary=facts.summary(contents[0]),
        scores=table,
        differences=facts.differences(contents) if len(contents) > 1 else [],
        header=[facts.header(c) for c in contents],
        resolution=[facts.resolution(c) for c in contents],
        changes=[facts.flatten(c.config["asked"]) for c in contents],
        settings=[facts.flatten(c.config["settings"]) for c in contents],
        marks=[curves.marks(c) for c in contents],
        notes=[list(c.notes.items()) for c in contents],
        colours=html.COLOURS,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_figures(figures, sections, contents)
    write_atomically(path, text)
    return path


def _targets(runs: Sequence[str | Path], out: str | Path | None) -> tuple[Path, Path]:
    """The page, and the folder of its figures."""
    if not runs:
        raise SettingError("name a run; `energan runs` lists them")
    if out is None and len(runs) == 1:
        return Path(runs[0]) / "report.html", Path(runs[0]) / "report"
    path = Path("report.html" if out is None else out)
    if path.is_dir():
        raise SettingError(f"--out {path} is a folder; name a file, as {path / 'report.html'}")
    if path.suffix not in (".html", ".htm"):
        raise SettingError(f"--out {path}: a report is a web page; name a file that ends in .html")
    return path, path.with_name(f"{path.stem}-figures")


def _sections(runs: Sequence[RunContents], say: Say) -> list[Section]:
    """In the order of the page; those with nothing to show are left out."""
    say("curves")
    own, progress = [curves.draw_run(c) for c in runs], curves.draw_scores(runs)
    single = len(runs) == 1
    shared = [] if single else curves.draw_overlays(runs) + progress

    def attempt(what: str, draw: Callable[[RunContents], list[Any]]) -> list[list[Any]]:
        return [c.attempt(what, partial(draw, c)) or [] for c in runs]

    sections = [
        Section(
            defects.TITLE,
            defects.INTRO,
            attempt(defects.TITLE.lower(), defects.draw_newest),
            tables=attempt(defects.TITLE.lower(), defects.tabulate),
        ),
        Section(
            defects.WORST,
            defects.WORST_INTRO,
            attempt(defects.WORST.lower(), defects.show_worst),
            thumbnails=True,
        ),
        Section("Curves", "", [own[0] + progress] if single else own, shared),
        Section(
            "Samples over time",
            "From the same latents, or the same held-out pairs, drawn during training.",
            [samples.timeline(c, c.folder.samples) for c in runs],
            thumbnails=True,
        ),
        Section(
            "Reconstructions over time",
            "Top: held-out examples. Middle: the same with the noise that the network saw. "
            "Bottom: their reconstructions. Drawn during training.",
            [samples.timeline(c, c.folder.reconstructions) for c in runs],
            thumbnails=True,
        ),
    ]
    drawn = [_draw_model(c, say) for c in runs]
    for title in (SAMPLES, BETWEEN, NEIGHBOURS, DECODED):
        intro = "Drawn from the checkpoint named above." if title == SAMPLES else ""
        sections.append(Section(title, intro, [pictures.get(title, []) for pictures in drawn]))

    for title, intro, draw, tabulate in (
        ("Classification", classification.INTRO, classification.draw_newest,
         classification.tabulate),
        (ood.TITLE, ood.INTRO, ood.draw_newest, ood.tabulate),
        ("Class coverage", "", scores.draw_class_coverage, None),
    ):  # fmt: skip
        what = title.lower()
        tables = [] if tabulate is None else attempt(what, tabulate)
        sections.append(Section(title, intro, attempt(what, draw), tables=tables))
    return [_drop_repeated_captions(section) for section in sections if section]


def _drop_repeated_captions(section: Section) -> Section:
    """The section with each caption at the first picture that has it."""
    seen: set[str] = set()
    for pictures in section.runs:
        for i, picture in enumerate(pictures):
            if picture.caption in seen:
                pictures[i] = replace(picture, caption="")
            seen.add(picture.caption)
    return section


SAMPLES, BETWEEN, NEIGHBOURS, DECODED = (
    "Samples and their energy", "Interpolation", "Nearest neighbours", "Reconstructions"
)  # fmt: skip
"""Sections that need the networks."""


def _draw_model(contents: RunContents, say: Say) -> dict[str, list[Picture]]:
    """{section: pictures} that need the networks; why one is not there goes to the notes."""
    run, data = contents.run, contents.data
    if run is None:
        return {}
    say(f"samples of {contents.label}")
    if run.given:
        return _draw_pairs(contents)
    on_points = len(run.domain.shape) == 1
    count, x = points.SHOWN if on_points else samples.SCORED, None
    if run.makes_samples:
        x = contents.attempt("fresh samples", lambda: run.sample(count))
        if x is None:
            return {}
    if on_points:
        margin = contents.schedule("margin")
        drawn = contents.attempt("points", lambda: points.draw_points(run, x, data, margin))
        return {SAMPLES: drawn or []}
    if not is_image(run.domain):
        shape = " × ".join(map(str, run.domain.shape))
        contents.notes["pictures"] = f"examples of shape {shape} cannot be drawn"
        return {}
    makers: dict[str, Callable[[], list[Picture]]] = {}
    if x is not None:
        makers[SAMPLES] = partial(_draw_samples, run, x)
        makers[BETWEEN] = partial(samples.draw_interpolations, run)
    if data is not None:
        say(f"neighbours of {contents.label}")
        if x is not None:
            makers[NEIGHBOURS] = partial(samples.draw_neighbours, x, data, run.domain)
        makers[DECODED] = partial(samples.draw_reconstructions, run, data)
    return {title: contents.attempt(title.lower(), make) or [] for title, make in makers.items()}


def _draw_pairs(contents: RunContents) -> dict[str, list[Picture]]:
    """{section: pictures} of a run whose events come with conditions: images of images."""
    run, data = contents.run, contents.data
    assert run is not None
    if not run.domain.paired or not is_image(run.domain):
        contents.notes["pictures"] = "examples that come with vectors are not drawn"
        return {}
    if data is None:
        return {}  # why it is not there is said already
    make = partial(samples.draw_translations, run, data, _protocol(run))
    return {SAMPLES: contents.attempt("held-out pairs", make) or []}


@torch.no_grad()
def _draw_samples(run: Run, x: Tensor) -> list[Picture]:
    extremes = samples.draw_extremes(x, run.energy(x), run.domain)
    return [samples.draw_fresh(x, run.domain, _protocol(run)), *extremes]


def _protocol(run: Run) -> str:
    return f"step {run.step:,}, {weights_text(run.weights)} weights, seed 0"


def _write_figures(folder: Path, sections: Sequence[Section], runs: Sequence[RunContents]) -> None:
    """The page's pictures as files, for papers and slides; those of samples/ are files already."""
    files: dict[str, bytes] = {}
    for section in sections:
        if section.thumbnails:
            continue
        files |= {f"{picture.name}.png": picture.light for picture in section.shared}
        for contents, pictures in zip(runs, section.runs, strict=True):
            start = "" if len(runs) == 1 else contents.label.replace("/", "-") + "-"
            files |= {f"{start}{picture.name}.png": picture.light for picture in pictures}
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in files.items():
        write_atomically(folder / name, png)
