"""The in-domain classifier: a 3-layer ConvNet trained on the data's own labels, once, and kept.

Section 4.1 of the EBGAN paper scores samples by p(y|x) of "a 3-layer ConvNet trained on the MNIST
training set". What it leaves open is settled here: three strided convolutions of 32, 64 and 128
maps, each with batch norm and ReLU, then a linear layer; images in [0, 1].
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from energan.core import DataError
from energan.data import DataSet
from energan.data.bar import progress, say
from energan.data.content import cache_folder

VERSION, SEED, BATCH, RATE, SHIFT = 1, 0, 100, 3e-3, 2
"""Change VERSION with anything that changes the weights: they are kept under all of these."""
EPOCHS, STEPS, MOST_EPOCHS = 6, 300, 60
"""Of small sets, as many epochs as make STEPS steps, but no more than MOST_EPOCHS."""
SMALLEST, AT_ONCE = 8, 500


class ConvNet(nn.Module):
    """Images (N, C, H, W) in [0, 1] -> features (N, 128) and logits (N, classes)."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        sizes = [(channels, 32, 5), (32, 64, 3), (64, 128, 3)]
        self.maps = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(c_in, c_out, kernel, stride=2, padding=kernel // 2, bias=False),
                    nn.BatchNorm2d(c_out),
                    nn.ReLU(),
                )
                for c_in, c_out, kernel in sizes
            )
        )
        sides = [-(-side // 8) for side in (height, width)]
        self.dropout = nn.Dropout(0.4)
        self.out = nn.Linear(128 * sides[0] * sides[1], classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.maps(images * 2 - 1)
        logits = self.out(self.dropout(maps.flatten(1)))
        return maps.mean((2, 3)), logits


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
    shape = training.domain.shape
    if len(shape) != 3:
        return f"{training.name} holds points, not images"
    if training.labels is None:
        return f"{training.name} has no labels to train a classifier on"
    if int(training.labels.unique().numel()) < 2:
        return f"the labels of {training.name} are all of one class"
    if min(shape[1:]) < SMALLEST:
        return f"images of {shape[1]}x{shape[2]} are too small for the classifier"
    return ""


def classifier_for(training: DataSet, test: DataSet, tested_on: str) -> Classifier:
    """The classifier of this training data, from the cache, or trained now and kept there.

    Images of both sets are in [0, 1]. Its accuracy is measured on `test`.
    Raises DataError if the data has no labels.
    """
    if reason := lacks(training):
        raise DataError(f"{reason}: name another extractor")
    assert training.domain.classes is not None
    epochs = min(MOST_EPOCHS, max(EPOCHS, -(-STEPS * BATCH // len(training))))
    recipe = [VERSION, SEED, epochs, BATCH, RATE, SHIFT, training.fingerprint, test.fingerprint]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    path = cache_folder() / "classifiers" / f"{training.name.replace('/', '-')}-{key}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        network = ConvNet(training.domain.shape, training.domain.classes)
        found = _kept(path, network)
        if found is None:
            _train(network, training, epochs)
            found = _measure(network, test)
            _keep(path, network, found)
    accuracy, sha256 = found
    about = {
        "name": "classifier",
        "what": f"3-layer ConvNet, {epochs} epochs, seed {SEED}",
        "trained_on": f"{training.name}, {len(training)} images",
        "sha256": sha256,
        "test_accuracy": round(accuracy, 4),
        "tested_on": f"{tested_on}, {len(test)} images",
    }
    return Classifier(network.eval().requires_grad_(False), accuracy, sha256, about)


def _train(network: ConvNet, data: DataSet, epochs: int) -> None:
    """Adam with one cycle of the rate; each batch is shifted by up to SHIFT pixels."""
    assert data.labels is not None
    generator = torch.Generator().manual_seed(SEED)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    batches = -(-len(data) // BATCH)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=epochs * batches)
    network.train()
    say(f"training the classifier of {data.name}, once: {epochs} epochs of {len(data)} images")
    with progress("classifier", epochs * batches) as advance:
        for _ in range(epochs):
            for rows in torch.randperm(len(data), generator=generator).split(BATCH):
                if len(rows) == 1 and len(data) > 1:
                    rows = rows.repeat(2)  # batch norm needs two
                images = _shifted(data.gather(rows).x, generator)
                _, logits = network(images)
                optimiser.zero_grad()
                F.cross_entropy(logits, data.labels[rows]).backward()
                optimiser.step()
                cycle.step()
                advance()
    network.eval()


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """A whole batch moved by one random step, its edges repeated where it leaves."""
    if min(images.shape[2:]) < 8 * SHIFT:
        return images
    up, left = torch.randint(0, 2 * SHIFT + 1, (2,), generator=generator).tolist()
    padded = F.pad(images, (SHIFT,) * 4, mode="replicate")
    return padded[:, :, up : up + images.shape[2], left : left + images.shape[3]]


@torch.no_grad()
def _measure(network: ConvNet, test: DataSet) -> tuple[float, str]:
    """Accuracy on the test images, and the sha256 of the weights."""
    assert test.labels is not None
    right = 0
    for rows in torch.arange(len(test)).split(AT_ONCE):
        _, logits = network(test.gather(rows).x)
        right += int((logits.argmax(1) == test.labels[rows]).sum())
    return right / len(test), _digest(network.state_dict())


def _digest(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _keep(path: Path, network: ConvNet, found: tuple[float, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    about = {"accuracy": json.dumps(found[0]), "sha256": found[1]}
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, aside, about)
    aside.replace(path)


def _kept(path: Path, network: ConvNet) -> tuple[float, str] | None:
    """Load a kept classifier; None if there is none, or it is torn."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata()
        weights = load_file(path)
        if _digest(weights) != about["sha256"]:
            return None  # damaged: it is trained again
        accuracy = float(json.loads(about["accuracy"]))
        network.load_state_dict(weights)
        return accuracy, about["sha256"]
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError):
        return None
