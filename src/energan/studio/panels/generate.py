"""Generate: samples by seed, class and truncation; what lies between two; chains step by step."""

import io
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from energan.core import Domain
from energan.data import open_data
from energan.errors import SettingError
from energan.evaluation.neighbours import nearest_events
from energan.inference import latents
from energan.inference.chains import sample_chains
from energan.inference.labels import class_number
from energan.inference.run import Run
from energan.io.pictures import enlarge, grid, is_image, save_samples, scatter, to_uint8
from energan.studio.open_runs import OpenRuns
from energan.studio.panels.base import StudioPanel, chosen, gallery, picture, told

MOST, NEIGHBOURS, BETWEEN, SNAPSHOTS, DIRECTIONS = 64, 6, 101, 13, 4
MOST_STEPS = 2_000
OFF = 4.0
"""A truncation so far out leaves all latents as they are."""


class GeneratePanel(StudioPanel):
    def __init__(self, runs: OpenRuns, tab: Any) -> None:
        super().__init__(runs, tab)
        self.samples = gr.State(None)
        self.at = gr.State(0)
        with gr.Row():
            self.run = gr.Dropdown(label="Run", choices=[], allow_custom_value=True)
            self.count = gr.Slider(1, MOST, value=16, step=1, label="Samples")
            self.seed = gr.Number(label="Seed", value=0, precision=0, minimum=0)
            self.label = gr.Textbox(label="Class (of a conditional run)", max_lines=1)
            self.cut = gr.Slider(
                0.1, OFF, value=OFF, step=0.1, label="Truncation: latents within ± this",
                elem_id="truncation",
            )  # fmt: skip
        draw = gr.Button("Draw", variant="primary", elem_id="generate-draw")
        self.gallery = gallery(
            label="Samples", columns=8, height=380, elem_classes="pixels",
            elem_id="generate-gallery",
        )  # fmt: skip
        with gr.Row():
            near = gr.Button("Nearest training images of the chosen sample")
            save = gr.Button("Save as files")
        self.near = gallery(
            label="The sample, then its nearest training images", columns=NEIGHBOURS + 1,
            height=180, elem_classes="pixels", elem_id="generate-near",
        )  # fmt: skip
        self.files = gr.File(label="Files", interactive=False, visible=False)
        asked = [self.run, self.count, self.seed, self.label, self.cut]
        draw.click(self._draw, asked, [self.samples, self.gallery, self.at, self.near])
        self.gallery.select(self._choose, None, self.at, show_progress="hidden")
        near.click(self._near, [self.run, self.samples, self.at], self.near)
        save.click(self._save, [self.run, self.samples, self.seed], self.files)
        self._between()
        self._chains()
        self.kept = self.refreshed = [self.run, self.chain_run]

    def refresh(self, *kept: Any) -> Any:
        run, chain_run = kept
        return self.choices("sample", run), self.choices("score", chain_run)

    @told
    def _draw(self, run: str | None, count: float, seed: float, label: str, cut: float) -> Any:
        with self.runs.use(chosen(run)) as opened:
            labels = _labels(opened, label, int(count))
            z = None
            if cut < OFF:
                z = latents.draw_sampled(opened, int(count), int(seed or 0), cut)
            if z is not None:
                x = latents.generate(opened, z, latents.labels_for(opened, labels, len(z)))
            else:
                x = opened.sample(int(count), seed=int(seed or 0), condition=labels)
        return (chosen(run), x), _images(x, opened.domain), 0, None

    def _choose(self, event: gr.SelectData) -> int:
        return int(event.index)

    @told
    def _near(self, run: str | None, samples: tuple[str, Tensor] | None, at: int) -> Any:
        if samples is None or not is_image(self._domain(samples[0])):
            raise SettingError("draw some samples of images first, and choose one")
        with self.runs.use(samples[0]) as opened:
            self.workspace.check_data(opened)
            data = open_data(opened.job.settings.data)
            x = samples[1][at : at + 1]
            distances, rows = nearest_events(x, data, min(NEIGHBOURS, len(data)))
            real = data.gather(rows[0]).x.float().cpu()
        captions = [f"distance {distance:.3g}" for distance in distances[0].tolist()]
        return _images(torch.cat([x, real]), opened.domain, ["the sample", *captions])

    def _domain(self, name: str) -> Domain:
        with self.runs.use(name) as opened:
            return opened.domain

    @told
    def _save(self, run: str | None, samples: tuple[str, Tensor] | None, seed: float) -> Any:
        if samples is None:
            raise SettingError("draw some samples first")
        name, x = samples
        folder = self.workspace.temporary("samples")
        with self.runs.use(name) as opened:
            about = {"run": opened.config["hash"], "step": opened.step, "seed": int(seed or 0)}
            kinds = [".npz", ".png"] if len(opened.domain.shape) in (1, 3) else [".npz"]
            made = [
                save_samples(folder / f"samples{kind}", x, opened.domain, about=about)
                for kind in kinds
            ]
        return gr.update(value=[str(path) for path in made], visible=True)

    # --- between two latents ----------------------------------------------------------------------

    def _between(self) -> None:
        with gr.Accordion("Between two samples, and around one", open=False):
            with gr.Row():
                self.first = gr.Number(label="Seed of the first", value=0, precision=0, minimum=0)
                self.second = gr.Number(label="Seed of the second", value=1, precision=0, minimum=0)
                self.way = gr.Radio(["linear", "spherical"], value="linear", label="Way")
            self.place = gr.Slider(0, 1, value=0.5, step=0.01, label="From the first to the second")
            self.moves = [
                gr.Slider(-3, 3, value=0, step=0.1, label=f"Direction {i + 1}")
                for i in range(DIRECTIONS)
            ]
            self.made = picture(
                label="What the generator makes there",
                height=320,
                elem_classes="pixels",
                elem_id="generate-between",
            )
            show = gr.Button("Show")
        asked = [self.run, self.first, self.second, self.way, self.label, self.place, *self.moves]
        show.click(self._show_between, asked, self.made)
        for slider in (self.place, *self.moves):
            slider.change(
                self._show_between, asked, self.made, show_progress="hidden",
                trigger_mode="always_last",
            )  # fmt: skip

    @told
    def _show_between(
        self, run: str | None, first: float, second: float, way: str, label: str, place: float,
        *moves: float,
    ) -> Any:  # fmt: skip
        with self.runs.use(chosen(run)) as opened:
            a, b = (latents.draw_sampled(opened, 1, int(s or 0)) for s in (first, second))
            if a is None or b is None:
                raise SettingError(
                    f"{chosen(run)}: the model {opened.job.model} has no latents: choose a run of "
                    "a model with a generator, or follow chains below"
                )
            path = latents.spherical if way == "spherical" else latents.linear
            z = path(a, b, BETWEEN)[:, round(place * (BETWEEN - 1))]
            labels = latents.labels_for(opened, _labels(opened, label, 1), 1)
            if any(moves):
                steps = torch.tensor(moves, device=z.device)
                z = z + steps @ latents.directions(opened, z, len(moves), labels)
            x = latents.generate(opened, z, labels)
        return _images(x, opened.domain)[0][0]

    # --- chains -----------------------------------------------------------------------------------

    def _chains(self) -> None:
        self.chains = gr.State(None)
        with gr.Accordion("Chains on the energy, step by step", open=False):
            with gr.Row():
                self.chain_run = gr.Dropdown(label="Energy of", choices=[], allow_custom_value=True)
                self.chain_count = gr.Slider(1, 36, value=16, step=1, label="Chains")
                self.steps = gr.Slider(10, MOST_STEPS, value=200, step=10, label="Steps")
                self.start = gr.Radio(["noise", "buffer", "data"], value="noise", label="Start")
            follow = gr.Button("Follow chains")
            self.stage = gr.Slider(
                0, SNAPSHOTS - 1, value=SNAPSHOTS - 1, step=1, label="From the start to the end"
            )
            self.chain_picture = picture(
                label="Chains", height=420,
                elem_classes="pixels", elem_id="generate-chains",
            )  # fmt: skip
            self.chain_line = gr.HTML(elem_classes="status")
        shown = [self.chain_picture, self.chain_line]
        follow.click(
            self._follow,
            [self.chain_run, self.chain_count, self.steps, self.start, self.seed, self.stage],
            [self.chains, *shown],
        )
        self.stage.change(self._stage, [self.chains, self.stage], shown, show_progress="hidden")

    @told
    def _follow(
        self, run: str | None, count: float, steps: float, start: str, seed: float, stage: float
    ) -> Any:
        with self.runs.use(chosen(run)) as opened:
            if start == "data":
                self.workspace.check_data(opened)
            found = sample_chains(
                opened, int(count), steps=int(steps), start=start,  # type: ignore[arg-type]
                seed=int(seed or 0), snapshots=SNAPSHOTS,
            )  # fmt: skip
        chains = found, opened.domain
        return chains, *self._stage(chains, stage)

    def _stage(self, chains: Any, stage: float) -> Any:
        if chains is None:
            return [gr.skip()] * 2
        found, domain = chains
        i = min(int(stage), len(found.steps) - 1)
        energy = float(found.energies[i, 0].mean())
        line = f"<p>after {found.steps[i]:,} steps: mean energy {energy:.4g}</p>"
        return _sheet(found.snapshots[i], domain), line


def _labels(run: Run, label: str | None, count: int) -> Tensor | None:
    word = (label or "").strip()
    return torch.full((count,), class_number(run, word)) if word else None


def _images(x: Tensor, domain: Domain, captions: list[str] | None = None) -> list[tuple[Any, str]]:
    """Each image by itself; points together."""
    if not is_image(domain):
        return [(_sheet(x, domain), f"{len(x)} points")]
    names = captions or [f"sample {i}" for i in range(len(x))]
    return [(enlarge(image), name) for image, name in zip(to_uint8(x, domain), names, strict=True)]


def _sheet(x: Tensor, domain: Domain) -> Image.Image:
    """Images in a grid, or a plot of points."""
    if is_image(domain):
        return grid(x, domain)
    file = io.BytesIO()
    scatter(x).savefig(file, dpi=100)
    return Image.open(file)
