"""What of a run can be exported: its generator, energy and classes, as modules of tensors."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from energan.core import Energy, Randomness, SettingError, attach, mean_energy, through
from energan.energies.minimum_over_labels import MinimumOverLabels
from energan.exporters.formats import ExportedNetwork
from energan.inference.run import Run
from energan.samplers.generator import Generator, latent
from energan.version import __version__

Network = TypeVar("Network", bound=nn.Module)
Shapes = dict[str, tuple[int, ...]]


class GeneratorModule(nn.Module):
    """z (B, latent) -> x (B, *event) in the data's range: what Run.sample does with its z.

    With labels int64 (B,), or float conditions (B, *condition), beside it where the network takes
    them.
    """

    def __init__(self, sampler: Generator) -> None:
        super().__init__()
        self.network = sampler.network

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        x: Tensor = through(self.network, z, condition, "eval")
        return x


class EnergyModule(nn.Module):
    """x (B, *event) in the data's range, and its condition -> U(x) (B,), as Run.energy gives it."""

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return mean_energy(self.energy(x, condition, stream="eval").energy)


class ClassifierModule(nn.Module):
    """x (B, *event) in the data's range -> probabilities (B, K), as Run.classify gives them."""

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, x: Tensor) -> Tensor:
        logits = self.energy(x, stream="eval").logits
        assert logits is not None
        probabilities: Tensor = logits.softmax(-1)
        return probabilities


def no_generator(run: Run) -> str | None:
    """Why this run has no generator to export; None if it has one."""
    if not run.makes_samples:
        return f"{run.path}: the model {run.job.model} makes no samples, so it has no generator"
    sampler = run.sampler
    if isinstance(sampler, Generator) and type(sampler).sample is Generator.sample:
        return None
    return (
        f"{run.path}: the model {run.job.model} samples with {type(sampler).__name__}, which is "
        "not a single pass of a generator; only its energy can be exported"
    )


def generator_part(run: Run) -> ExportedNetwork:
    """A run's generator. Raises SettingError if its sampler is no generator network."""
    if reason := no_generator(run):
        raise SettingError(reason)
    sampler: Generator = plain_copy(run.sampler)  # type: ignore[assignment]
    prior, size = sampler.prior, sampler.latent_size
    beside, conditions = _condition(run)

    def draw(count: int) -> tuple[Tensor, ...]:
        z = latent(Randomness([0]).at("export", count), prior, count, size)
        return (z, *conditions(count))

    inputs: Shapes = {"z": (size,), **beside}
    outputs: Shapes = {"x": run.domain.shape}
    about = {**describe_part(run, "generator", inputs, outputs), "prior": prior}
    module = GeneratorModule(sampler).eval()
    return ExportedNetwork("generator", module, sampler.state_dict(), inputs, outputs, draw, about)


def energy_part(run: Run) -> ExportedNetwork:
    """A run's energy of whole images: under the condition that is given, never the least over all
    labels; of a run on windows they are cut inside."""
    whole = run.judge
    energy = plain_copy(whole.energy if isinstance(whole, MinimumOverLabels) else whole)
    beside, conditions = _condition(run)
    shape = run.domain.whole.shape

    def draw(count: int) -> tuple[Tensor, ...]:
        return (_values(run, shape, count, "export"), *conditions(count))

    inputs: Shapes = {"x": shape, **beside}
    outputs: Shapes = {"energy": ()}
    about = describe_part(run, "energy", inputs, outputs)
    module = EnergyModule(energy).eval()
    return ExportedNetwork("energy", module, energy.state_dict(), inputs, outputs, draw, about)


def classifier_part(run: Run) -> ExportedNetwork:
    """A run's classes. Raises SettingError if the model learns none."""
    if not run.classifies:
        raise SettingError(
            f"{run.path}: the model {run.job.model} learns no classes, so there is no classifier "
            "to export; jem, ladder and ebgan_ln learn them"
        )
    energy, shape = plain_copy(run.energy_network), run.domain.shape

    def draw(count: int) -> tuple[Tensor, ...]:
        return (_values(run, shape, count, "export"),)

    inputs: Shapes = {"x": shape}
    outputs: Shapes = {"probabilities": (len(run.class_names),)}
    about = {
        **describe_part(run, "classifier", inputs, outputs),
        "class_names": list(run.class_names),
    }
    module = ClassifierModule(energy).eval()
    return ExportedNetwork("classifier", module, energy.state_dict(), inputs, outputs, draw, about)


PARTS = {"generator": generator_part, "energy": energy_part, "classifier": classifier_part}


def parts_of(run: Run) -> list[str]:
    """Names of all that this run has to export."""
    lacking = {"generator": no_generator(run) is not None, "classifier": not run.classifies}
    return [name for name in PARTS if not lacking.get(name)]


def _condition(run: Run) -> tuple[Shapes, Callable[[int], tuple[Tensor, ...]]]:
    """The second input of both networks and random ones, or neither where nothing is given."""
    given, classes = run.given, run.classes
    if given is not None:
        return {"condition": given}, lambda count: (_values(run, given, count, "condition"),)
    if classes is not None:
        return {"labels": ()}, lambda count: (torch.linspace(0, classes - 1, count).long(),)
    return {}, lambda count: ()


def _values(run: Run, shape: tuple[int, ...], count: int, place: str) -> Tensor:
    """Random numbers (count, *shape), in the data's range where it has one."""
    random, low, high = Randomness([0]).at(place, count), run.domain.low, run.domain.high
    if low is None or high is None:
        return random.normal(count, *shape)
    return random.uniform(low, high, count, *shape)


def plain_copy(network: Network) -> Network:
    """A copy on the CPU, in evaluation mode and the plain memory order; the run keeps its own."""
    own = copy.deepcopy(network).cpu().requires_grad_(False).eval()
    attach(own, None)
    own.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return own


def describe_part(run: Run, part: str, inputs: Shapes, outputs: Shapes) -> dict[str, Any]:
    """Where a part comes from, what goes in and out. No path of this machine: files travel."""
    data = run.config["resolved"]["data"]
    low, high = run.domain.low, run.domain.high
    return {
        "energan": __version__,
        "run": run.config["hash"],
        "model": run.job.model,
        "step": run.step,
        "weights": run.weights,
        "part": part,
        "inputs": {name: list(shape) for name, shape in inputs.items()},
        "output": {name: list(shape) for name, shape in outputs.items()},
        "range": None if low is None else [low, high],
        "classes": run.domain.classes if run.classifies else run.classes,
        "data": {key: data[key] for key in ("name", "fingerprint") if key in data},
        "settings": run.job.settings.model_dump(
            mode="json",
            exclude={
                "engine": True,
                "output": True,
                "data": {"source": True},
                "model": {"features": True},
            },
        ),
    }
