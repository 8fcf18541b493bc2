"""Train: a task, images, what is there of them, a time budget; the run is a process of its own."""

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from energan.data import open_data
from energan.data.description import describe_data
from energan.data.thumbnails import thumbnails
from energan.errors import EnerganError, SettingError
from energan.experiment.settings import load
from energan.io.files import copy_files
from energan.io.run_summary import summarise
from energan.recipes import RECIPES
from energan.studio.open_runs import OpenRuns
from energan.studio.panels.base import StudioPanel, escape, picture, told
from energan.studio.training import (
    FAILED,
    STARTING,
    Training,
    log_of,
    new_folder,
    stop,
    train,
    unbegun,
)
from energan.studio.uploads import check_files
from energan.studio.workspace import UPLOADED, Workspace

FIRST = {
    "Make images like yours": "r3gan-folder",
    "Is this part normal, and where not": "inspect-folder",
    "Classify from few labels": "few-labels",
    "Turn images into others": "pix2pix-folder",
    "Make images of a class": "cdcgan-folder",
}
"""Tasks, of `energan recipes`, and the recipe of each that is offered first."""
BUILT_IN = ("digits", "mnist", "cifar10")
SHOWN = 64
DIRECTIONS = ("left-to-right", "right-to-left")
PANELS = {
    "score": "Judge", "sample": "Generate", "classify": "Classify", "translate": "Translate",
    "restore": "Restore", "tag": "Tag",
}  # fmt: skip
"""Where a finished run can be used, by its abilities."""
EVERY = 2.0


class TrainPanel(StudioPanel):
    def __init__(self, runs: OpenRuns, tab: Any) -> None:
        super().__init__(runs, tab)
        with gr.Row():
            with gr.Column(min_width=280):
                look = self._data()
            with gr.Column(min_width=280):
                start, stop_it = self._budget()
        self.found = gr.HTML(elem_classes="status", elem_id="train-found")
        self.picture = picture(
            label="Some of them, as the network sees them",
            elem_classes="pixels",
        )  # fmt: skip
        self.refreshed = [self.source]
        self.begun = gr.State("")
        self.task.change(
            self._task, self.task, [self.recipe, self.about, self.labels, self.direction]
        )
        self.recipe.change(_about, self.recipe, self.about)
        data = [self.recipe, self.source, self.files, self.size, self.labels, self.direction]
        look.click(self._look, [*data, self.name], [self.found, self.picture, self.source])
        start.click(
            self._start, [*data, self.minutes, self.seed, self.name],
            [self.begun, self.state, self.source],
        )  # fmt: skip
        stop_it.click(self._stop, self.begun, self.begun)
        gr.Timer(EVERY).tick(
            self._watch, [self.begun, self.log], [self.state, self.log], show_progress="hidden"
        )

    def _data(self) -> Any:
        """The task and the images; the button that looks at them."""
        first = next(iter(FIRST))
        self.task = gr.Radio(list(FIRST), value=first, label="What is it for?")
        self.recipe = gr.Dropdown(
            label="Recipe",
            choices=_recipes(first),
            value=FIRST[first],
            allow_custom_value=True,
        )
        self.about = gr.HTML(_about(FIRST[first]), elem_classes="status")
        self.source = gr.Dropdown(
            label="Images: a folder that the studio may read, or a built-in set",
            choices=[], value=None, allow_custom_value=True,
        )  # fmt: skip
        self.files = gr.File(
            label="Or upload images", file_count="multiple", type="filepath", height=140,
            elem_id="train-files",
        )  # fmt: skip
        self.labels = gr.Textbox(
            label="Labels: a CSV of file,label in the folder", visible=False, max_lines=1
        )
        self.direction = gr.Radio(
            DIRECTIONS, value=DIRECTIONS[0], visible=False,
            label="Which half of a pair is the input",
        )  # fmt: skip
        return gr.Button("Look at the images")

    def _budget(self) -> Any:
        """How long, and as what; the buttons that start and stop it."""
        self.size = gr.Number(
            label="Resize to a square of this side (data.size; 0: as the recipe has it)", value=0,
            precision=0, minimum=0, info="smaller images train faster; enlarged ones gain nothing",
        )  # fmt: skip
        self.minutes = gr.Number(
            label="About how many minutes (0: all steps of the recipe)",
            value=10,
            minimum=0,
            info="before that it reads the images and times some steps",
        )
        self.seed = gr.Number(label="Seed", value=0, precision=0, minimum=0)
        self.name = gr.Textbox(label="Name of the run", value="my-run", max_lines=1)
        start = gr.Button("Start training", variant="primary")
        self.state = gr.HTML(elem_classes="status", elem_id="train-state")
        self.log = gr.Textbox(label="What it prints", lines=6, interactive=False)
        return start, gr.Button("Stop the training")

    def refresh(self, *kept: Any) -> Any:
        return gr.update(choices=self._sources())

    def _sources(self) -> list[str]:
        """Folders of data, those in them, and built-in sets."""
        roots = [*self.workspace.data, self.workspace.folder / UPLOADED]
        found = [str(path) for path in self.workspace.data]
        for root in roots:
            if root.is_dir():
                found += [str(p) for p in sorted(root.iterdir())[:200] if p.is_dir()]
        return [*found, *BUILT_IN]

    def _task(self, task: str) -> Any:
        recipe = FIRST.get(task, "ebgan-folder")
        labelled = task in ("Classify from few labels", "Make images of a class")
        return (
            gr.update(choices=_recipes(task), value=recipe), _about(recipe),
            gr.update(visible=labelled), gr.update(visible=task == "Turn images into others"),
        )  # fmt: skip

    # --- what is there ----------------------------------------------------------------------------

    def _given(self, source: str | None, files: list[str] | None, name: str) -> tuple[str, str]:
        """The source, uploads kept where a training finds them later; and what was skipped."""
        if not files:
            if not source:
                raise SettingError("choose a folder, or upload images")
            return self.workspace.source(source), ""
        given = check_files(files, self.workspace.uploads)
        new_folder(self.workspace, name)  # the name is one that a folder can have
        folder = self.workspace.folder / UPLOADED / name
        if not folder.is_dir() or len(list(folder.iterdir())) != len(given.files):
            copy_files(given.files, folder)
        skipped = "".join(f"<br>skipped: {escape(n)}: {escape(r)}" for n, r in given.skipped[:20])
        return self.workspace.source(str(folder)), skipped

    @told
    def _look(
        self, recipe: str, source: str | None, files: list[str] | None, size: float, labels: str,
        direction: str, name: str,
    ) -> Any:  # fmt: skip
        found, skipped = self._given(source, files, name)
        changes = _changes(recipe, size, labels, direction)
        settings = load(recipe).changed({"data": {"source": found, **changes}}).settings.data
        data = open_data(settings)
        lines = "<br>".join(map(escape, describe_data(data, settings)))
        picture: Image.Image = thumbnails(data, SHOWN)
        return f"<p>{lines}{skipped}</p>", picture, gr.update(value=found)

    # --- training ---------------------------------------------------------------------------------

    @told
    def _start(
        self, recipe: str, source: str | None, files: list[str] | None, size: float, labels: str,
        direction: str, minutes: float, seed: float, name: str,
    ) -> Any:  # fmt: skip
        found, _ = self._given(source, files, name)
        changes = _changes(recipe, size, labels, direction)
        words = [w for name, value in changes.items() for w in (f"--data.{name}", str(value))]
        words += ["--seed", str(int(seed or 0))]
        words += ["--minutes", f"{minutes:g}"] if minutes else []
        train(self.workspace, Training(recipe, found, name, tuple(words)))
        return name, _progress(self.workspace, name), gr.update(value=found)

    def _watch(self, name: str, shown: str) -> Any:
        if not name:
            return [gr.skip()] * 2
        log = log_of(self.workspace, name)
        return _progress(self.workspace, name), gr.skip() if log == shown else log

    @told
    def _stop(self, name: str) -> Any:
        if not name:
            raise SettingError("no training was started on this page; the panel Runs has them all")
        if cancelled := unbegun(self.workspace, name) is not None:
            gr.Info(f"{escape(name)} is cancelled.")
        else:
            gr.Info("It finishes its step, saves a checkpoint and stops.")
        stop(self.workspace, name)
        return "" if cancelled else name


def _progress(workspace: Workspace, name: str) -> str:
    """How far a training is, and what can be done with it, as HTML."""
    try:
        one = unbegun(workspace, name) or summarise(workspace.run(name))
    except EnerganError as error:
        return f"<p>{escape(error)}</p>"
    told = f"<b>{escape(name)}</b>: {one.state}"
    if one.state in (STARTING, FAILED):
        return f"<p>{told}: {escape(one.reason)}</p>"
    told += f", step {one.step:,} of {one.steps:,}"
    if one.state == "running":
        return f"<p>{told}. It goes on without this page; the panel Runs shows its curves.</p>"
    panels = [panel for ability, panel in PANELS.items() if ability in one.abilities]
    return f"<p>{told}. You can use it in: {', '.join(panels)}.</p>"


def _recipes(task: str) -> list[str]:
    """Those for images of one's own."""
    return [
        recipe.name for recipe in RECIPES.values()
        if recipe.task == task and recipe.name.endswith(("-folder", "few-labels", "-photos"))
    ]  # fmt: skip


def _about(recipe: str) -> str:
    found = RECIPES.get(recipe)
    if found is None:
        return ""
    measured = f"<br>Measured: {escape(found.measured)}" if found.measured else ""
    return f"<p>{escape(found.summary)}{measured}</p>"


def _changes(recipe: str, size: float, labels: str, direction: str) -> dict[str, Any]:
    """Settings of the data. Raises SettingError for a recipe that is not offered, and for labels
    that are no file of the folder."""
    if recipe not in {name for task in FIRST for name in _recipes(task)}:
        raise SettingError("choose one of the recipes")
    changes: dict[str, Any] = {"size": int(size)} if size else {}
    if labels := (labels or "").strip():
        if Path(labels).name != labels or labels.startswith("-"):
            raise SettingError(f"labels {labels}: name a CSV in the folder of the images")
        changes["labels"] = labels
    if recipe.startswith("pix2pix"):
        changes["direction"] = direction if direction in DIRECTIONS else DIRECTIONS[0]
    return changes
