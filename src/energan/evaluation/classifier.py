"""The in-domain classifier: a ConvNet trained on the data's own labels, once, and kept.

Section 4.1 of the EBGAN paper scores samples by p(y|x) of such a network.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from energan.core import DataError
from energan.data import DataSet
from energan.data.images.checksums import cache_folder
from energan.io.console import progress, say
from energan.io.files import write_atomically
from energan.io.text import agree, plural

VERSION, SEED, BATCH, RATE, SHIFT = 1, 0, 100, 3e-3, 2
"""Change VERSION with anything that changes the weights: they are kept under all of these."""
EPOCHS, STEPS, MOST_EPOCHS = 6, 300, 60
"""Of small sets, as many epochs as make STEPS steps, but no more than MOST_EPOCHS."""
SMALLEST, AT_ONCE = 8, 500
Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K), and which events they are of, (B,) -> a scalar."""


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

    @torch.no_grad()
    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The same of any number of images, AT_ONCE at a time."""
        parts = [self(part) for part in images.split(AT_ONCE)]
        features, logits = (torch.cat(part) for part in zip(*parts, strict=True))
        return features, logits


def why_no_convnet(data: DataSet) -> str:
    """Why no ConvNet can be trained on these events; empty if one can."""
    shape = data.domain.shape
    if len(shape) != 3:
        return f"{data.name} holds points, not images"
    if min(shape[1:]) < SMALLEST:
        return f"images of {shape[1]}x{shape[2]} are too small for the classifier"
    return ""


def epochs_for(training: DataSet) -> int:
    return min(MOST_EPOCHS, max(EPOCHS, -(-STEPS * BATCH // len(training))))


def load_or_train(
    training: DataSet,
    outputs: int,
    depends_on: list[Any],
    what: str,
    loss: Loss,
    measure: Callable[[ConvNet], dict[str, Any]],
) -> tuple[ConvNet, dict[str, Any], str]:
    """A ConvNet with so many outputs, from the cache, or trained now by `loss` and kept there.

    depends_on: what the weights depend on, beside the constants above. what: its name, for the
    progress.
    measure: figures of a trained network, as JSON takes them; they are kept beside the weights.
    Returns the network in evaluation mode, those figures, and the sha256 of its weights.
    """
    epochs = epochs_for(training)
    recipe = [VERSION, SEED, epochs, BATCH, RATE, SHIFT, training.fingerprint, *depends_on]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    path = cache_folder() / "classifiers" / f"{training.name.replace('/', '-')}-{key}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        network = ConvNet(training.domain.shape, outputs)
        found = _read(path, network)
        if found is None:
            _train(network, training, epochs, what, loss)
            figures = measure(network)
            found = figures, weights_sha256(network.state_dict())
            _write(path, network, *found)
    return network.eval().requires_grad_(False), *found


def _train(network: ConvNet, data: DataSet, epochs: int, what: str, loss: Loss) -> None:
    """Adam with one cycle of the rate; each batch is shifted by up to SHIFT pixels."""
    generator = torch.Generator().manual_seed(SEED)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    batches = -(-len(data) // BATCH)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=epochs * batches)
    network.train()
    say(f"training the {what} of {data.name}, once: {epochs} epochs of {len(data)} images")
    with progress(what, epochs * batches) as advance:
        for _ in range(epochs):
            for rows in torch.randperm(len(data), generator=generator).split(BATCH):
                if len(rows) == 1 and len(data) > 1:
                    rows = rows.repeat(2)  # batch norm needs two
                images = _shifted(data.gather(rows).x, generator)
                _, logits = network(images)
                optimiser.zero_grad()
                loss(logits, rows).backward()
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


def weights_sha256(weights: dict[str, Tensor], start: bytes = b"") -> str:
    """The hash of `start` and after it the weights' names and values, in the order of names."""
    digest = hashlib.sha256(start)
    for name, value in sorted(weights.items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _write(path: Path, network: ConvNet, figures: dict[str, Any], sha256: str) -> None:
    about = {name: json.dumps(value) for name, value in figures.items()} | {"sha256": sha256}
    weights = {k: v.contiguous() for k, v in network.state_dict().items()}
    write_atomically(path, save(weights, about))


def _read(path: Path, network: ConvNet) -> tuple[dict[str, Any], str] | None:
    """Load a kept network's weights into `network`; None if there are none, or they are torn."""
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata()
        weights = load_file(path)
        sha256 = about.pop("sha256")
        if weights_sha256(weights) != sha256:
            return None  # damaged: it is trained again
        figures = {name: json.loads(value) for name, value in about.items()}
        network.load_state_dict(weights)
        return figures, sha256
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError):
        return None


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

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in [0, 1] -> features (N, 128) and log-probabilities (N, K)."""
        features, logits = self.network.predict(images)
        return features, logits.double().log_softmax(1)


def why_no_classifier(training: DataSet) -> str:
    """Why no classifier can be trained on the data; empty if one can."""
    if len(training.domain.shape) != 3:
        return why_no_convnet(training)
    if training.labels is None:
        return f"{training.name} has no labels to train a classifier on"
    if bool((training.labels < 0).any()):
        without = int((training.labels < 0).sum())
        unlabelled = plural(without, training.domain.noun)
        return f"{unlabelled} of {training.name} {agree(without, 'have')} no label"
    if int(training.labels.unique().numel()) < 2:
        return f"the labels of {training.name} are all of one class"
    return why_no_convnet(training)


def classifier_for(training: DataSet, test: DataSet, tested_on: str) -> Classifier:
    """The classifier of this training data, from the cache, or trained now and kept there.

    Images of both sets are in [0, 1]. Its accuracy is measured on `test`.
    Raises DataError if the data has no labels.
    """
    if reason := why_no_classifier(training):
        raise DataError(f"{reason}: name another extractor")
    assert training.domain.classes is not None
    labels = training.labels
    assert labels is not None
    network, figures, sha256 = load_or_train(
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
    assert test.labels is not None
    right, told = 0, (test.labels >= 0).nonzero().flatten()
    for rows in told.split(AT_ONCE):
        _, logits = network(test.gather(rows).x)
        right += int((logits.argmax(1) == test.labels[rows]).sum())
    return right / max(len(told), 1)
