"""The attribute classifier: a ConvNet trained on the data's own attributes, once, and kept.

It says of an image which attributes it has, each by itself, and gives its features. Of data with
labels and no attributes each class is one.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import DataError
from energan.data import DataSet, open_data
from energan.evaluation.classifier import (
    AT_ONCE,
    SEED,
    ConvNet,
    epochs_for,
    load_or_train,
    why_no_convnet,
)
from energan.evaluation.reference import Reference
from energan.io.text import agree, plural

HEAVIEST = 20.0
"""Largest factor by which an image with a rare attribute counts more than one without."""


@dataclass(frozen=True)
class AttributeClassifier:
    """A trained ConvNet in evaluation mode.

    names: of the A attributes. accuracy: of each, the mean of the shares of images with it and of
    images without it that are told rightly (balanced: 0.5 for chance however rare it is), on those
    of `about`'s tested_on. sha256: of its weights.
    """

    network: ConvNet
    names: tuple[str, ...]
    accuracy: dict[str, float]
    sha256: str
    about: dict[str, Any]

    def features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> (N, 128): the last maps' means."""
        return self.network.predict(images)[0]

    def logits(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> (N, A): above 0 where it says yes."""
        return self.network.predict(images)[1]


def traits_of(data: DataSet, *, partly: bool = False) -> tuple[Tensor, tuple[str, ...]]:
    """The attributes (N, A) of 0 and 1 and their names; of labelled data without any, the classes.

    partly: whether events may have no label; they have no trait then.
    Raises DataError if the data has neither, or not of every event.
    """
    if data.attributes is not None and data.attribute_names:
        return data.attributes, data.attribute_names
    if data.labels is not None and data.domain.classes:
        names = data.class_names or tuple(map(str, range(data.domain.classes)))
        if not partly and bool((data.labels < 0).any()):
            without = int((data.labels < 0).sum())
            raise DataError(
                f"{plural(without, data.domain.noun)} of {data.name} {agree(without, 'have')} no "
                "label, and traits need all labels: name fully labelled data"
            )
        classes = F.one_hot(data.labels + 1, data.domain.classes + 1)[:, 1:]
        return classes.to(torch.uint8), names
    raise DataError(
        f"{data.name} has no attributes and no labels: name data that has, for example celeba or "
        "a folder of class folders"
    )


def are_classes(data: DataSet) -> bool:
    """Whether the traits are the classes of labelled data: an image has one at most."""
    return data.attributes is None or not data.attribute_names


def training_and_test(reference: Reference) -> tuple[DataSet, DataSet, str]:
    """What to train on, what to test on, and which part that is.

    All the training events, also of a run that learnt from fewer. Where the reference's test part
    does not tell the same traits (public test sets often keep their labels), the held-out part
    stands in, and where there is none, the training part. Raises DataError as `traits_of` does.
    """
    training = reference.training
    if reference.settings.limit is not None:
        training = open_data(reference.settings.model_copy(update={"limit": None}))
    names = traits_of(training)[1]
    if reference.split == "test" and _has_traits(reference.judged, names):
        return training, reference.judged, "test"
    if training.held_out is not None:
        return training, training.held_out, "held-out"
    return training, training, "training"


def _has_traits(data: DataSet, names: tuple[str, ...]) -> bool:
    try:
        return traits_of(data)[1] == names
    except DataError:
        return False


def attribute_classifier(
    training: DataSet, test: DataSet, tested_on: str = "held-out"
) -> AttributeClassifier:
    """The classifier of this training data, from the cache, or trained now and kept there.

    Images of both sets are in [0, 1]. The loss is the cross-entropy of each attribute, with images
    that have it weighing as much together as those without, at most HEAVIEST times one by one.
    Raises DataError if the data has no attributes, or its images are too small.
    """
    targets, names = traits_of(training)
    tests, _ = traits_of(test)
    if reason := why_no_convnet(training):
        raise DataError(reason)
    shares = targets.float().mean(0).clamp(1e-6, 1 - 1e-6)
    weight = ((1 - shares) / shares).clamp(1 / HEAVIEST, HEAVIEST)

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        wanted = targets[rows].to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight)

    network, figures, sha256 = load_or_train(
        training,
        len(names),
        [test.fingerprint, _sha256(targets), _sha256(tests), *names],
        "attribute classifier",
        loss,
        lambda network: {"accuracy": _balanced(network, test, tests)},
    )
    accuracy = dict(zip(names, figures["accuracy"], strict=True))
    about = {
        "name": "attribute classifier",
        "what": f"3-layer ConvNet, {epochs_for(training)} epochs, seed {SEED}",
        "trained_on": f"{training.name}, {len(training)} images, {len(names)} attributes",
        "sha256": sha256,
        "balanced_accuracy": round(sum(accuracy.values()) / len(accuracy), 4),
        "tested_on": f"{tested_on}, {len(test)} images",
    }
    return AttributeClassifier(network, names, accuracy, sha256, about)


@torch.no_grad()
def _balanced(network: ConvNet, test: DataSet, wanted: Tensor) -> list[float]:
    """Balanced accuracy of each attribute; of one that all images have, or none, of that side."""
    parts = [network(test.gather(r).x)[1] > 0 for r in torch.arange(len(test)).split(AT_ONCE)]
    said, wanted = torch.cat(parts), wanted.bool()
    found = []
    for column in range(wanted.shape[1]):
        right = said[:, column] == wanted[:, column]
        sides = [right[wanted[:, column] == side] for side in (True, False)]
        rates = [float(side.float().mean()) for side in sides if len(side)]
        found.append(sum(rates) / len(rates))
    return found


def _sha256(targets: Tensor) -> str:
    return hashlib.sha256(targets.contiguous().numpy().tobytes()).hexdigest()
