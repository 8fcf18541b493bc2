"""A run on disk, as the user holds it."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from energan.anomaly import calibration as calibrations
from energan.anomaly.calibration import FPR, Calibration, Network, Scores
from energan.anomaly.heatmaps import saliency, squared_error
from energan.anomaly.normal_data import Normal, normal_events
from energan.core import (
    CheckpointError,
    Context,
    DataError,
    Randomness,
    Scored,
    SettingError,
    StepRule,
    attach,
    describe,
)
from energan.core.schedules import parse
from energan.data import DataSet
from energan.energies.least_over_labels import UnderAnyLabel
from energan.experiment.build import networks_of
from energan.inference.classification import (
    Classified,
    check_classifies,
    classified,
    classified_set,
)
from energan.inference.composition import Composable
from energan.io.console import progress
from energan.io.run_folder import RunFolder
from energan.samplers.dynamics import Function, default_rule, potential
from energan.training import checkpoint as checkpoints
from energan.training.device import EngineSettings, choose
from energan.training.hooks import best_step

Weights = Literal["ema", "raw"]
CHUNK, CHAIN_STEPS = 500, 60
NUMBERS_AT_ONCE = 2**21
"""Of the conditions of events that are computed together, where those come with their own."""


class Run(Composable):
    """A trained run: its samples and its energy, in the range of its data.

    checkpoint: "last" (the newest that verifies), "best" (by its own scores) or a step.
    weights: "ema" for the averaged ones, "raw"; by default averaged where there are any.
    device: where to compute; it need not be the one that trained.

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
        asked = EngineSettings(device=device, precision="32")
        self.engine = choose(asked, switches=False)  # the caller's threads are the caller's
        self.asked = checkpoint
        stored, self.warnings = self._read(checkpoint)
        self.checkpoint, self._meta = stored.path, stored.meta
        self.weights = self._load(stored.weights, model.energy, model.sampler, weights)
        self._hyper = model.hyper
        self.classifies = model.labelled > 0
        self.classes = self.domain.classes if model.conditional and not self.given else None
        energy = UnderAnyLabel(model.energy, self.classes) if self.classes else model.energy
        self.energy_network = self.engine.place(energy).requires_grad_(False).eval()
        self.sampler = self.engine.place(model.sampler).requires_grad_(False).eval()
        state = checkpoints.select(stored.state, "sampler.state.")
        self._state = {name: value.to(self.engine.device) for name, value in state.items()}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, model={self.job.model!r}, step={self.step})"

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def step(self) -> int:
        """The step of the checkpoint in use."""
        return checkpoints.step_of(self.checkpoint)

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """What the run logged: "step" events carry losses and energies, "score" ones scores."""
        return self.folder.read(event)

    @property
    def given(self) -> tuple[int, ...] | None:
        """The shape of the condition that each event comes with; None for labels and for none."""
        return self.domain.condition_shape

    @property
    def makes_samples(self) -> bool:
        """Whether it has a sampler."""
        return self.sampler.makes_samples

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0, condition: Tensor | None = None) -> Tensor:
        """Samples, float (count, *event) in the data's range, on the CPU.

        condition: labels int64 (count,) of a model conditioned on them; its classes in turn if not
            given. Of a model whose events come with conditions of their own, such as image to
            image, those, float (count, *condition_shape), in the data's range: images of other
            sides too, if the network takes them.
        Raises SettingError if the model takes no condition or lacks one, or makes no samples.
        """
        if count < 1:
            raise SettingError(f"the number of samples is at least 1, not {count}")
        conditions = self._conditions(count, condition)
        randomness = Randomness([seed], self.engine.device)
        attach(self.sampler, randomness)
        hyper = {
            name: torch.tensor([[parse(value)(self.step)]], device=self.engine.device)
            for name, value in self._hyper.items()
        }
        parts, chunk = [], self._at_once(conditions)
        if self.sampler.samples_at_once:
            chunk = count
        for start in range(0, count, chunk):
            context = Context(self.step, hyper, randomness.at("sample", start))
            part = conditions
            if conditions is not None:
                part = conditions[start : start + chunk].to(self.engine.device)
            made = self.sampler.sample(
                self.energy_network, min(chunk, count - start), part, self._state, context
            )
            if made is None:
                raise SettingError(
                    f"{self.path}: the model {self.job.model} makes no samples{self._instead}"
                )
            parts.append(made.x.float().cpu())
        return torch.cat(parts)

    @torch.no_grad()
    def energy(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """U(x), float (B,), of x (B, *event) in the data's range; lower is more like the data.

        condition: as `sample` takes it. Without labels U is the least over all of them; conditions
        that events come with must be given.
        Raises DataError if x does not have the shape or the type of the data.
        """
        self._check(x)
        conditions = condition
        if condition is not None or self.given:
            conditions = self._conditions(len(x), condition)
        if self.domain.paired and conditions is not None and conditions.shape[2:] != x.shape[2:]:
            raise SettingError(
                f"sources of {tuple(conditions.shape[2:])} do not belong to images of "
                f"{tuple(x.shape[2:])}: their sides must be the same"
            )
        chunk = self._at_once(conditions)
        parts = [
            self._energy(part, None if conditions is None else conditions[i * chunk :][: len(part)])
            for i, part in enumerate(x.split(chunk))
        ]
        return torch.cat(parts) if parts else torch.empty(0)

    def energies(self, data: DataSet, told: str = "energies") -> Tensor:
        """The same of a data set's events, float (N,), in chunks; a bar tells how far it is."""
        parts = []
        with progress(told, len(data)) as advance:
            for rows in torch.arange(len(data)).split(CHUNK):
                batch = data.gather(rows)
                parts.append(self.energy(batch.x, batch.condition if self.given else None))
                advance(len(rows))
        return torch.cat(parts) if parts else torch.empty(0)

    # --- classes ----------------------------------------------------------------------------------

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the data's classes, numbers where they have none; () without classes."""
        known = self.config["resolved"]["data"].get("class_names")
        return tuple(known or map(str, range(self.domain.classes or 0)))

    def classify(self, x: Tensor) -> Classified:
        """The class of each of x (B, *event), in the data's range, and the probability of each.

        Raises SettingError if the model learns no classes (`classifies` says whether it does).
        """
        check_classifies(self.classifies, f"{self.path}: the model {self.job.model}")
        self._check(x)
        return classified(self._scored, x)

    def classify_all(self, data: DataSet, told: str = "classifying") -> Classified:
        """The same of a data set's events, in chunks; a bar tells how far it is."""
        check_classifies(self.classifies, f"{self.path}: the model {self.job.model}")
        return classified_set(self._scored, data, told)

    # --- chains on the energy ---------------------------------------------------------------------

    def potential(self, condition: Tensor | None = None) -> Function:
        """U(x) (B,) of x (B, *event) on this run's device, with its gradient in x.

        condition: as `energy` takes it, one for each x; without labels U is the least over them.
        """
        if condition is not None or self.given:
            count = 0 if condition is None else len(condition)
            condition = self._conditions(count, condition)
            condition = None if condition is None else condition.to(self.engine.device)
        return potential(self.energy_network, condition)

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
        labels = self._conditions(count, condition)
        labels = None if labels is None else labels.to(self.engine.device)
        draws = Randomness([seed], self.engine.device).at("replayed")
        chains = self.sampler.replayed(self._state, count, labels, draws)
        return None if chains is None else chains.float().cpu()

    # --- the verdict ------------------------------------------------------------------------------

    @property
    def network(self) -> Network:
        """Which energy this is: the checkpoint's step, its weights' sha256, raw or averaged."""
        return Network(self.step, self._meta.sha256[checkpoints.WEIGHTS], self.weights)

    @property
    def calibration(self) -> Calibration | None:
        """The calibration that the run keeps, of whatever checkpoint; None if there is none."""
        return calibrations.read(self.path)

    def check_judges(self) -> None:
        """Raise SettingError if the energy cannot tell of an event alone whether it is normal."""
        if self.given:
            raise SettingError(
                f"the energy of {self.job.model} is of an event and the condition that it comes "
                "with: no event is normal by itself, so there is nothing to score or calibrate"
            )

    def calibrate(self, x: Normal | None = None, fpr: float = FPR) -> Calibration:
        """Set the threshold that at most a share `fpr` of new normal events exceeds, and keep it.

        x: normal events that were not trained on: float (B, *event) in the data's range, a data
        set, or a source (of a labelled one, those of the classes that were trained on); None for
        the run's own held-out part. Raises SettingError if they are too few for this fpr.
        """
        self.check_judges()
        if isinstance(x, Tensor):
            self._check(x)
        data = normal_events(x, self.job.settings.data, self.domain)
        part: calibrations.Part = "held-out" if x is None else "given"
        of = (self.network, part, data.name, data.fingerprint)
        energies = self.energies(data, f"calibrating on {data.name}")
        made = calibrations.calibrated(energies, fpr, *of)
        made.save(self.path)
        return made

    def score(self, x: Tensor) -> Scores:
        """Energy, percentile among normal events, and verdict of x (B, *event).

        Raises SettingError if this checkpoint, with these weights, was not calibrated.
        """
        calibration = self.calibration
        if calibration is None:
            raise SettingError(f"{self.path} is not calibrated: run.calibrate() does that")
        if calibration.network != self.network:
            raise SettingError(
                f"{self.path} was calibrated at {calibration.network}, and this is "
                f"{self.network}: run.calibrate() calibrates it anew"
            )
        return calibration.scores(self.energy(x))

    @cached_property
    def reconstructs(self) -> bool:
        """Whether the energy is of a reconstruction."""
        if self.given:
            return False
        one = torch.zeros(1, *self.domain.shape)
        return self._scored(one).reconstruction is not None

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Dec(Enc(x)), float (B, *event). SettingError if the energy has no reconstruction."""
        self._check(x)
        if not self.reconstructs:
            raise SettingError(
                f"the model {self.job.model} has no reconstruction: its energy is no auto-encoder's"
            )
        parts = [self._scored(part).reconstruction for part in x.split(CHUNK)]
        found = [part.float().cpu() for part in parts if part is not None]
        return torch.cat(found) if found else x.float()

    def check_encodes(self) -> None:
        """Raise SettingError if the energy has no encoder whose code of an event stands alone."""
        lacking = "its energy has no encoder"
        if self.given:
            lacking = "its energy is of an event and the condition that it comes with"
        elif self._scored(torch.zeros(1, *self.domain.shape)).code is not None:
            return
        raise SettingError(
            f"{self.path}: the model {self.job.model} gives no features: {lacking}; use a run of "
            "an auto-encoder (ebgan, ebgan_conv)"
        )

    @torch.no_grad()
    def code(self, x: Tensor) -> Tensor:
        """The encoder's output for x (B, *event), float (B, S), feature maps flattened.

        Raises SettingError if the energy has no encoder.
        """
        self._check(x)
        self.check_encodes()
        codes = [self._scored(part).code for part in x.split(CHUNK)]
        return torch.cat([part.float().cpu() for part in codes if part is not None])

    def heatmap(self, x: Tensor) -> Tensor:
        """Where the energy of images x (B, C, H, W) comes from, float (B, H, W) ≥ 0.

        The squared error of the reconstruction, summed over channels; for an energy without one
        the saliency, the norm over channels of its gradient. SettingError for points.
        """
        self._check(x)
        if x.dim() != 4:
            raise SettingError(f"heat maps are of images: the run's events are {self.domain.shape}")
        if self.reconstructs:
            return squared_error(x.float().cpu(), self.reconstruct(x))
        parts = [saliency(self._energy, part.to(self.engine.device)) for part in x.split(CHUNK)]
        return torch.cat(parts) if parts else torch.empty(0, *x.shape[2:])

    @property
    def _instead(self) -> str:
        """What a run can do that makes no samples."""
        return (
            "; it tells classes: energan classify RUN IMAGES" if self.classifies else ""
        ) + "; chains can follow its energy: energan sample RUN --chains 64"

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise DataError(f"energy needs a tensor, not {type(x).__name__}: use torch.as_tensor")
        if x.shape[1:] != torch.Size(self.domain.shape) or not x.is_floating_point():
            raise DataError(
                f"energy needs float events of shape {self.domain.shape}, in "
                f"[{self.domain.low}, {self.domain.high}]: given {x.dtype}, {tuple(x.shape)}"
            )

    def _scored(self, x: Tensor, condition: Tensor | None = None) -> Scored:
        x = x.to(self.engine.device, torch.float32)
        condition = condition if condition is None else condition.to(self.engine.device)
        return self.energy_network(x, condition, stream="eval")  # type: ignore[no-any-return]

    def _energy(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        energy = self._scored(x, condition).energy
        return energy.reshape(len(x), -1).mean(-1).float().cpu()  # a patch energy has cells

    def classes_in_turn(self, count: int) -> Tensor:
        """The labels (count,) that `sample` takes where none are given."""
        assert self.classes is not None
        return torch.arange(count) % self.classes

    def _at_once(self, conditions: Tensor | None) -> int:
        """Events that are computed together: fewer where their conditions are large."""
        if conditions is None or conditions.dim() < 2:
            return CHUNK
        return min(CHUNK, max(1, NUMBERS_AT_ONCE // conditions[0].numel()))

    def _conditions(self, count: int, condition: Tensor | None) -> Tensor | None:
        """Checked conditions (count, ...), on the CPU; None for a model that takes none."""
        return self._dense(count, condition) if self.given else self._labels(count, condition)

    def _dense(self, count: int, condition: Tensor | None) -> Tensor:
        """Checked conditions (count, *shape); of images the sides may differ from the data's."""
        shape = self.given or ()
        if condition is None:
            what, by = ("images", "translate") if len(shape) == 3 else ("vectors", "tag")
            raise SettingError(
                f"the model {self.job.model} makes each event of a condition: give {count} {what} "
                f"of shape {shape} as `condition` (on the command line: energan {by})"
            )
        condition = torch.as_tensor(condition)
        free = 1 if len(shape) == 3 else len(shape)
        fits = condition.dim() == 1 + len(shape) and condition.shape[1 : 1 + free] == shape[:free]
        if not fits or len(condition) != count or not condition.is_floating_point():
            raise SettingError(
                f"conditions must be float {(count, *shape)}: given {condition.dtype} "
                f"{tuple(condition.shape)}"
            )
        return condition.to(torch.float32)

    def _labels(self, count: int, condition: Tensor | None) -> Tensor | None:
        """Labels (count,); None for a model that takes none."""
        if self.classes is None:
            if condition is not None:
                raise SettingError(
                    f"the model {self.job.model} takes no condition (given {describe(condition)})"
                )
            return None
        if condition is None:
            condition = self.classes_in_turn(count)
        condition = torch.as_tensor(condition)
        if condition.shape != (count,) or condition.is_floating_point():
            raise SettingError(f"labels must be whole numbers ({count},): {describe(condition)}")
        if count and not 0 <= int(condition.min()) <= int(condition.max()) < self.classes:
            raise SettingError(f"labels must be in [0, {self.classes}): {describe(condition)}")
        return condition.long()

    def _read(self, wanted: str | int) -> tuple[checkpoints.Checkpoint, list[str]]:
        """The wanted checkpoint; why newer ones were refused."""
        while True:
            path, refused = self._find(wanted)
            try:
                return checkpoints.read(path), refused
            except CheckpointError:
                if path.is_dir():
                    raise
                # the process that trains this run has just removed it: there is a newer one

    def _find(self, wanted: str | int) -> tuple[Path, list[str]]:
        folder = self.folder.checkpoints
        if wanted == "last":
            return checkpoints.newest_good(folder)
        if wanted == "best":
            best = best_step(self.folder, self.job.settings.output.keep_best)
            if best is None:
                raise CheckpointError(f"{self.path} has no scored checkpoint; use last")
            wanted = best
        try:
            path = folder / checkpoints.checkpoint_name(int(wanted))
        except ValueError:
            raise SettingError(f"checkpoint {wanted!r}: it is last, best or a step") from None
        if not path.is_dir():
            there = ", ".join(p.name for p in checkpoints.listed(folder)) or "none"
            raise CheckpointError(
                f"{self.path} keeps no checkpoint of step {wanted}; it has {there}"
            )
        return path, []

    def _load(
        self,
        stored: dict[str, Tensor],
        energy: nn.Module,
        sampler: nn.Module,
        weights: Weights | None,
    ) -> Weights:
        averaged = checkpoints.select(stored, "ema.")
        if weights == "ema" and not averaged:
            raise CheckpointError(f"{self.path} kept no averaged weights (training.ema 0); use raw")
        chosen: Weights = weights or ("ema" if averaged else "raw")
        networks = nn.ModuleDict({"energy": energy, "sampler": sampler})
        checkpoints.load_weights(networks, averaged if chosen == "ema" else stored, self.checkpoint)
        return chosen
