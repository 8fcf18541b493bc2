"""A run on disk, as the user holds it."""

from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from energan.anomaly import calibration as calibrations
from energan.anomaly.calibration import FPR, Calibration, Network, Scores
from energan.anomaly.heatmaps import energy_map, heatmap, map_maxima
from energan.anomaly.normal_data import Groups, normal_events, spread
from energan.core import (
    Context,
    PerSample,
    Scored,
    SettingError,
    StepRule,
    attach,
    place_seed,
    potential,
)
from energan.core.schedules import parse
from energan.data import DataSet
from energan.data.from_python import Images, is_examples
from energan.energies.minimum_over_labels import MinimumOverLabels
from energan.energies.smoothing import smooth as smoothed
from energan.energies.tiled import describe_judge, judge_of
from energan.experiment.run_records import networks_of
from energan.inference.classification import ClassProbabilities, classify, classify_data, joined
from energan.inference.composition import TrainedEnergy
from energan.inference.conditions import (
    AT_ONCE,
    Conditions,
    check_examples,
    check_room,
    collect,
)
from energan.inference.run_display import RecordedRun
from energan.inference.sampling import draw_samples, warn_of_checkpoints
from energan.io.run_folder import RunFolder
from energan.samplers.dynamics import default_rule
from energan.training import checkpoint_folder
from energan.training.checkpoint import check_like, select
from energan.training.checkpoint_choice import Weights, load_networks, read_checkpoint
from energan.training.device import EngineSettings, choose, torch_globals_kept

HeatmapKind = Literal["energy map", "squared error", "saliency"]
CHAIN_STEPS = 60
"""K for an energy that was trained without chains: the published value."""


class Run(RecordedRun, TrainedEnergy):
    """A trained run: its samples, its energy, and what they can be used for.

    Methods that take images accept float tensors (B, *event) in the range of the run's data, as
    well as paths, folders, bytes of image files, Pillow images, uint8 arrays and data sets.
    Warnings about newer checkpoints that cannot be used go to stderr.

    Args:
        path: folder of the run.
        checkpoint: "last" (the newest that passes its checksum), "best" (by the metric of
            `output.keep_best`), or a step.
        weights: "ema" for averaged weights or "raw"; None for averaged weights if there are any.
        device: "auto", "cpu" or another device of torch, such as "cuda:1"; it need not be the one
            that trained.

    Raises:
        RunError: if the folder holds no run.
        CheckpointError: if no checkpoint can be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        checkpoint: str | int = "last",
        weights: Weights | None = None,
        device: str = "auto",
    ) -> None:
        self.folder = RunFolder(path)
        self.config = self.folder.read_config()
        self.job, self.domain, model = networks_of(self.folder)
        # without switches: the caller's threads are the caller's
        self.engine = choose(EngineSettings(device=device, precision="32"), switches=False)
        self.asked = checkpoint
        keep_best = self.job.settings.output.keep_best
        stored, self.warnings = read_checkpoint(self.folder, checkpoint, keep_best)
        self.checkpoint, self._meta = stored.path, stored.meta
        untrained = checkpoint == "best" and self.step == 0
        warn_of_checkpoints(path, self.warnings, self.checkpoint.name, untrained=untrained)
        self.weights = load_networks(self.folder, stored, model.energy, model.sampler, weights)
        self._hyper = {
            name: torch.tensor([[parse(value)(self.step)]], device=self.engine.device)
            for name, value in model.hyper.items()
        }
        self.classifies, self.temperature = model.labelled > 0, model.temperature
        labels = self.domain.classes if model.conditional and not self.given else None
        self.conditions = Conditions(self.job.model, labels, self.given)
        energy = MinimumOverLabels(model.energy, self.classes) if self.classes else model.energy
        self.energy_network = self.engine.place(energy).requires_grad_(False).eval()
        overlap = self.job.settings.data.window_overlap
        self.judge = judge_of(self.energy_network, self.domain, overlap).eval()
        self.judged = describe_judge(self.energy_network, self.domain, overlap)
        self.sampler = self.engine.place(model.sampler).requires_grad_(False).eval()
        place, dtype = self.engine.device, self.engine.dtype
        self._state = {
            name: value.to(place, dtype if value.is_floating_point() else None)
            for name, value in select(stored.state, "sampler.state.").items()
        }
        check_like(self.sampler.empty_state(), self._state, stored.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, model={self.job.model!r}, step={self.step})"

    @property
    def step(self) -> int:
        """Training step of the checkpoint in use."""
        return checkpoint_folder.step_of(self.checkpoint)

    @property
    def given(self) -> tuple[int, ...] | None:
        """Shape of the condition of each example; None for models that take labels or nothing."""
        return self.domain.condition_shape

    @property
    def makes_samples(self) -> bool:
        """Whether the model can draw samples."""
        return self.sampler.makes_samples

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0, condition: Tensor | None = None) -> Tensor:
        """Draw samples.

        The same seed gives the same samples, and the first ones do not depend on `count`.

        Args:
            count: number of samples.
            seed: seed of the latents, or of the chains.
            condition: for a conditional model: labels, int64 (count,); if not given, all classes
                in turn. For a model whose examples come with conditions, such as image-to-image:
                those, float (count, *condition_shape), in the range of the data; the images may
                have another size if the network takes it.

        Returns:
            Samples, float (count, *event) in the range of the data, on the CPU.

        Raises:
            SettingError: if the condition is missing or not taken, or the model makes no
                samples.
        """
        if count < 1:
            raise SettingError(f"give at least 1 sample, not {count}")
        check_room(count, self.domain.size, "samples")
        conditions = self.conditions.check(count, condition)
        randomness = PerSample(seed, self.domain.shape, self.engine.device)
        attach(self.sampler, randomness)

        def context_at(start: int) -> Context:
            # a sampler of one's own may draw from torch's generator: seeded as in training
            self.engine.seed(place_seed(seed, "sample", start))
            return Context(self.step, self._hyper, randomness.at("sample", start))

        with torch_globals_kept():
            made = draw_samples(
                self.sampler, self.energy_network, count, conditions, self._state, context_at
            )
        if made is None:
            tells = "; it classifies: energan classify RUN IMAGES" if self.classifies else ""
            raise SettingError(
                f"{self.path}: the model {self.job.model} makes no samples{tells}; to sample its "
                "energy with chains: energan sample RUN --chains 64"
            )
        return made

    # --- classes ----------------------------------------------------------------------------------

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; their numbers if they have no names, () without classes."""
        known = self.config["resolved"]["data"].get("class_names")
        return tuple(known or map(str, range(self.domain.classes or 0)))

    def check_classifies(self) -> None:
        """Raise SettingError if the model does not classify; `classifies` says whether it does."""
        if not self.classifies:
            raise SettingError(
                f"{self.path}: the model {self.job.model} does not classify: train one that learns "
                "classes (jem), also from few labels (ladder, ebgan_ln)"
            )

    def classify(self, x: Images) -> ClassProbabilities:
        """Classify examples, float (B, *event) in the range of the data, or images.

        Returns:
            The most probable class of each example, and the probability of every class.

        Raises:
            SettingError: if the model does not classify.
        """
        self.check_classifies()
        if is_examples(x):
            return classify(self._score, self.prepare(x))
        return joined([self.classify_all(data) for data in self.open(x)])

    def classify_all(self, data: DataSet, told: str = "classifying") -> ClassProbabilities:
        """Classify all examples of a data set in chunks, with a progress bar labelled `told`."""
        self.check_classifies()
        return classify_data(self._score, data, told)

    # --- chains on the energy ---------------------------------------------------------------------

    @property
    def rule(self) -> StepRule:
        """Settings of a chain step on this energy: those of training, or a default for its data."""
        return self.sampler.rule or default_rule(self.domain)

    @property
    def chain_steps(self) -> int:
        """Chain steps per sample: as in training, or the 60 of Du and Mordatch (2019)."""
        return self.sampler.chain_steps or CHAIN_STEPS

    def replayed(self, count: int, seed: int = 0, condition: Tensor | None = None) -> Tensor | None:
        """Return chains from the run's replay buffer, float (count, *event), on the CPU; None if it
        has none.

        Args:
            count: number of chains.
            seed: seed of the choice.
            condition: labels of the chains, int64 (count,); None for any.
        """
        if self.sampler.rule is None:
            return None
        labels = self.conditions.check(count, condition, self.engine.device)
        draws = PerSample(seed, self.domain.shape, self.engine.device).at("replayed")
        chains = self.sampler.replayed(self._state, count, labels, draws)
        return None if chains is None else chains.float().cpu()

    # --- anomalies --------------------------------------------------------------------------------

    @property
    def network(self) -> Network:
        """Which energy this is: step of the checkpoint, sha256 of its weights, averaged or raw."""
        return Network(self.step, self._meta.sha256[checkpoint_folder.WEIGHTS], self.weights)

    @property
    def calibration(self) -> Calibration | None:
        """The calibration stored in the run's folder, of any checkpoint; None if there is none."""
        return calibrations.read(self.path)

    def check_judges(self) -> None:
        """Raise SettingError if the energy cannot score an image by itself."""
        if self.given:
            raise SettingError(
                f"the energy of {self.job.model} needs an input with each example, so there is "
                "no anomaly score of an image alone: use a run of another model"
            )

    def calibrate(
        self,
        x: Images | None = None,
        fpr: float = FPR,
        *,
        groups: Groups | None = None,
        smooth: float = 0.0,
        keep: bool = True,
    ) -> Calibration:
        """Set the threshold above which an energy counts as anomalous.

        At most a fraction `fpr` of new normal examples lies above it (split conformal
        prediction). For images, a threshold of the heat maps is set too, from at most 1,000 of
        them.

        Args:
            x: normal examples that were not trained on, float (B, *event) in the range of the
                data, a data set, or a source (if it is labelled, the classes that were trained
                on are used); None for the run's own held-out part.
            fpr: false positive rate to allow, in (0, 1).
            groups: which examples belong together, such as the images of one patient: a number
                for each, or for a source what `data.groups` takes. `fpr` then holds for examples
                of new groups.
            smooth: standard deviation, in pixels, of a Gaussian that smooths the heat maps.
            keep: whether to store the calibration in the run's folder.

        Raises:
            SettingError: if there are too few examples for this `fpr`.
        """
        self.check_judges()
        normal = x if x is None or isinstance(x, DataSet | str | Path) else self.prepare(x)
        data = normal_events(normal, self.job.settings.data, self.domain.whole, groups)
        part: calibrations.Part = "held-out" if x is None else "given"
        energies = self.energies(data, f"calibrating on {data.name}")
        made = calibrations.calibrate(
            energies, fpr, self.network, part, data.name, data.fingerprint, data.groups,
            data.digests,
        )  # fmt: skip
        if len(self.domain.shape) == 3:
            some = spread(data)
            maxima = map_maxima(partial(self.heatmap, smooth=smooth), some)
            made = made.with_maps(maxima, smooth, some.groups)
        if keep:
            made.save(self.path)
        return made

    def score(self, x: Images) -> Scores:
        """Score whole images, float (B, *event) in the range of the data, or images as a user has
        them.

        Returns:
            For each example its energy, the percentage of normal examples with at most that
            energy, and whether it is anomalous.

        Raises:
            SettingError: if this checkpoint, with these weights, was not calibrated.
            DataError: if x are windows of images (`data.tile`) in place of whole images.
        """
        if is_examples(x) and not self.given:
            x = check_examples(torch.as_tensor(x), self.domain.whole)
        return calibrations.read_for(self.path, self.network).scores(self.energy(x))

    def heatmap(self, x: Images, *, smooth: float = 0.0) -> Tensor:
        """Show which pixels the energy of an image comes from.

        `heatmap_kind` says what the values are: the energy's own map, resized to the image and
        in units of the energy; the squared error of the reconstruction, summed over channels (≥
        0); or the norm over channels of the energy's gradient (≥ 0).

        Args:
            x: whole images, float (B, C, H, W) in the range of the data, or images.
            smooth: standard deviation, in pixels, of a Gaussian that smooths maps of the latter
                two kinds.

        Returns:
            Heat maps, float (B, H, W).

        Raises:
            SettingError: if the run was not trained on images.
        """
        events = check_examples(self.prepare(x), self.domain.whole)
        if self.heatmap_kind == "energy map":
            return energy_map(collect(self._score, events, lambda s: s.map), *events.shape[2:])
        made = self.reconstruct(events) if self.reconstructs else None
        maps = heatmap(events.to(self.engine.device), potential(self.judge), made, AT_ONCE)
        return smoothed(maps, smooth) if smooth else maps

    @cached_property
    def heatmap_kind(self) -> HeatmapKind:
        """What the values of `heatmap` are."""
        if not self.given and self._outputs.map is not None:
            return "energy map"
        return "squared error" if self.reconstructs else "saliency"

    # --- what the energy makes beside -------------------------------------------------------------

    @cached_property
    def _outputs(self) -> Scored:
        """What the energy gives beside its value, of a whole image without a condition."""
        return self._score(torch.zeros(1, *self.domain.whole.shape))

    @property
    def reconstructs(self) -> bool:
        """Whether the energy is a reconstruction error."""
        return not self.given and self._outputs.reconstruction is not None

    def reconstruct(self, x: Images) -> Tensor:
        """Reconstruct examples: Dec(Enc(x)), float (B, *event). SettingError if it cannot."""
        if not self.reconstructs:
            raise SettingError(
                f"the model {self.job.model} has no reconstruction, because it is not an "
                "auto-encoder: use a run of one (ebgan, ebgan_conv)"
            )
        return collect(self._score, self.prepare(x), lambda scored: scored.reconstruction)

    def check_encodes(self) -> None:
        """Raise SettingError if the energy has no encoder, or one that needs more
        than the image.
        """
        if self.given:
            lacking = "its energy needs an input with each image"
        elif self.domain.image_shape is not None:
            lacking = "its energy is computed on windows (data.tile), not on whole images"
        elif self._outputs.code is None:
            lacking = "its energy has no encoder"
        else:
            return
        raise SettingError(
            f"{self.path}: the model {self.job.model} gives no features: {lacking}; use a run of "
            "an auto-encoder (ebgan, ebgan_conv)"
        )

    def code(self, x: Images) -> Tensor:
        """Encode examples: float (B, S), feature maps flattened. SettingError if it cannot."""
        self.check_encodes()
        return collect(self._score, self.prepare(x), lambda scored: scored.code)

    def _score(self, x: Tensor) -> Scored:
        x = x.to(self.engine.device, torch.float32)
        return self.network_for(x)(x, stream="eval")  # type: ignore[no-any-return]
