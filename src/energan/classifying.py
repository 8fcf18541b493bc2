"""What a run that learnt classes says of events: the class, and how probable each is."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from energan.core import DataError, Scored, SettingError
from energan.data import DataSet
from energan.data.bar import progress

AT_ONCE = 500
"""Events that are classified together."""


@dataclass(frozen=True, eq=False)
class Classified:
    """labels: int64 (N,), the most probable class; probabilities: float32 (N, K), of each class.

    Probabilities are the softmax of the network's outputs: the reliability of a run says what they
    are worth.
    """

    labels: Tensor
    probabilities: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def confidence(self) -> Tensor:
        """The probability of the label, (N,)."""
        return self.probabilities.amax(1)


class Classifier(Protocol):
    """An energy that also classifies, as a run scores it: x (B, *event) -> logits (B, K)."""

    def __call__(self, x: Tensor) -> Scored: ...


def check_classifies(classifies: bool, told: str) -> None:
    """Raise SettingError if the model of `told`, a run and its model, learnt no classes."""
    if not classifies:
        raise SettingError(
            f"{told} does not classify: train one that learns classes from few labels (ladder, "
            "ebgan_ln)"
        )


@torch.no_grad()
def classified(score: Classifier, x: Tensor) -> Classified:
    """The classes of x (B, *event), some at a time. Raises DataError if outputs are not finite."""
    parts = [score(part).logits for part in x.split(AT_ONCE)]
    logits = torch.cat([part.float().cpu() for part in parts if part is not None])
    strange = int((~logits.isfinite().all(1)).sum())
    if strange:
        raise DataError(
            f"the network's outputs are not finite for {strange} of {len(x)} events: look for "
            "values in them that are not"
        )
    probabilities = logits.softmax(1)
    return Classified(probabilities.argmax(1), probabilities)


def classified_set(score: Classifier, data: DataSet, told: str = "classifying") -> Classified:
    """The same of a data set's events; a bar tells how far it is."""
    parts = []
    with progress(told, len(data)) as advance:
        for rows in torch.arange(len(data)).split(AT_ONCE):
            parts.append(classified(score, data.gather(rows).x))
            advance(len(rows))
    return Classified(
        torch.cat([part.labels for part in parts]),
        torch.cat([part.probabilities for part in parts]),
    )
