"""Sweeps: how far each is, its trials, their settings and scores in one picture, best samples."""

import io
from typing import Any

import gradio as gr
from PIL import Image

from energan.errors import EnerganError
from energan.io.text import duration, score_text, settings_text
from energan.metrics.catalogue import sign_of
from energan.report.html import Picture
from energan.report.sweep.parallel import draw_parallel
from energan.report.sweep.records import SweepRecords, read
from energan.report.sweep.samples import draw_best
from energan.studio.open_runs import OpenRuns
from energan.studio.panels.base import StudioPanel, dropdown, escape, figure, picture, told

EVERY = 5.0
MOST = 2_000
"""Trials of the table."""


class SweepsPanel(StudioPanel):
    def __init__(self, runs: OpenRuns, tab: Any) -> None:
        super().__init__(runs, tab)
        self.sweep = gr.Dropdown(label="Sweep", choices=[], value=None, allow_custom_value=True)
        self.state = gr.HTML(elem_classes="status", elem_id="sweep-state")
        self.picture = gr.HTML(
            label="A line for each trial: its settings, and its score", container=True,
            show_label=True, elem_id="sweep-picture", elem_classes="figure",
        )  # fmt: skip
        self.table = gr.Dataframe(
            headers=["trial", "state", "score", "took", "with"], interactive=False, wrap=True,
            label="Trials, the best first", max_height=420, elem_id="sweep-table",
        )  # fmt: skip
        self.best = picture(label="Samples of the best", elem_classes="pixels")
        self.seen = gr.State(None)
        self.kept = self.refreshed = [self.sweep]
        shown = [self.state, self.picture, self.table, self.best, self.seen]
        self.sweep.change(self._show, self.sweep, shown, show_progress="hidden")
        gr.Timer(EVERY).tick(self._tick, [self.sweep, self.seen], shown, show_progress="hidden")

    def refresh(self, *kept: Any) -> Any:
        names = [self.workspace.name(one.path) for one in self.workspace.sweeps()]
        return dropdown(names, *kept)

    @told
    def _show(self, name: str | None) -> Any:
        if not name:
            return ["<p>No sweep in the folder; `energan sweep` starts one.</p>", *[None] * 4]
        (one,) = read([self.workspace.sweep(name).path])
        return (
            _progress(one), figure(draw_parallel(one)), _rows(one), _image(draw_best(one)),
            len(one.records),
        )  # fmt: skip

    def _tick(self, name: str | None, seen: int | None) -> Any:
        """Drawn anew when another trial is done."""
        try:
            done = None if not name else len(self.workspace.sweep(name).done())
        except (EnerganError, OSError):
            done = None
        return [gr.skip()] * 5 if done is None or done == seen else self._show(name)


def _progress(one: SweepRecords) -> str:
    states = one.states
    told = ", ".join(f"{states[name]} {name}" for name in ("done", "diverged", "failed"))
    of = f" of the {one.count:,} of the grid" if one.count else ""
    lines = [f"<b>{escape(one.name)}</b>: {len(one.asked):,} trials{of}: {told}, "
             f"{one.missing:,} missing"]  # fmt: skip
    lines += [f"{len(one.unread)} records cannot be read"] * bool(one.unread)
    return f"<p>{'<br>'.join(lines)}</p>"


def _rows(one: SweepRecords) -> list[list[str]]:
    """The best trials first, then those without a score."""
    ranked = one.ranked()
    ids = {record["id"] for record in ranked}
    every = [*ranked, *(record for record in one.records if record["id"] not in ids)]
    axes = list(one.varied) or list(one.axes)
    rows = []
    for record in every[:MOST]:
        score = one.score(record)
        value = "" if score is None or one.metric is None else (
            f"{sign_of(one.metric)} {score_text(score)}"
        )  # fmt: skip
        took = record.get("seconds")
        rows.append([
            record["id"], record["state"], value, "" if took is None else duration(took),
            settings_text(record["values"], axes),
        ])  # fmt: skip
    return rows


def _image(picture: Picture | None) -> Image.Image | None:
    return None if picture is None else Image.open(io.BytesIO(picture.light))
