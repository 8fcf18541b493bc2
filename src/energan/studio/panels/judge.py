"""Judge: energies and verdicts of images, where they come from, and a threshold to move."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from energan.anomaly.calibration import FPR, Calibration, lowest_rate
from energan.anomaly.heatmaps import ColourScale, scale_of, threshold_scale
from energan.anomaly.overlays import OPACITY, overlay, shrink
from energan.anomaly.score_table import ScoreTable, open_score_table
from energan.data.sources.folders.label_csv import save_labelled
from energan.errors import SettingError
from energan.inference.run import Run
from energan.inference.thresholds import kept_calibration
from energan.io.files import copy_files
from energan.io.text import plural
from energan.report.energies import draw_threshold
from energan.studio.open_runs import OpenRuns
from energan.studio.panels.base import StudioPanel, chosen, escape, figure, gallery, picture, told
from energan.studio.training import new_folder
from energan.studio.uploads import check_files

COLUMNS = ["image", "energy", "percentile", "anomalous", "your label"]
NORMAL, ANOMALOUS = "normal", "anomalous"
SHOWN, SIDE, LARGE = 60, 160, 1_024
"""Images in the gallery, pixels of their longer side, and of that of the large picture."""
Pixels = NDArray[np.uint8]


@dataclass
class Judged:
    """What one visitor has judged. order: rows of the table, the highest energy first. labels: the
    visitor's own, by row. shown: the row of the large picture, its pixels, its map on them."""

    run: str
    table: ScoreTable
    files: tuple[Path, ...]
    order: list[int]
    labels: dict[int, str] = field(default_factory=dict)
    shown: tuple[int, Pixels, NDArray[np.float32], ColourScale] | None = None

    @property
    def calibration(self) -> Calibration:
        assert self.table.calibration is not None
        return self.table.calibration


class JudgePanel(StudioPanel):
    def __init__(self, runs: OpenRuns, tab: Any) -> None:
        super().__init__(runs, tab)
        self.judged = gr.State(None)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                judge, keep, calibrate = self._inputs()
            with gr.Column(scale=2, min_width=280):
                marks = self._large()
        save = self._results()
        self.kept = self.refreshed = [self.run]
        view = [
            self.judged, self.told, self.figure, self.rows, self.gallery, self.picture, self.line,
        ]  # fmt: skip
        shown = [*view, self.rate]
        judge.click(self._judge, [self.run, self.files], shown)
        keep.click(self._keep, [self.judged, self.rate], self.told)
        calibrate.click(self._calibrate, [self.run, self.normal, self.rate], self.told).success(
            self._judge_again, [self.judged, self.run, self.files], shown
        )
        save.click(self._save, [self.judged, self.name], self.csv)
        for button, label in marks:
            button.click(
                self._marker(label), [self.judged, self.rate], [self.told, self.rows, self.line]
            )
        self._follow_changes()

    def _inputs(self) -> Any:
        """What is judged and by what; the buttons to judge, to keep the threshold, to calibrate."""
        self.run = gr.Dropdown(label="Run", choices=[], allow_custom_value=True)
        self.files = gr.File(
            label="Images to judge", file_count="multiple", type="filepath", height=160,
            elem_id="judge-files",
        )  # fmt: skip
        judge = gr.Button("Judge", variant="primary")
        self.rate = gr.Slider(
            0.1, 50, value=100 * FPR, step=0.1, elem_id="judge-rate",
            label="Threshold: false alarms among new normal images, at most (%)",
        )  # fmt: skip
        self.figure = gr.HTML(elem_classes="figure", elem_id="judge-figure")
        self.told = gr.HTML("Drop images, then judge them.", elem_classes="status")
        keep = gr.Button("Keep this threshold in the run")
        with gr.Accordion("Threshold from your own normal images", open=False):
            self.normal = gr.File(
                label="Normal images that were not trained on", file_count="multiple",
                type="filepath", height=140,
            )  # fmt: skip
            calibrate = gr.Button("Calibrate on them")
        return judge, keep, calibrate

    def _large(self) -> Any:
        """One image with its heat map; the buttons that label it, with their labels."""
        self.picture = picture(
            label="Heat map", height=420,
            elem_classes="pixels", elem_id="judge-picture",
        )  # fmt: skip
        self.opacity = gr.Slider(0, 1, value=OPACITY, step=0.05, label="Opacity of the heat map")
        self.line = gr.HTML(elem_classes="status")
        with gr.Row():
            right = gr.Button("This is normal")
            wrong = gr.Button("This is anomalous")
            neither = gr.Button("Remove my label")
        return (right, NORMAL), (wrong, ANOMALOUS), (neither, "")

    def _results(self) -> Any:
        """All images that were judged; the button that saves the labels."""
        self.gallery = gallery(
            label="The highest energy first", columns=6, height=260,
            elem_classes="pixels", allow_preview=False, elem_id="judge-gallery",
        )  # fmt: skip
        self.rows = gr.Dataframe(
            headers=COLUMNS, interactive=False, label="Scores", max_height=360, wrap=True,
            elem_id="judge-table",
        )  # fmt: skip
        with gr.Row():
            self.name = gr.Textbox(label="Save images and labels as", value="labelled", max_lines=1)
            save = gr.Button("Save labels")
        self.csv = gr.File(label="Labels", interactive=False, visible=False)
        return save

    def _follow_changes(self) -> None:
        """What moves with the sliders, and with the chosen image."""
        self.rate.change(
            self._move, [self.judged, self.rate], [self.told, self.figure, self.rows],
            show_progress="hidden", trigger_mode="always_last",
        )  # fmt: skip
        self.opacity.change(
            self._draw, [self.judged, self.opacity], self.picture, show_progress="hidden",
            trigger_mode="always_last",
        )  # fmt: skip
        for place in (self.rows, self.gallery):
            place.select(
                self._select, [self.judged, self.opacity], [self.judged, self.picture, self.line]
            )

    def refresh(self, *kept: Any) -> Any:
        return self.choices("score", *kept)

    # --- judging ----------------------------------------------------------------------------------

    @told
    def _judge(self, run: str | None, files: list[str] | None) -> Any:
        given = check_files(files, self.workspace.uploads)
        with self.runs.use(chosen(run)) as opened:
            calibration = self._calibration(opened)
            table = open_score_table(
                [str(path) for path in given.files], opened.job.settings.data, opened.domain.whole
            ).score(opened.energies, calibration)
            table = replace(table, skipped=(*given.skipped, *table.skipped))
            judged = Judged(chosen(run), table, given.files, table.worst(len(table)))
            pictures = _thumbnails(judged, opened)
            picture, line = self._show(judged, opened, judged.order[0], OPACITY)
        return (
            judged, _summary(judged, calibration), _figure(judged, calibration),
            _rows(judged, calibration), pictures, picture, line,
            gr.update(value=100 * calibration.fpr, minimum=100 * calibration.lowest_fpr),
        )  # fmt: skip

    def _calibration(self, run: Run) -> Calibration:
        run.check_judges()
        if len(run.domain.shape) != 3:
            raise SettingError(f"{run.path.name} was trained on points, which are no images")
        kept = run.calibration
        if kept is None or kept.network != run.network:
            self.workspace.check_data(run)
        return kept_calibration(run, None)

    def _show(self, judged: Judged, run: Run, row: int, opacity: float) -> tuple[Pixels, str]:
        heat = run.heatmap(judged.table.events([row]))[0]
        scale = threshold_scale(judged.calibration, run.heatmap_kind)
        if scale is None or judged.calibration.map_smoothing:
            scale = scale_of(heat, run.heatmap_kind)
        _, original = next(judged.table.originals([row], run.domain))
        judged.shown = row, original.pixels, original.place(heat), scale
        return _overlaid(judged, opacity), _line(judged, row)

    @told
    def _select(self, judged: Judged | None, opacity: float, event: gr.SelectData) -> Any:
        if judged is None:
            return [gr.skip()] * 3
        at = event.index[0] if isinstance(event.index, list | tuple) else event.index
        if not 0 <= at < len(judged.order):
            return [gr.skip()] * 3
        with self.runs.use(judged.run) as run:
            return judged, *self._show(judged, run, judged.order[at], opacity)

    @told
    def _draw(self, judged: Judged | None, opacity: float) -> Any:
        return gr.skip() if judged is None or judged.shown is None else _overlaid(judged, opacity)

    # --- the threshold ----------------------------------------------------------------------------

    @told
    def _move(self, judged: Judged | None, rate: float) -> Any:
        if judged is None:
            return [gr.skip()] * 3
        calibration = judged.calibration.at(rate / 100)
        return (
            _summary(judged, calibration), _figure(judged, calibration),
            _rows(judged, calibration),
        )  # fmt: skip

    @told
    def _keep(self, judged: Judged | None, rate: float) -> Any:
        if judged is None:
            raise SettingError("judge some images first")
        with self.runs.use(judged.run) as run:
            kept = kept_calibration(run, rate / 100)
        gr.Info("The run keeps this threshold; energan score uses it too.")
        return _summary(judged, kept)

    @told
    def _calibrate(self, run: str | None, files: list[str] | None, rate: float) -> Any:
        given = check_files(files, self.workspace.uploads)
        with self.runs.use(chosen(run)) as opened:
            lowest = 100 * lowest_rate(len(given.files))
            folder = self.workspace.uploaded(f"normal-{chosen(run)}")
            copy_files(given.files, folder)
            made = opened.calibrate(folder, max(rate, lowest) / 100)
        skipped = f"; {plural(len(given.skipped), 'file')} skipped" if given.skipped else ""
        return (
            f"<p>Calibrated on {plural(made.count, 'normal image')}{skipped}: the threshold is "
            f"energy {made.threshold:.5g}, which {made.promise}.</p>"
        )

    def _judge_again(self, judged: Judged | None, run: str | None, files: list[str] | None) -> Any:
        return [gr.skip()] * 8 if judged is None else self._judge(run, files)

    # --- the visitor's labels ---------------------------------------------------------------------

    def _marker(self, label: str) -> Any:
        @told
        def mark(judged: Judged | None, rate: float) -> Any:
            if judged is None or judged.shown is None:
                raise SettingError("choose an image first: judge some, then click one")
            row = judged.shown[0]
            judged.labels.pop(row, None)
            if label:
                judged.labels[row] = label
            calibration = judged.calibration.at(rate / 100)
            return _summary(judged, calibration), _rows(judged, calibration), _line(judged, row)

        return mark

    @told
    def _save(self, judged: Judged | None, name: str) -> Any:
        if judged is None or not judged.labels:
            raise SettingError("label some images first: click one, then say what it is")
        folder = new_folder(self.workspace, name)
        names = [Path(one) for one in judged.table.names]
        labels = [judged.labels.get(row) for row in range(len(names))]
        csv = save_labelled(folder, names, labels)
        (shown,) = copy_files([csv], self.workspace.temporary("labels"))
        gr.Info(f"Saved to the folder {escape(name)}.")
        return gr.update(value=str(shown), visible=True)


def _overlaid(judged: Judged, opacity: float) -> Pixels:
    assert judged.shown is not None
    row, pixels, heat, scale = judged.shown
    return shrink(overlay(pixels, heat, scale, judged.table.mask(row), opacity), LARGE)


def _thumbnails(judged: Judged, run: Run) -> list[tuple[Pixels, str]]:
    """The images of the highest energies, with their names."""
    rows = judged.order[:SHOWN]
    found = {row: original.pixels for row, original in judged.table.originals(rows, run.domain)}
    return [
        (shrink(np.repeat(found[row], 4 - found[row].shape[2], 2)[..., :3], SIDE),
         Path(judged.table.names[row]).name)
        for row in rows if row in found
    ]  # fmt: skip


def _rows(judged: Judged, calibration: Calibration) -> list[list[str]]:
    table = replace(judged.table, calibration=calibration)
    rows = []
    for row in judged.order:
        record = table.record(row)
        name = Path(record["image"]).name
        found = [record["energy"], record["percentile"], record["anomalous"]]
        rows.append([name, *found, judged.labels.get(row, "")])
    return rows


def _figure(judged: Judged, calibration: Calibration) -> str:
    assert judged.table.energy is not None
    return figure(draw_threshold(calibration, judged.table.energy))


def _summary(judged: Judged, calibration: Calibration) -> str:
    """What the threshold does, as HTML."""
    scores = calibration.scores(judged.table.energy)  # type: ignore[arg-type]
    flagged = scores.anomalous.tolist()
    above = int((calibration.energies > calibration.threshold).sum())
    lines = [
        f"<b>{sum(flagged)} of {plural(len(flagged), 'image')} anomalous</b>",
        f"threshold: energy {calibration.threshold:.5g}, which {calibration.promise}",
        f"calibrated on {escape(calibration)}: {above:,} of {len(calibration.energies):,} energies "
        "are above the threshold",
    ]
    for label, verb in ((ANOMALOUS, "found"), (NORMAL, "called anomalous")):
        own = [flagged[row] for row, name in judged.labels.items() if name == label]
        lines += [f"of {len(own)} that you labelled {label}, {sum(own)} {verb}"] * bool(own)
    lines += [f"skipped: {escape(Path(where).name)}: {escape(why)}"
              for where, why in judged.table.skipped[:10]]  # fmt: skip
    return f"<p>{'<br>'.join(lines)}</p>"


def _line(judged: Judged, row: int) -> str:
    """One image in words, as HTML."""
    record = judged.table.record(row)
    label = f"; your label: {judged.labels[row]}" if row in judged.labels else ""
    return (
        f"<p><b>{escape(Path(record['image']).name)}</b>: energy {record['energy']}, above "
        f"{record['percentile']} % of normal images{label}</p>"
    )
