"""One page that shows a run, or several side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from energan.core import SettingError
from energan.data import DataSet
from energan.inference.run import Run
from energan.io.files import write_atomically
from energan.io.pictures import is_image
from energan.report import html
from energan.report.html import Picture
from energan.report.run import classification, curves, facts, scores
from energan.report.run import ood as outside
from energan.report.run import points as plane
from energan.report.run import samples as galleries
from energan.report.run.contents import Material, gather
from energan.report.run.samples import timeline

Say = Callable[[str], None]


@dataclass
class Section:
    """shared: pictures of all runs together. runs: the pictures of each; thumbnails are small.

    rankings, errors: tables above the pictures of each run, where there are any.
    """

    title: str
    intro: str
    runs: list[list[Picture]]
    shared: list[Picture]
    thumbnails: bool = False
    rankings: list[list[outside.Ranking]] = field(default_factory=list)
    errors: list[list[classification.Errors]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.shared) or any(self.runs)


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
    materials = gather(runs, data)
    sections = _sections(materials, say)
    found = scores.table(materials)
    text = html.render(
        title=materials[0].label if len(materials) == 1 else f"{len(materials)} runs",
        materials=materials,
        several=len(materials) > 1,
        sections=sections,
        summary=facts.summary(materials[0]),
        scores=found,
        differing=facts.differing(materials) if len(materials) > 1 else [],
        header=[facts.header(m) for m in materials],
        resolved=[facts.resolved(m) for m in materials],
        asked=[facts.flat(m.config["asked"]) for m in materials],
        settings=[facts.flat(m.config["settings"]) for m in materials],
        marks=[curves.marks(m) for m in materials],
        lacking=[list(m.lacking.items()) for m in materials],
        colours=html.COLOURS,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_figures(figures, sections, materials)
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


def _sections(materials: Sequence[Material], say: Say) -> list[Section]:
    single = len(materials) == 1
    say("curves")
    own = [curves.of_one(m) for m in materials]
    scored = curves.scores(materials)
    shared = [] if single else curves.overlays(materials) + scored
    found = [
        Section("Curves", "", [own[0] + scored] if single else own, shared),
        Section(
            "Samples over time",
            "Of the same latents, or of the same held-out pairs, drawn while the run trained.",
            [timeline(m, m.folder.samples) for m in materials],
            [],
            thumbnails=True,
        ),
        Section(
            "Reconstructions over time",
            "Held-out events, below them the same with the noise that the network saw, and below "
            "those what it made of them, drawn while the run trained.",
            [timeline(m, m.folder.reconstructions) for m in materials],
            [],
            thumbnails=True,
        ),
    ]
    galleries = [_of_model(m, say) for m in materials]
    for title, intro in _TITLES.items():
        found.append(Section(title, intro, [g.get(title, []) for g in galleries], []))
    what = "classification"
    drawn = [m.attempt(what, partial(classification.newest, m)) or [] for m in materials]
    told = [m.attempt(what, partial(classification.errors, m)) or [] for m in materials]
    intro = classification.INTRO
    found.append(Section(classification.TITLE, intro, drawn, [], errors=told))
    what = "energy of other data"
    others = [m.attempt(what, partial(outside.pictures, m)) or [] for m in materials]
    ranked = [m.attempt(what, partial(outside.rankings, m)) or [] for m in materials]
    found.append(Section(outside.TITLE, outside.INTRO, others, [], rankings=ranked))
    coverage = [m.attempt("class coverage", partial(scores.classes, m)) for m in materials]
    found.append(Section("Class coverage", "", [[c] if c else [] for c in coverage], []))
    return [_told_once(section) for section in found if section]


def _told_once(section: Section) -> Section:
    """The section with each caption at the first picture that has it."""
    said: set[str] = set()
    for pictures in section.runs:
        for i, picture in enumerate(pictures):
            if picture.caption in said:
                pictures[i] = replace(picture, caption="")
            said.add(picture.caption)
    return section


SAMPLES, BETWEEN, NEIGHBOURS, DECODED = (
    "Samples and their energy", "Interpolation", "Nearest neighbours", "Reconstructions"
)  # fmt: skip
_TITLES = {
    SAMPLES: "Drawn from the checkpoint named above.",
    BETWEEN: "",
    NEIGHBOURS: "",
    DECODED: "",
}


_WEIGHTS = {"ema": "EMA", "raw": "raw"}


def _of_model(material: Material, say: Say) -> dict[str, list[Picture]]:
    """{section: pictures} that need the networks; what fails is said in `material.lacking`."""
    run, data = material.run, material.data
    if run is None:
        return {}
    say(f"samples of {material.label}")
    if run.given:
        return _of_conditions(material)
    on_points = len(run.domain.shape) == 1
    count, x = plane.SHOWN if on_points else galleries.JUDGED, None
    if run.makes_samples:
        x = material.attempt("fresh samples", lambda: run.sample(count))
        if x is None:
            return {}
    if on_points:
        margin = material.scheduled("margin")
        made = material.attempt("points", lambda: plane.points(run, x, data, margin))
        return {SAMPLES: made or []}
    if not is_image(run.domain):
        shape = " × ".join(map(str, run.domain.shape))
        material.lacking["pictures"] = f"events of shape {shape} cannot be drawn"
        return {}
    made_of: dict[str, Callable[[], list[Picture]]] = {}
    if x is not None:
        made_of[SAMPLES] = partial(_samples, material, x)
        made_of[BETWEEN] = partial(galleries.interpolations, run)
    if data is not None:
        say(f"neighbours of {material.label}")
        if x is not None:
            made_of[NEIGHBOURS] = partial(_neighbours, x, data, run)
        made_of[DECODED] = partial(galleries.reconstructions, run, data)
    return {title: material.attempt(title.lower(), make) or [] for title, make in made_of.items()}


def _neighbours(x: Tensor, data: DataSet, run: Run) -> list[Picture]:
    return [galleries.nearest_training(x, data, run.domain)]


def _of_conditions(material: Material) -> dict[str, list[Picture]]:
    """{section: pictures} of a run whose events come with conditions: images of images."""
    run, data = material.run, material.data
    assert run is not None
    if not run.domain.paired or not is_image(run.domain):
        material.lacking["pictures"] = "events that come with vectors are not drawn"
        return {}
    if data is None:
        return {}  # why it is not there is said already
    make = partial(galleries.translated, run, data, _about(run))
    return {SAMPLES: material.attempt("held-out pairs", make) or []}


def _about(run: Run) -> str:
    return f"step {run.step:,}, {_WEIGHTS[run.weights]} weights, seed 0"


@torch.no_grad()
def _samples(material: Material, x: Tensor) -> list[Picture]:
    run = material.run
    assert run is not None
    extreme = galleries.extremes(x, run.energy(x), run.domain)
    return [galleries.fresh(x, run.domain, _about(run)), *extreme]


def _write_figures(
    folder: Path, sections: Sequence[Section], materials: Sequence[Material]
) -> None:
    """The page's pictures as files, for papers and slides; those of samples/ are files already."""
    files: dict[str, bytes] = {}
    for section in sections:
        if section.thumbnails:
            continue
        files |= {f"{picture.name}.png": picture.light for picture in section.shared}
        for material, pictures in zip(materials, section.runs, strict=True):
            start = "" if len(materials) == 1 else material.label.replace("/", "-") + "-"
            files |= {f"{start}{picture.name}.png": picture.light for picture in pictures}
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in files.items():
        (folder / name).write_bytes(png)
