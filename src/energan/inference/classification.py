"""The classes that a run gives to examples: to tensors, to data sets, to a user's files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from energan.core import DataError, Domain
from energan.data import DataSet, DataSettings
from energan.data.inference import PredictSet, open_images
from energan.inference.conditions import Score, batches, collect
from energan.io.files import write_csv

COLUMNS = ("file", "label", "probability")


@dataclass(frozen=True, eq=False)
class ClassProbabilities:
    """Classes of N examples.

    Attributes:
        labels: most probable class, int64 (N,).
        probabilities: softmax of the network's logits, float32 (N, K). How far they can be
            trusted is what `calibration_error` and the reliability diagram of a run show.
    """

    labels: Tensor
    probabilities: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def confidence(self) -> Tensor:
        """Probability of the most probable class, (N,)."""
        return self.probabilities.amax(1)


def classify(score: Score, x: Tensor) -> ClassProbabilities:
    """The classes of x (B, *event), some at a time. Raises DataError if outputs are not finite."""
    logits = collect(score, x, lambda scored: scored.logits)
    strange = int((~logits.isfinite().all(1)).sum())
    if strange:
        raise DataError(
            f"the network's outputs are not finite for {strange} of {len(x)} examples: check "
            "their values"
        )
    probabilities = logits.softmax(1)
    return ClassProbabilities(probabilities.argmax(1), probabilities)


def classify_data(score: Score, data: DataSet, told: str) -> ClassProbabilities:
    """The classes of a data set's examples; a bar tells how far it is."""
    return joined([classify(score, batch.x) for batch in batches(data, told)])


def joined(parts: Sequence[ClassProbabilities]) -> ClassProbabilities:
    return ClassProbabilities(
        torch.cat([part.labels for part in parts]),
        torch.cat([part.probabilities for part in parts]),
    )


# --- a user's files -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Predictions:
    """Events of one or more sources in the order that the user named them, and their classes.

    skipped: (where, reason) of what could not be read. class_names: of the run's classes.
    """

    groups: tuple[PredictSet, ...]
    skipped: tuple[tuple[str, str], ...]
    found: ClassProbabilities
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.found)

    @cached_property
    def names(self) -> list[str]:
        return [name for group in self.groups for name in group.names]

    @property
    def what(self) -> str:
        """The sources, and which part of them."""
        said = {"test": " (test part)", "held-out": " (kept from training)", "all": ""}
        return ", ".join(group.source + said[group.part] for group in self.groups)

    @property
    def counts(self) -> list[tuple[str, int, float]]:
        """(class, how many are of it, the mean probability of these), of the classes found."""
        made = []
        for number, name in enumerate(self.class_names):
            of_it = self.found.confidence[self.found.labels == number]
            if len(of_it):
                made.append((name, len(of_it), float(of_it.double().mean())))
        return made

    def least_sure(self, count: int) -> list[int]:
        """The `count` examples whose class is least probable, the least first."""
        order: list[int] = self.found.confidence.argsort(stable=True)[:count].tolist()
        return order

    def record(self, row: int) -> dict[str, str]:
        """A line of the table."""
        label = self.class_names[int(self.found.labels[row])]
        probability = f"{float(self.found.confidence[row]):.4f}"
        return dict(zip(COLUMNS, (self.names[row], label, probability), strict=True))

    def write_csv(self, path: Path) -> Path:
        """Every example, in the order given."""
        write_csv(path, COLUMNS, (self.record(row) for row in range(len(self))))
        return path


def predict(
    sources: Sequence[str],
    settings: DataSettings,
    domain: Domain,
    classify: Callable[[DataSet, str], ClassProbabilities],
    class_names: tuple[str, ...],
) -> Predictions:
    """The classes of what `sources` hold, for a run with these settings of data.

    classify: called with a data set and what a progress bar calls the work. Of a name it gets the
    test part, or what was held out; of a folder all, trained on or not.
    Raises DataError as `open_images` does.
    """
    groups, skipped = open_images(sources, settings, domain, trained_on=True)
    parts = [classify(group.data, f"classifying {group.source}") for group in groups]
    return Predictions(tuple(groups), tuple(skipped), joined(parts), class_names)
