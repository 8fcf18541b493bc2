"""The in-domain classifier: a ConvNet trained on the data's own labels, once, and kept.

Section 4.1 of the EBGAN paper scores samples by p(y|x) of such a network.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import DataError
from energan.data import DataSet
from energan.evaluation.convnet import AT_ONCE, SEED, ConvNet, epochs_for, images_lack, trained


@dataclass(frozen=True)
class Classifier:
    """A trained ConvNet in evaluation mode.

    accuracy: share of the images of `tested_on` ("test" or "held-out") it classifies rightly.
    sha256: of its weights; scores by another classifier do not compare.
    """

    network: ConvNet
    accuracy: float
    sha256: str
    about: dict[str, Any]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in [0, 1] -> features (N, 128) and log-probabilities (N, K)."""
        parts = [self.network(part) for part in images.split(AT_ONCE)]
        features, logits = (torch.cat(part) for part in zip(*parts, strict=True))
        return features, logits.double().log_softmax(1)


def lacks(training: DataSet) -> str:
    """Why no classifier can be trained on the data; empty if one can."""
    if len(training.domain.shape) != 3:
        return images_lack(training)
    if training.labels is None:
        return f"{training.name} has no labels to train a classifier on"
    if bool((training.labels < 0).any()):
        return f"{int((training.labels < 0).sum())} events of {training.name} have no label"
    if int(training.labels.unique().numel()) < 2:
        return f"the labels of {training.name} are all of one class"
    return images_lack(training)


def classifier_for(training: DataSet, test: DataSet, tested_on: str) -> Classifier:
    """The classifier of this training data, from the cache, or trained now and kept there.

    Images of both sets are in [0, 1]. Its accuracy is measured on `test`.
    Raises DataError if the data has no labels.
    """
    if reason := lacks(training):
        raise DataError(f"{reason}: name another extractor")
    assert training.domain.classes is not None
    labels = training.labels
    assert labels is not None
    network, figures, sha256 = trained(
        training,
        training.domain.classes,
        [test.fingerprint],
        "classifier",
        lambda logits, rows: F.cross_entropy(logits, labels[rows]),
        lambda network: {"accuracy": _accuracy(network, test)},
    )
    accuracy = float(figures["accuracy"])
    about = {
        "name": "classifier",
        "what": f"3-layer ConvNet, {epochs_for(training)} epochs, seed {SEED}",
        "trained_on": f"{training.name}, {len(training)} images",
        "sha256": sha256,
        "test_accuracy": round(accuracy, 4),
        "tested_on": f"{tested_on}, {len(test)} images",
    }
    return Classifier(network, accuracy, sha256, about)


@torch.no_grad()
def _accuracy(network: ConvNet, test: DataSet) -> float:
    """The share of the test images that are classified rightly."""
    assert test.labels is not None
    right, told = 0, (test.labels >= 0).nonzero().flatten()
    for rows in told.split(AT_ONCE):
        _, logits = network(test.gather(rows).x)
        right += int((logits.argmax(1) == test.labels[rows]).sum())
    return right / max(len(told), 1)
