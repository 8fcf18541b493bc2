"""A run on disk, as the user holds it."""

from collections.abc import Callable, Sequence
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
    Energy,
    PerSample,
    Sampler,
    Scored,
    SettingError,
    State,
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
    examples_at_once,
)
from energan.inference.run_display import RecordedRun
from energan.io.console import warn
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
    """A trained run: its samples and its energy, in the range of its data.

    What it is asked about are examples in that range, float (B, *event), or images as a user has
    them: paths, folders, pictures, uint8 arrays, a data set (`energan.data.from_python.Images`).

    checkpoint: "last" (the newest that verifies), "best" (by its own scores) or a step.
    weights: "ema" for the averaged ones, "raw"; by default averaged where there are any.
    device: where to compute; it need not be the one that trained.

    A line on stderr tells of each newer checkpoint that cannot be used.
    Raises RunError if the folder holds no run, CheckpointError if no checkpoint can be used.
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
        _tell(path, self.warnings, self.checkpoint.name, untrained=untrained)
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
        """The step of the checkpoint in use."""
        return checkpoint_folder.step_of(self.checkpoint)

    @property
    def given(self) -> tuple[int, ...] | None:
        """The shape of the condition that each example comes with; None for labels and for none."""
        return self.domain.condition_shape

    @property
    def makes_samples(self) -> bool:
        """Whether it has a sampler."""
        return self.sampler.makes_samples

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0, condition: Tensor | None = None) -> Tensor:
        """Samples, float (count, *event) in the data's range, on the CPU; of one seed the first are
        the same, however many there are.

        condition: labels int64 (count,) of a model conditioned on them; its classes in turn if not
            given. Of a model whose examples come with conditions of their own, such as image to
            image, those, float (count, *condition_shape), in the data's range: images of other
            sides too, if the network takes them.
        Raises SettingError if the model takes no condition or lacks one, or makes no samples.
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
            made = _draw(
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
        """Names of the data's classes, numbers where they have none; () without classes."""
        known = self.config["resolved"]["data"].get("class_names")
        return tuple(known or map(str, range(self.domain.classes or 0)))

    def check_classifies(self) -> None:
        """Raise SettingError if the model learns no classes (`classifies` says whether it does)."""
        if not self.classifies:
            raise SettingError(
                f"{self.path}: the model {self.job.model} does not classify: train one that learns "
                "classes (jem), also from few labels (ladder, ebgan_ln)"
            )

    def classify(self, x: Images) -> ClassProbabilities:
        """The class of each of x (B, *event), in the data's range, and the probability of each.

        Raises SettingError if the model learns no classes.
        """
        self.check_classifies()
        if is_examples(x):
            return classify(self._score, self.prepare(x))
        return joined([self.classify_all(data) for data in self.open(x)])

    def classify_all(self, data: DataSet, told: str = "classifying") -> ClassProbabilities:
        """The same of a data set's examples, in chunks; a bar tells how far it is."""
        self.check_classifies()
        return classify_data(self._score, data, told)

    # --- chains on the energy ---------------------------------------------------------------------

    @property
    def rule(self) -> StepRule:
        """How a step on this energy is made: as in its training, or by its data's range."""
        return self.sampler.rule or default_rule(self.domain)

    @property
    def chain_steps(self) -> int:
        """K: as in its training, or the published 60."""
        return self.sampler.chain_steps or CHAIN_STEPS

    def replayed(self, count: int, seed: int = 0, condition: Tensor | None = None) -> Tensor | None:
        """Chains as they lie in the run's replay buffer, float (count, *event), on the CPU.

        condition: the labels whose chains to take. None if the run has no buffer.
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
        """Which energy this is: the checkpoint's step, its weights' sha256, raw or averaged."""
        return Network(self.step, self._meta.sha256[checkpoint_folder.WEIGHTS], self.weights)

    @property
    def calibration(self) -> Calibration | None:
        """The calibration that the run keeps, of whatever checkpoint; None if there is none."""
        return calibrations.read(self.path)

    def check_judges(self) -> None:
        """Raise SettingError if the energy cannot tell of an example alone whether it is normal."""
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
        """Set the threshold that at most a share `fpr` of new normal examples exceeds, and keep it;
        of images also that of their heat maps, from at most 1,000 of them.

        x: normal examples that were not trained on: float (B, *event) in the data's range, a data
        set, or a source (of a labelled one, those of the classes that were trained on); None for
        the run's own held-out part. groups: which of x belong together, as those of a patient: a
        number for each, or of a source what `data.groups` takes; the share then is of examples of
        new groups. smooth: as of `heatmap`. keep: whether it is kept in the run's folder. Raises
        SettingError if they are too few for this fpr.
        """
        self.check_judges()
        normal = x if x is None or isinstance(x, DataSet | str | Path) else self.prepare(x)
        data = normal_events(normal, self.job.settings.data, self.domain.whole, groups)
        part: calibrations.Part = "held-out" if x is None else "given"
        energies = self.energies(data, f"calibrating on {data.name}")
        made = calibrations.calibrate(
            energies, fpr, self.network, part, data.name, data.fingerprint, data.groups
        )
        if len(self.domain.shape) == 3:
            some = spread(data)
            maxima = map_maxima(partial(self.heatmap, smooth=smooth), some)
            made = made.with_maps(maxima, smooth, some.groups)
        if keep:
            made.save(self.path)
        return made

    def score(self, x: Images) -> Scores:
        """Energy, percentile among normal examples, and verdict of x (B, *event), whole images.

        Raises SettingError if this checkpoint, with these weights, was not calibrated, DataError
        for windows of images (`data.tile`), which have no verdict.
        """
        if is_examples(x) and not self.given:
            x = check_examples(torch.as_tensor(x), self.domain.whole)
        return calibrations.read_for(self.path, self.network).scores(self.energy(x))

    def heatmap(self, x: Images, *, smooth: float = 0.0) -> Tensor:
        """Where the energy of whole images x (B, C, H, W) comes from, float (B, H, W), as
        `heatmap_kind` says: the energy's own map, resized to the image and in its units; else, both
        ≥ 0, the squared error of the reconstruction, summed over channels, or the saliency, the
        norm over channels of the energy's gradient. smooth: the standard deviation in pixels of a
        Gaussian that the latter two are smoothed with. SettingError for points.
        """
        events = check_examples(self.prepare(x), self.domain.whole)
        if self.heatmap_kind == "energy map":
            return energy_map(collect(self._score, events, lambda s: s.map), *events.shape[2:])
        made = self.reconstruct(events) if self.reconstructs else None
        maps = heatmap(events.to(self.engine.device), potential(self.judge), made, AT_ONCE)
        return smoothed(maps, smooth) if smooth else maps

    @cached_property
    def heatmap_kind(self) -> HeatmapKind:
        """What `heatmap` shows: the energy's map where it has one, else what it can be made of."""
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
        """Whether the energy is of a reconstruction."""
        return not self.given and self._outputs.reconstruction is not None

    def reconstruct(self, x: Images) -> Tensor:
        """Dec(Enc(x)), float (B, *event). SettingError if the energy has no reconstruction."""
        if not self.reconstructs:
            raise SettingError(
                f"the model {self.job.model} has no reconstruction, because it is not an "
                "auto-encoder: use a run of one (ebgan, ebgan_conv)"
            )
        return collect(self._score, self.prepare(x), lambda scored: scored.reconstruction)

    def check_encodes(self) -> None:
        """Raise SettingError if the energy has no encoder whose code of an example stands alone."""
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
        """The encoder's output for x (B, *event), float (B, S), feature maps flattened.

        Raises SettingError if the energy has no encoder.
        """
        self.check_encodes()
        return collect(self._score, self.prepare(x), lambda scored: scored.code)

    def _score(self, x: Tensor) -> Scored:
        x = x.to(self.engine.device, torch.float32)
        return self.network_for(x)(x, stream="eval")  # type: ignore[no-any-return]


def _tell(path: str | Path, warnings: Sequence[str], used: str, *, untrained: bool) -> None:
    """Of each checkpoint that cannot be used, and of a best one that is of step 0."""
    for warning in warnings:
        warn(f"{warning}; using {used} instead")
    if untrained:
        warn(
            f"{path}: the best checkpoint is that of step 0, which is untrained: no later one "
            "scored better; use last, or train further"
        )


def _draw(
    sampler: Sampler,
    energy: Energy,
    count: int,
    conditions: Tensor | None,
    state: State,
    context_at: Callable[[int], Context],
) -> Tensor | None:
    """`count` finished samples, some at a time, on the CPU; None if the sampler makes none."""
    chunk = count if sampler.samples_at_once else examples_at_once(conditions)
    parts = []
    for start in range(0, count, chunk):
        context = context_at(start)
        part = conditions
        if conditions is not None:
            part = conditions[start : start + chunk].to(context.generator.device)
        made = sampler.sample(energy, min(chunk, count - start), part, state, context)
        if made is None:
            return None
        parts.append(made.x.float().cpu())
    return torch.cat(parts)
