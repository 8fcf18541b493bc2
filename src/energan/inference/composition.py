"""Energies of runs, and their sums: chains on `a + b` go where both are low.

exp(−U_a − U_b) is the product of the two densities, so a sum keeps what both runs hold likely. The
same of networks in training is `energy_a + energy_b` (`energan.core.Energy`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energan.core import Domain, Energy, Function, SettingError, StepRule, Sum, potential
from energan.data import DataSet
from energan.data.from_python import Images, is_examples, open_given
from energan.inference.conditions import Conditions, batches, check_examples, examples_at_once
from energan.io.console import say
from energan.training.device import Device


class TrainedEnergy(ABC):
    """The energy of a run, or a weighted sum of the energies of several runs."""

    domain: Domain
    conditions: Conditions
    engine: Device
    energy_network: Energy
    judge: Energy
    """The energy of whole images; the same unless it was trained on windows of them."""

    @property
    @abstractmethod
    def rule(self) -> StepRule:
        """Settings of a chain step on this energy."""

    @property
    def classes(self) -> int | None:
        """Number of labels that the energy is conditioned on; None without labels."""
        return self.conditions.classes

    @property
    def terms(self) -> tuple[tuple[float, Any], ...]:
        """(weight, run) pairs whose weighted sum this energy is."""
        return ((1.0, self),)

    def open(self, x: Images) -> list[DataSet]:
        """Open images as data sets, prepared like the data of the (first) run.

        Raises:
            DataError: if images cannot be read or do not fit the run.
        """
        found = open_given(x, runs_of([self])[0].job.settings.data, self.domain.whole)
        for fact in dict.fromkeys(fact for data in found for fact in data.facts):
            if fact.subject != "train":  # that is what was given
                say(str(fact))
        return found

    def prepare(self, x: Images) -> Tensor:
        """Prepare images like the data of the (first) run: float (B, *event) in its range.

        Tensors are returned as they are.

        Raises:
            DataError: if images cannot be read or do not fit the run.
        """
        if not is_examples(x) and not self.conditions.shape:
            return torch.cat(
                [batch.x for data in self.open(x) for batch in batches(data, "reading")]
            )
        return check_examples(torch.as_tensor(x) if isinstance(x, np.ndarray) else x, self.domain)

    @torch.no_grad()
    def energy(self, x: Images, condition: Tensor | None = None) -> Tensor:
        """Compute U(x): low for examples like the training data.

        Args:
            x: examples, float (B, *event) in the range of the data, or images. A run on windows
                (`data.tile`) accepts windows, and whole images, whose energy is the maximum of
                their map.
            condition: labels or conditions, as for `Run.sample`. Without labels the lowest
                energy over all labels is returned; conditions that come with the examples must
                be given.

        Returns:
            Energies, float (B,), on the CPU.

        Raises:
            DataError: if x does not have the shape or type of the data.
            SettingError: if the condition is missing or does not fit.
        """
        if not is_examples(x) and condition is None and not self.conditions.shape:
            return torch.cat([self.energies(data) for data in self.open(x)])
        x = self.prepare(x)
        if condition is not None or self.conditions.shape:
            condition = self.conditions.check(len(x), condition)
        if self.domain.paired and condition is not None and condition.shape[2:] != x.shape[2:]:
            raise SettingError(
                f"sources of {tuple(condition.shape[2:])} do not match images of "
                f"{tuple(x.shape[2:])}: their sides must be the same"
            )
        chunk, device = examples_at_once(condition, x[:1].numel() or 1), self.engine.device
        parts = []
        for i, part in enumerate(x.split(chunk)):
            given = None if condition is None else condition[i * chunk :][: len(part)].to(device)
            u = potential(self.network_for(part), given)
            parts.append(u(part.to(device, torch.float32)).float().cpu())
        return torch.cat(parts)

    def network_for(self, x: Tensor) -> Energy:
        """The network that scores x: examples, or whole images if examples are windows of them."""
        return self.energy_network if x.shape[1:] == self.domain.shape else self.judge

    def energies(self, data: DataSet, told: str = "energies") -> Tensor:
        """Compute U of all examples of a data set in chunks, float (N,), with a progress bar."""
        given = self.conditions.shape is not None
        parts = [
            self.energy(batch.x, batch.condition if given else None)
            for batch in batches(data, told)
        ]
        return torch.cat(parts)

    def potential(self, condition: Tensor | None = None) -> Function:
        """Return the function x -> U(x), (B, *event) to (B,), on the energy's device and
        differentiable.

        Args:
            condition: as for `energy`, one for each x.
        """
        if condition is not None or self.conditions.shape:
            count = 0 if condition is None else len(condition)
            condition = self.conditions.check(count, condition, self.engine.device)
        return potential(self.energy_network, condition)

    def __add__(self, other: "TrainedEnergy") -> "RunSum":
        """The sum of two energies. Raises SettingError if they are over different spaces."""
        if not isinstance(other, TrainedEnergy):
            return NotImplemented
        return RunSum((*self.terms, *other.terms))

    def __radd__(self, other: object) -> "TrainedEnergy":
        """For sum([a, b]), which begins at 0."""
        return self if other == 0 else NotImplemented

    def __sub__(self, other: "TrainedEnergy") -> "RunSum":
        """The difference of two energies: low where the first is low and the second is not."""
        return self + -1 * other if isinstance(other, TrainedEnergy) else NotImplemented

    def __mul__(self, weight: float) -> "RunSum":
        """The energy times a number; above 1 it makes the density sharper."""
        if not isinstance(weight, int | float):
            return NotImplemented
        return RunSum(tuple((weight * w, run) for w, run in self.terms))

    __rmul__ = __mul__


class RunSum(TrainedEnergy):
    """A weighted sum of the energies of runs, Σ w·U(x). Labels go to the runs that take them; chain
    steps follow the rule of the first.
    """

    def __init__(self, terms: tuple[tuple[float, Any], ...]) -> None:
        self._terms, runs = terms, [run for _, run in terms]
        check_alike(runs)
        self.domain, self.engine = runs[0].domain, runs[0].engine
        self.conditions = Conditions(runs[0].conditions.model, classes_of(runs))
        self.energy_network = Sum(tuple((weight, run.energy_network) for weight, run in terms))
        self.judge = Sum(tuple((weight, run.judge) for weight, run in terms))

    def __repr__(self) -> str:
        return " + ".join(f"{weight:g}·{run!r}" for weight, run in self._terms)

    @property
    def terms(self) -> tuple[tuple[float, Any], ...]:
        return self._terms

    @property
    def rule(self) -> StepRule:
        rule: StepRule = self._terms[0][1].rule
        return rule


def runs_of(parts: Sequence[TrainedEnergy]) -> list[Any]:
    """The runs that these are, or are sums of."""
    return [run for part in parts for _, run in part.terms]


def check_alike(runs: Sequence[Any]) -> None:
    """Raise SettingError if one chain cannot be moved by the energies of all these runs."""
    first = runs[0]
    for run in runs:
        if run.given:
            raise SettingError(
                f"{run.path}: the energy of {run.job.model} needs an input with each example, so "
                "chains cannot sample it: name a run without inputs"
            )
        own, other = (one.engine.device for one in (run, first))
        if (own.type, own.index or 0) != (other.type, other.index or 0):
            raise SettingError(
                f"{first.path} is on {other}, and {run.path} on {own}: energies that share "
                "chains need the same device, so open both with one"
            )
        if _range(run.domain) != _range(first.domain):
            raise SettingError(
                f"{first.path} is for examples {_described(first.domain)}, and {run.path} for "
                f"examples {_described(run.domain)}: energies that share chains need the same "
                "kind"
            )
    classes_of(runs)


def classes_of(parts: Sequence[TrainedEnergy]) -> int | None:
    """How many labels the energies are conditioned on; None if none is.

    Raises SettingError if they differ.
    """
    found = {part.classes for part in parts if part.classes}
    if len(found) > 1:
        raise SettingError(
            f"energies of {' and '.join(map(str, sorted(found)))} classes cannot share chains, "
            "because their labels mean different things"
        )
    return next(iter(found), None)


def _range(domain: Domain) -> tuple[tuple[int, ...], tuple[int, ...], float | None, float | None]:
    return domain.shape, domain.whole.shape, domain.low, domain.high


def _described(domain: Domain) -> str:
    shape = f"{domain.shape}"
    if domain.image_shape is not None:
        shape += f" (windows of {domain.image_shape})"
    if domain.low is None or domain.high is None:
        return f"of shape {shape}"
    return f"of shape {shape} in [{domain.low:g}, {domain.high:g}]"
