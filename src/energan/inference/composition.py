"""Energies of runs that add up: chains on `a + b` go where both are low.

exp(−U_a − U_b) is the product of the two densities, so a sum keeps what both runs hold likely. The
same of networks in training is `energy_a + energy_b` (`energan.core.Energy`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from energan.core import Domain, SettingError, StepRule
from energan.samplers.dynamics import Function


class Composable(ABC):
    """A run, or a sum of runs: an energy that chains can follow."""

    domain: Domain
    classes: int | None

    @abstractmethod
    def potential(self, condition: Tensor | None = None) -> Function:
        """U(x) (B,) of x (B, *event), with its gradient in x; labels, or None, as `energy`."""

    @abstractmethod
    def energy(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """U(x), float (B,), on the CPU."""

    @property
    @abstractmethod
    def rule(self) -> StepRule:
        """How a step of a chain is made."""

    @property
    def terms(self) -> tuple[tuple[float, Any], ...]:
        """(weight, run) whose weighted sum this is: itself, once."""
        return ((1.0, self),)

    def __add__(self, other: "Composable") -> "Composition":
        """The sum of the two energies. Raises SettingError if they are of different events."""
        if not isinstance(other, Composable):
            return NotImplemented
        return Composition((*self.terms, *other.terms))

    def __radd__(self, other: object) -> "Composable":
        """For sum([a, b]), which begins at 0."""
        return self if other == 0 else NotImplemented

    def __sub__(self, other: "Composable") -> "Composition":
        """The energy less another: low where the one is and the other is not."""
        return self + -1 * other if isinstance(other, Composable) else NotImplemented

    def __mul__(self, weight: float) -> "Composition":
        """The energy times a number: more than 1 makes its density sharper."""
        if not isinstance(weight, int | float):
            return NotImplemented
        return Composition(tuple((weight * w, run) for w, run in self.terms))

    __rmul__ = __mul__


class Composition(Composable):
    """Σ w·U(x) of runs. Labels go to those that take them; steps are made as of the first."""

    def __init__(self, terms: tuple[tuple[float, Any], ...]) -> None:
        self._terms = terms
        runs = [run for _, run in terms]
        check_alike(runs)
        self.domain = runs[0].domain
        self.classes = classes_of(runs)

    def __repr__(self) -> str:
        return " + ".join(f"{weight:g}·{run!r}" for weight, run in self._terms)

    @property
    def terms(self) -> tuple[tuple[float, Any], ...]:
        return self._terms

    @property
    def rule(self) -> StepRule:
        rule: StepRule = self._terms[0][1].rule
        return rule

    def potential(self, condition: Tensor | None = None) -> Function:
        parts = [
            (weight, run.potential(condition if run.classes else None))
            for weight, run in self._terms
        ]

        def total(x: Tensor) -> Tensor:
            return torch.stack([weight * u(x) for weight, u in parts]).sum(0)

        return total

    def energy(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        parts = [
            weight * run.energy(x, condition if run.classes else None)
            for weight, run in self._terms
        ]
        return torch.stack(parts).sum(0)


def runs_of(parts: Sequence[Composable]) -> list[Any]:
    """The runs that these are, or are sums of."""
    return [run for part in parts for _, run in part.terms]


def check_alike(runs: Sequence[Any]) -> None:
    """Raise SettingError if one chain cannot be moved by the energies of all these runs."""
    first = runs[0]
    for run in runs:
        if run.given:
            raise SettingError(
                f"{run.path}: the energy of {run.job.model} is of an event and the condition that "
                "it comes with, so no chain can follow it alone; name a run without"
            )
        if _range(run.domain) != _range(first.domain):
            raise SettingError(
                f"{first.path} is of events {_told(first.domain)}, and {run.path} is "
                f"{_told(run.domain)}: energies that share chains must be of the same events"
            )
    classes_of(runs)


def classes_of(parts: Sequence[Composable]) -> int | None:
    """How many labels the energies are conditioned on; None if none is.

    Raises SettingError if they differ.
    """
    found = {part.classes for part in parts if part.classes}
    if len(found) > 1:
        raise SettingError(
            f"energies of {' and '.join(map(str, sorted(found)))} classes cannot share chains: "
            "their labels mean different things"
        )
    return next(iter(found), None)


def _range(domain: Domain) -> tuple[tuple[int, ...], float | None, float | None]:
    return domain.shape, domain.low, domain.high


def _told(domain: Domain) -> str:
    if domain.low is None or domain.high is None:
        return f"of shape {domain.shape}"
    return f"of shape {domain.shape} in [{domain.low:g}, {domain.high:g}]"
