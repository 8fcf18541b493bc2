"""Panels that take images and show what a run makes of each: its class, another image, tags."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from energan.core import PerSample
from energan.data.inference import open_images
from energan.errors import SettingError
from energan.evaluation.features import features_of_images, network_of_file
from energan.evaluation.tagging import Ballot, open_run_tags, rank_tags
from energan.inference.classification import predict
from energan.inference.restoration import REGIONS, read_mask, restore
from energan.inference.translation import translate
from energan.io.files import copy_files
from energan.io.pictures import grid, open_image, strips
from energan.io.text import plural
from energan.studio.open_runs import OpenRuns
from energan.studio.panels.base import StudioPanel, chosen, escape, gallery, picture, told
from energan.studio.uploads import Uploads, check_files

SHOWN = 24
"""Images that are restored or translated at once."""
NO_MASK = "none"


class UploadPanel(StudioPanel, ABC):
    """A run, images and a button; panels of this kind add what they show."""

    ability, action = "", ""

    def __init__(self, runs: OpenRuns, tab: Any) -> None:
        super().__init__(runs, tab)
        with gr.Row():
            with gr.Column(min_width=280):
                self.run = gr.Dropdown(
                    label="Run", choices=[], allow_custom_value=True,
                    info=f"runs that `energan {self.ability}` takes",
                )  # fmt: skip
                self.files = gr.File(
                    label="Images", file_count="multiple", type="filepath", height=160,
                    elem_id=f"{self.ability}-files",
                )  # fmt: skip
                more = self.options()
                button = gr.Button(self.action, variant="primary", elem_id=f"{self.ability}-button")
                self.told = gr.HTML(elem_classes="status")
            with gr.Column(scale=2, min_width=280):
                shown = self.results()
        self.kept = self.refreshed = [self.run]
        button.click(told(self.work), [self.run, self.files, *more], [self.told, *shown])

    def refresh(self, *kept: Any) -> Any:
        return self.choices(self.ability, *kept)

    def options(self) -> list[Any]:
        """Components beside the run and the images."""
        return []

    @abstractmethod
    def results(self) -> list[Any]:
        """Components of what is made."""

    @abstractmethod
    def work(self, run: str | None, files: list[str] | None, *options: Any) -> Any:
        """A line, as HTML, and what the results show."""

    def _given(self, files: list[str] | None) -> Uploads:
        return check_files(files, self.workspace.uploads)


class ClassifyPanel(UploadPanel):
    ability, action = "classify", "Classify"

    def results(self) -> list[Any]:
        self.rows = gr.Dataframe(
            headers=["image", "class", "probability"], interactive=False, wrap=True,
            label="The least certain first", elem_id="classify-table",
        )  # fmt: skip
        return [self.rows]

    def work(self, run: str | None, files: list[str] | None, *options: Any) -> Any:
        given = self._given(files)
        with self.runs.use(chosen(run)) as opened:
            found = predict(
                [str(path) for path in given.files], opened.job.settings.data, opened.domain,
                opened.classify_all, opened.class_names,
            )  # fmt: skip
        counts = ", ".join(f"{escape(name)} {count}" for name, count, _ in found.counts)
        rows = [list(found.record(row).values()) for row in found.least_sure(len(found))]
        named = [[Path(name).name, *rest] for name, *rest in rows]
        return _line(f"{plural(len(found), 'image')}: {counts}", given, found.skipped), named


class TranslatePanel(UploadPanel):
    ability, action = "translate", "Translate"

    def options(self) -> list[Any]:
        return [gr.Number(label="Seed", value=0, precision=0, minimum=0)]

    def results(self) -> list[Any]:
        return [
            gallery(
                label="Input, then what the run makes of it",
                columns=2,
                height=480,
                elem_id="translate-gallery",
            )
        ]

    def work(self, run: str | None, files: list[str] | None, *options: Any) -> Any:
        given = self._given(files)
        folder = self.workspace.temporary("images")
        copy_files(given.files[:SHOWN], folder)
        with self.runs.use(chosen(run)) as opened:
            made = translate(
                opened, folder, folder.with_name("made"), size="nearest", strip=True,
                seed=int(options[0] or 0),
            )  # fmt: skip
        shown = [(open_image(path), path.stem) for path in made.written]
        skipped = tuple((path.name, reason) for path, reason in made.skipped)
        return _line(plural(len(shown), "image"), given, skipped), shown


class RestorePanel(UploadPanel):
    ability, action = "restore", "Restore"

    def options(self) -> list[Any]:
        return [
            gr.Radio([NO_MASK, *REGIONS], value="right", label="The part to fill in"),
            gr.Slider(0, 0.5, value=0, step=0.01,
                      label="Noise to remove, as a fraction of the range (it is added first)"),
            gr.Slider(10, 1_000, value=200, step=10, label="Steps"),
            gr.Number(label="Seed", value=0, precision=0, minimum=0),
        ]  # fmt: skip

    def results(self) -> list[Any]:
        return [
            picture(
                label="What is given, what is made of it, the image itself",
                elem_classes="pixels",
                elem_id="restore-picture",
            )
        ]

    def work(self, run: str | None, files: list[str] | None, *options: Any) -> Any:
        mask, noise, steps, seed = options
        given = self._given(files)
        words = [str(path) for path in given.files[:SHOWN]]
        with self.runs.use(chosen(run)) as opened:
            settings, domain = opened.job.settings.data, opened.domain
            found, skipped = open_images(words, settings, domain)
            x = torch.cat([
                part.data.gather(torch.arange(len(part))).x.float().cpu() for part in found
            ])  # fmt: skip
            low, high = float(domain.low or 0), float(domain.high or 0)
            std = float(noise) * (high - low) or None
            shown = x
            if std is not None:
                drawn = PerSample(int(seed or 0), x.shape[1:]).at("noise").normal(*x.shape)
                shown = (x + std * drawn).clamp(low, high)
            if mask != NO_MASK and mask not in REGIONS:
                raise SettingError("choose one of the parts")
            unknown = None if mask == NO_MASK else read_mask(mask, settings, domain)
            made = restore(
                opened, shown, unknown=unknown, noise_std=std, steps=int(steps), seed=int(seed or 0)
            )
        if unknown is not None:
            shown = torch.where(unknown, (low + high) / 2, shown)
        rows, whole = strips([shown, made.x, x], domain)
        before, after = float(made.energy_start.mean()), float(made.energy.mean())
        line = f"{plural(len(x), 'image')}: energy {before:.5g} before, {after:.5g} after"
        return _line(line, given, tuple(skipped)), grid(rows, whole, 3)


class TagPanel(UploadPanel):
    ability, action = "tag", "Tag"

    def options(self) -> list[Any]:
        return [
            gr.Slider(1, 30, value=5, step=1, label="Tags for each image"),
            gr.Number(label="Seed", value=0, precision=0, minimum=0),
        ]

    def results(self) -> list[Any]:
        return [
            gr.Dataframe(
                headers=["image", "tags, with votes or probabilities"], interactive=False,
                wrap=True, elem_id="tag-table",
            )
        ]  # fmt: skip

    def work(self, run: str | None, files: list[str] | None, *options: Any) -> Any:
        count, seed = options
        given = self._given(files)
        with self.runs.use(chosen(run)) as opened:
            self.workspace.check_data(opened)
            data = open_run_tags(opened, None)
            assert data.file is not None
            extractor = data.file.about.get("extractor") or {}
            if path := extractor.get("path") or (extractor.get("data") or {}).get("source"):
                self.workspace.source(str(path))
            found = features_of_images(network_of_file(data.file), [str(p) for p in given.files])
            features = data.scaling(torch.from_numpy(found.features))
            most = min(int(count), len(data.names))
            ranking = rank_tags(opened, data, features, "auto", most, Ballot(), int(seed or 0))
        rows = [
            [Path(name).name, ", ".join(f"{word} {score}" for word, score in tags)]
            for name, tags in zip(found.names, ranking.best(most, data.names), strict=True)
        ]
        return _line(escape("; ".join(ranking.says)), given, tuple(found.skipped)), rows


def _line(text: str, given: Uploads, skipped: Any) -> str:
    """What was done, and what was skipped, as HTML."""
    left = [(Path(str(where)).name, why) for where, why in (*given.skipped, *skipped)]
    lines = [text, *(f"skipped: {escape(name)}: {escape(why)}" for name, why in left[:20])]
    return f"<p>{'<br>'.join(lines)}</p>"
