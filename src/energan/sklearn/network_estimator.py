"""What the estimators have in common: parameters, scaling, training in memory."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from energan import recipes
from energan.core import Domain, Energy, SettingError, mean_energy
from energan.data import DataSet
from energan.data.dataset import mean_event
from energan.experiment import settings
from energan.experiment.build import build, cohort_of
from energan.experiment.settings import Job
from energan.training.device import EngineSettings, choose

AT_ONCE, LIMIT = 4096, 1e6
"""Examples that are scored together, and the largest value of a scaled feature."""


class NetworkEstimator(ABC, BaseEstimator):  # type: ignore[misc]
    """An energy that is trained on arrays. See the estimators for the parameters."""

    def __init__(
        self,
        recipe: str = "auto",
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        steps: int | None = None,
        batch_size: int = 100,
        image_shape: tuple[int, int, int] | None = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.recipe = recipe
        self.settings = settings
        self.steps = steps
        self.batch_size = batch_size
        self.image_shape = image_shape
        self.device = device
        self.random_state = random_state

    @abstractmethod
    def _default_job(self, domain: Domain) -> Job:
        """The job of recipe "auto" for this data."""

    def _train(self, X: NDArray[np.float64], labels: NDArray[np.int64] | None) -> None:
        """Train on validated X (n, features). labels: int64 (n,), -1 where there is none."""
        self._set_scale(X)
        x = self._scaled(X).float()
        domain = Domain(tuple(x.shape[1:]))
        if self.image_shape is not None:
            domain = replace(domain, low=-1.0, high=1.0)
        if labels is not None:
            domain = replace(domain, classes=int(labels.max()) + 1)
        data = DataSet("X", x, domain, None if labels is None else torch.from_numpy(labels))
        domain = replace(domain, mean=mean_event(data))
        data = replace(data, domain=domain)
        job = self._job(domain, len(x))
        # without switches: the caller's threads are the caller's
        engine = choose(EngineSettings(device=self.device, precision="32"), switches=False)
        loop = cohort_of([job], data, engine).loop
        loop.run()
        loop.flush_figures()  # raises DivergenceError if a loss is not finite
        loop.estimate_statistics()
        # built anew: what training attached is not needed, and cannot all be pickled
        energy = build(job, domain, job.settings.seed).energy
        energy.load_state_dict(loop.averaged()["energy"].state_dict())
        # in double precision a score does not depend on the rows beside it
        self.energy_: Energy = energy.double().requires_grad_(False).eval()
        self.n_iter_ = loop.step

    def _job(self, domain: Domain, count: int) -> Job:
        if self.recipe == "auto":
            job = self._default_job(domain)
        elif self.recipe in recipes.RECIPES or self.recipe.endswith(".json"):
            job = settings.load(self.recipe)
        else:
            job = settings.load(None, self.recipe)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        training = {"batch_size": min(self.batch_size, max(count, 2)), "guard": False}
        job = job.changed({"seed": seed, "training": training})
        if self.steps is not None:
            if self.steps < 1:
                raise SettingError(f"steps {self.steps}: give at least 1")
            job = job.scaled(f"{self.steps}/{job.settings.training.steps}")
        return job.changed({name: dict(group) for name, group in (self.settings or {}).items()})

    def _set_scale(self, X: NDArray[np.float64]) -> None:
        """Features get mean 0 and variance 1, pixels the range [-1, 1] of all of them together."""
        if self.image_shape is not None:
            low, high = float(X.min()), float(X.max())
            self.center_ = np.full(X.shape[1], (low + high) / 2)
            self.scale_ = np.full(X.shape[1], (high - low) / 2 or 1.0)
            return
        self.center_ = X.mean(0)
        spread = X.std(0)
        # of a constant feature rounding leaves a spread, by which it must not be divided
        constant = spread <= 1e-12 * np.abs(self.center_)
        self.scale_ = np.where(constant | (spread == 0), 1.0, spread)

    def _scaled(self, X: NDArray[np.float64]) -> Tensor:
        scaled = (X - self.center_) / self.scale_
        shape = self.image_shape or X.shape[1:]
        if int(np.prod(shape)) != X.shape[1]:
            raise ValueError(f"image_shape {shape} does not match {X.shape[1]} features")
        # far outside the training data, and finite
        return torch.from_numpy(scaled.clip(-LIMIT, LIMIT).reshape(len(X), *shape))

    @torch.no_grad()
    def _outputs(self, X: ArrayLike, of: Literal["energy", "logits"]) -> NDArray[np.float64]:
        """The energy (n,) or the logits (n, K) of X (n, features)."""
        check_is_fitted(self)
        values: NDArray[np.float64] = validate_data(self, X, reset=False, dtype=np.float64)
        parts = []
        for x in self._scaled(values).split(AT_ONCE):
            scored = self.energy_(x, stream="eval")
            assert scored.logits is not None or of == "energy"
            found = mean_energy(scored.energy) if of == "energy" else scored.logits
            parts.append(found)
        made: NDArray[np.float64] = torch.cat(parts).numpy()
        return made
