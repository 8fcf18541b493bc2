"""Runs: a table, the curves and samples of one or two, stop and resume, reports."""

from typing import Any
from urllib.parse import quote

import gradio as gr
import pandas
from PIL import Image

from energan.errors import EnerganError
from energan.inference.run_display import history_of
from energan.io import pictures
from energan.io.console import figure
from energan.io.run_folder import RunFolder
from energan.io.run_summary import DAMAGED, FIGURES, RunSummary
from energan.metrics.catalogue import METRICS
from energan.report.html import data_uri, encode_image
from energan.report.page import write_report
from energan.report.snapshots import spread, step_pictures
from energan.studio.open_runs import OpenRuns
from energan.studio.panels.base import StudioPanel, chosen, dropdown, escape, gallery, told
from energan.studio.training import FAILED, STARTING, log_of, resume, stop, summaries, unbegun

COLUMNS = ["", "run", "state", "recipe", "step", "U(real)", "U(fake)", "images/s", "SWD", "error"]
SHOWN, SIDE = 12, 56
"""Grids of samples of one run, and pixels of a picture in the table."""
EVERY = 3.0
"""Seconds between two looks at the runs."""


class RunsPanel(StudioPanel):
    def __init__(self, runs: OpenRuns, tab: Any) -> None:
        super().__init__(runs, tab)
        self.filter = gr.Textbox(label="Filter", placeholder="name, recipe or state", max_lines=1)
        self.table = gr.Dataframe(
            headers=COLUMNS, datatype=["html", *["str"] * (len(COLUMNS) - 1)], interactive=False,
            label="Runs", wrap=True, max_height=360, elem_id="runs-table",
        )  # fmt: skip
        with gr.Row():
            self.run = gr.Dropdown(label="Run", choices=[], value=None, allow_custom_value=True)
            self.beside = gr.Dropdown(
                label="Compare with", choices=[], value=None, allow_custom_value=True
            )
            self.figure = gr.Dropdown(
                label="Curve", choices=[], value=None, allow_custom_value=True
            )
        self.state = gr.HTML(elem_classes="status")
        with gr.Row():
            end = gr.Button("Stop after a checkpoint")
            go_on = gr.Button("Resume")
            report = gr.Button("Write the report")
        self.curve = gr.LinePlot(x="step", y="value", color="run", height=340, label="Curves")
        with gr.Row():
            self.samples = gallery(
                label="Samples over time", columns=3, height=360, elem_classes="pixels",
            )  # fmt: skip
            self.others = gallery(
                label="Samples of the run beside", columns=3, height=360, elem_classes="pixels",
                visible=False,
            )  # fmt: skip
        with gr.Accordion("What it prints", open=False):
            self.log = gr.Textbox(
                show_label=False, lines=12, interactive=False, elem_id="runs-log",
                placeholder="of trainings that were started or resumed on this page",
            )  # fmt: skip
        with gr.Accordion("Settings", open=False):
            self.settings = gr.JSON(label="Asked for, and all settings")
        self.kept = [self.filter, self.run, self.beside]
        self.refreshed = [self.table, self.run, self.beside]
        shown = [
            self.state, self.figure, self.curve, self.samples, self.others, self.log, self.settings,
        ]  # fmt: skip
        asked = [self.run, self.beside, self.figure]
        self.filter.change(self._table, self.filter, self.table, show_progress="hidden")
        self.table.select(self._select, self.filter, self.run, show_progress="hidden")
        for component in (self.run, self.beside):
            component.change(self._show, asked, shown, show_progress="hidden")
        self.figure.input(self._curve, asked, self.curve, show_progress="hidden")
        for button, act in ((end, self._stop), (go_on, self._resume), (report, self._report)):
            button.click(act, [self.run, self.beside], self.state)
        timer = gr.Timer(EVERY)
        self.seen = gr.State("")
        timer.tick(
            self._tick, [*asked, self.filter, self.seen],
            [*shown, self.table, self.run, self.beside, self.seen], show_progress="hidden",
        )  # fmt: skip

    def refresh(self, *kept: Any) -> Any:
        words, run, beside = kept
        names = self._names()
        return self._table(words), dropdown(names, run), dropdown(["", *names], beside)

    def _names(self) -> list[str]:
        sound = [run for run in summaries(self.workspace) if run.state != DAMAGED]
        return [self.workspace.name(run.path) for run in sound]

    # --- the table --------------------------------------------------------------------------------

    def _found(self, words: str | None) -> list[RunSummary]:
        wanted = (words or "").lower().split()
        return [
            run for run in summaries(self.workspace)
            if all(w in f"{self.workspace.name(run.path)} {run.recipe} {run.state}".lower()
                   for w in wanted)
        ]  # fmt: skip

    def _table(self, words: str | None) -> Any:
        return [self._row(run) for run in self._found(words)]

    def _row(self, run: RunSummary) -> list[str]:
        figures = [figure(run.figures.get(name)) for name in FIGURES]
        told = run.state in (DAMAGED, STARTING, FAILED)
        state = f"{run.state}: {run.reason}" if told else run.state
        name = self.workspace.name(run.path)
        return [_thumbnail(RunFolder(run.path)), name, state, run.recipe, run.progress, *figures]

    def _select(self, words: str, event: gr.SelectData) -> Any:
        row = event.row_value
        return row[1] if row and len(row) > 1 else gr.skip()

    # --- one run, or two --------------------------------------------------------------------------

    @told
    def _show(self, run: str | None, beside: str | None, curve: str | None) -> Any:
        return self._live(run, beside, curve) if run else (gr.skip(),) * 7

    @told
    def _curve(self, run: str | None, beside: str | None, curve: str | None) -> Any:
        return self._plot(self._history(chosen(run), beside), curve)

    def _live(self, run: str, beside: str | None, curve: str | None) -> tuple[Any, ...]:
        """What changes while a run trains."""
        history = self._history(run, beside)
        known = set(history["figure"])
        names = [*(n for n in FIGURES if n in known), *sorted(known - set(FIGURES))]
        now = curve if curve in names else next(iter(names), None)
        settings = None
        if unbegun(self.workspace, run) is None:
            config = self.workspace.run(run).read_config()
            settings = {"asked": config["asked"], "settings": config["settings"]}
        figures = gr.update(choices=[(_title(n), n) for n in names])
        if now != curve:  # else another one may just have been chosen
            figures["value"] = now
        return (
            self._state(run, beside),
            figures,
            self._plot(history, now),
            self._samples(run),
            gr.update(visible=bool(beside), value=self._samples(beside)),
            log_of(self.workspace, run),
            settings,
        )

    def _tick(
        self, run: str | None, beside: str | None, curve: str | None, words: str | None, seen: str
    ) -> Any:
        """Only what changed since the last look."""
        live: tuple[Any, ...] = (gr.skip(),) * 7
        try:
            names, found = self._names(), self._found(words)
            log = log_of(self.workspace, run) if run else ""
            now = repr([(one.path, one.state, one.step, one.reason) for one in found])
            now += repr((names, run, beside, log))
            if now == seen:
                return *live, *[gr.skip()] * 3, seen
            if run in names:
                live = self._live(run, beside, curve)
        except (EnerganError, OSError):
            return *live, *[gr.skip()] * 3, seen
        choices = gr.update(choices=names), gr.update(choices=["", *names])
        return *live, [self._row(one) for one in found], *choices, now

    def _history(self, run: str, beside: str | None) -> pandas.DataFrame:
        """Rows of step, figure, value and run, of runs that have begun."""
        parts = []
        for name in dict.fromkeys(n for n in (run, beside) if n):
            if unbegun(self.workspace, name) is None:
                wide = history_of(self.workspace.run(name)).reset_index()
                long = wide.melt("step", var_name="figure", value_name="value").dropna()
                parts.append(long.assign(run=name))
        if not parts:
            return pandas.DataFrame(columns=["step", "figure", "value", "run"])
        return pandas.concat(parts, ignore_index=True)

    def _plot(self, history: pandas.DataFrame, curve: str | None) -> Any:
        shown = history[history["figure"] == curve]
        return gr.update(
            value=shown[["step", "value", "run"]],
            y_title=_title(curve or ""),
            label=_title(curve or ""),
        )

    def _samples(self, run: str | None) -> list[tuple[Image.Image, str]]:
        if not run or unbegun(self.workspace, run) is not None:
            return []
        found = spread(step_pictures(self.workspace.run(run).samples), SHOWN)
        return [(pictures.open_image(path), f"step {step:,}") for step, path in reversed(found)]

    def _state(self, run: str, beside: str | None) -> str:
        return "".join(self._told(name) for name in (run, beside) if name)

    def _told(self, name: str) -> str:
        """A run's state, its warnings and its report, as HTML."""
        if (early := unbegun(self.workspace, name)) is not None:
            return f"<p><b>{escape(name)}</b>: {early.state}: {escape(early.reason)}</p>"
        folder = self.workspace.run(name)
        faults: list[str] = []
        events = folder.read(faults=faults)
        steps = folder.read_config()["settings"]["training"]["steps"]
        done = max((event["step"] for event in events), default=0)
        lines = [f"<b>{escape(name)}</b>: {folder.state()}, step {done:,} of {steps:,}"]
        lines += [escape(e["reason"]) for e in events if e["event"] in ("diverged", "refused")][-1:]
        warned = {e.get("kind"): e.get("says", "") for e in events if e["event"] == "health"}
        lines += [f"Warning: {escape(says)}" for says in warned.values()]
        lines += [f"{len(faults)} lines of events.jsonl cannot be read"] * bool(faults)
        if (folder.path / "report.html").is_file():
            link = f"/reports/{quote(name)}"
            lines.append(f'<a href="{link}" target="_blank" rel="noopener">Open the report</a>')
        return f"<p>{'<br>'.join(lines)}</p>"

    # --- what can be done -------------------------------------------------------------------------

    @told
    def _stop(self, run: str | None, beside: str | None) -> Any:
        name = chosen(run)
        early = unbegun(self.workspace, name)
        stop(self.workspace, name)
        if early is not None:
            return f"<p><b>{escape(name)}</b> was cancelled; it made no run.</p>"
        gr.Info("It finishes its step, saves a checkpoint and stops.")
        return self._state(name, beside)

    @told
    def _resume(self, run: str | None, beside: str | None) -> Any:
        resume(self.workspace, chosen(run))
        gr.Info("It goes on from its newest checkpoint.")
        return self._state(chosen(run), beside)

    @told
    def _report(
        self, run: str | None, beside: str | None, progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:  # fmt: skip
        folder = self.workspace.run(chosen(run))
        with self.runs.use(chosen(run)) as opened:
            data = self.workspace.has_data(opened)
            progress(0.1, "drawing")
            write_report([folder.path], None, data=data, say=lambda text: None)
        return self._state(chosen(run), beside)


def _thumbnail(folder: RunFolder) -> str:
    """The first of a run's newest samples, as HTML."""
    try:
        found = step_pictures(folder.samples)
        shape = folder.read_config()["resolved"]["domain"]["shape"]
        if not found:
            return ""
        image: Image.Image = pictures.open_image(found[-1][1])
        image = pictures.cells(image, shape)[0] if len(shape) == 3 else image
        image.thumbnail((SIDE, SIDE))
    except (EnerganError, OSError, KeyError, IndexError, ValueError):
        return ""
    uri = data_uri(encode_image("", "", "", image.convert("RGB")).light)
    return f'<img alt="" style="max-height:{SIDE}px" src="{uri}">'


def _title(name: str) -> str:
    found = METRICS.get(name)
    return (found.title if found else "") or name.replace("_", " ")
