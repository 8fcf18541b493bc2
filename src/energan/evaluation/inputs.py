"""What metrics are computed from, each part made once and only if some metric asks for it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from torch import Tensor

from energan.data.images.checksums import cache_folder
from energan.evaluation.extractors import CPU, Extractor, Features, extractor_for
from energan.evaluation.reference import Reference
from energan.inference.run import Run
from energan.io.files import write_atomically


@dataclass(frozen=True)
class EvaluationRequest:
    """What `evaluate` was asked for. metrics: names of SCORERS, or such; all if there is none."""

    run: Run
    metrics: Sequence[str]
    samples: int
    reference: str | None
    extractor: str | None
    seed: int
    resamples: int
    say: Callable[[str], None]

    @property
    def about(self) -> str:
        """Whose scores they are."""
        return f"{self.run.path} (step {self.run.step}, {self.run.weights} weights)"


@dataclass(frozen=True, eq=False)
class EvaluationInputs:
    """samples: (N, *event), images in [0, 1] without padding; so are the reference's.

    extractor_name: as the user gave it; None for the in-domain classifier where there can be one.
    energy: U of points (N, D) -> (N,), for densities in the plane.
    ready_extractor: one that is there already, instead of one made from its name.
    labels: int64 (N,), the class that each sample was asked to be of; None without such.
    run: whose samples they are; None while it trains. device: where features are computed.
    """

    samples: Tensor
    reference: Reference
    extractor_name: str | None = None
    energy: Callable[[Tensor], Tensor] | None = None
    seed: int = 0
    resamples: int = 1000
    ready_extractor: Extractor | None = None
    labels: Tensor | None = None
    run: Run | None = None
    device: torch.device = CPU

    @property
    def count(self) -> int:
        return len(self.samples)

    @property
    def is_image(self) -> bool:
        return self.samples.dim() == 4

    @cached_property
    def extractor(self) -> Extractor:
        return self.ready_extractor or extractor_for(
            self.extractor_name, self.reference, self.device
        )

    @property
    def extractor_used(self) -> Extractor | None:
        """The extractor, if some metric asked for it."""
        return self.__dict__.get("extractor")

    @cached_property
    def real_events(self) -> Tensor:
        """As many real events as samples, or all there are."""
        return self.reference.events(self.reference.judged, self.count)

    @cached_property
    def training_events(self) -> Tensor:
        """As many of those that were trained on."""
        return self.reference.events(self.reference.training, self.count)

    @cached_property
    def fake(self) -> Features:
        return self.extractor(self.samples, "samples")

    @cached_property
    def real(self) -> Features:
        """Of `real_events`; kept on disk under the contents of extractor and events."""
        return self._cached("reference", self.reference.judged.fingerprint, self.real_events)

    @cached_property
    def training(self) -> Features:
        """Of `training_events`: what a generator that repeats its data would score."""
        return self._cached("training", self.reference.training.fingerprint, self.training_events)

    def _cached(self, what: str, fingerprint: str, events: Tensor) -> Features:
        sha256 = self.extractor.about.get("sha256")
        if sha256 in (None, "pixels") or ":" in self.extractor.name:
            # quicker made than read; and of a user's callable no hash tells all that it calls
            return self.extractor(events, what)
        told = f"1 {self.extractor.about} {fingerprint} {len(events)} {tuple(events.shape[1:])}"
        key = hashlib.sha256(told.encode()).hexdigest()[:24]
        path = cache_folder() / "features" / f"{key}.safetensors"
        try:
            stored = load_file(path)
            return Features(stored["values"], stored.get("log_probabilities"))
        except (OSError, SafetensorError, KeyError):
            pass  # not there, or torn
        made = self.extractor(events, what)
        parts = {n: np.ascontiguousarray(v) for n, v in vars(made).items() if v is not None}
        write_atomically(path, save(parts))
        return made
