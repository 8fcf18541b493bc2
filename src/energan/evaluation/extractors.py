"""What turns events into features, and where it can into p(y|x): with a record of which it was."""

import importlib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan.core import DataError, SettingError, describe
from energan.data import DataSettings, open_data
from energan.evaluation.classifier import classifier_for, weights_sha256, why_no_classifier
from energan.evaluation.reference import Reference
from energan.io.console import progress
from energan.io.files import sha256_of
from energan.nets.inception import load_inception

AT_ONCE = 500
CPU = torch.device("cpu")
Network = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Features:
    """values: (N, D) float32; log_probabilities: log p(y|x), (N, K) float64, where there are."""

    values: NDArray[np.float32]
    log_probabilities: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Extractor:
    """network: images (N, C, H, W) in [0, 1] -> features (N, D), or (features, log p(y|x)).

    about: name, sha256 and whatever else tells which it was.
    """

    name: str
    network: Network
    about: dict[str, Any]
    at_once: int = AT_ONCE

    @torch.no_grad()
    def __call__(self, events: Tensor, what: str = "features") -> Features:
        """Raises DataError if the network does not give (N, D) finite features."""
        values, logs = [], []
        with progress(f"{self.name}: {what}", len(events)) as advance:
            for part in events.split(self.at_once):
                made = self._apply(part)
                features, log_probabilities = made if isinstance(made, tuple) else (made, None)
                values.append(self._check(features, len(part)))
                if log_probabilities is not None:
                    logs.append(log_probabilities.cpu().double().numpy())
                advance(len(part))
        return Features(np.concatenate(values), np.concatenate(logs) if logs else None)

    def _apply(self, part: Tensor) -> Any:
        try:
            return self.network(part)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            reason = describe(f"{type(error).__name__}: {error}")
            raise SettingError(
                f"the extractor {self.name} fails on images of shape {tuple(part.shape)}: {reason}"
            ) from error

    def _check(self, features: Any, count: int) -> NDArray[np.float32]:
        if not isinstance(features, Tensor) or features.dim() < 2 or len(features) != count:
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features)
            raise DataError(
                f"the extractor {self.name} returned {shape} for {count} images: it must return "
                "a tensor (N, D), or a pair of that and logits (N, K)"
            )
        if not bool(features.isfinite().all()):
            raise DataError(f"the extractor {self.name} returned features that are not finite")
        return features.flatten(1).float().cpu().numpy()


def extractor_for(name: str | None, reference: Reference, device: torch.device = CPU) -> Extractor:
    """The extractor of this name; without one the in-domain classifier where labels allow it.

    name: "classifier"; "pixels", the numbers of an event themselves; a .safetensors file with the
    weights of an Inception network; a TorchScript file; or "package.module:callable".
    device: where the networks of files compute; a callable decides that itself.
    Raises DataError or SettingError for one that does not exist or does not fit.
    """
    if name is None:
        name = "pixels" if why_no_classifier(reference.training) else "classifier"
    if name == "classifier":
        return _classifier(reference)
    if name == "pixels":
        return Extractor("pixels", lambda x: x.flatten(1), {"name": "pixels", "sha256": "pixels"})
    if len(reference.judged.domain.shape) != 3:
        raise SettingError(f"{reference.judged.name} holds points: leave --extractor unset")
    if name.endswith(".safetensors"):
        if (bands := reference.judged.domain.shape[0]) not in (1, 3):
            raise SettingError(
                f"--extractor {name}: an Inception network takes grey or colour images, and "
                f"these have {bands} bands: leave --extractor unset, or give your own as "
                "package.module:callable"
            )
        return _inception(Path(name), device)
    if Path(name).suffix in (".pt", ".pth", ".ts", ".pkl"):
        return _torchscript(Path(name), device)
    return _module(name)


def _classifier(reference: Reference) -> Extractor:
    if reference.judged.stacked_digits:
        return _stacked_digit_classifier()
    changes: dict[str, Any] = {"limit": None}
    if reference.split == "test":  # then nothing need be kept from it
        changes["held_out"] = 0
    training = open_data(reference.settings.model_copy(update=changes))
    found = classifier_for(training, reference.judged, reference.split)
    return Extractor("classifier", found, found.about)


def _stacked_digit_classifier() -> Extractor:
    """Images (N, 3, 28, 28) -> features (N, 3·128) and log p(y|x) (N, 1000), y = 100a + 10b + c.

    The digits are classified one by one, and independent: log p adds up.
    """
    settings = DataSettings(source="mnist", range="unit", held_out=0)
    found = classifier_for(open_data(settings), open_data(settings, "test"), "test")

    def extract(images: Tensor) -> tuple[Tensor, Tensor]:
        features, logs = found(images.flatten(0, 1).unsqueeze(1))  # (3N, 128), (3N, 10)
        a, b, c = logs.unflatten(0, (-1, 3)).unbind(1)
        joint = a[:, :, None, None] + b[:, None, :, None] + c[:, None, None, :]
        return features.unflatten(0, (-1, 3)).flatten(1), joint.flatten(1)

    about = {**found.about, "what": f"{found.about['what']}, each colour"}
    return Extractor("classifier", extract, about)


def _inception(path: Path, device: torch.device) -> Extractor:
    network, about = load_inception(path)
    network.to(device)

    def extract(images: Tensor) -> tuple[Tensor, Tensor]:
        colour = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        features, logits = network.features(colour.to(device))
        return features, logits.cpu().double().log_softmax(1)

    return Extractor("inception", extract, {"name": "inception", **about}, at_once=50)


def _torchscript(path: Path, device: torch.device) -> Extractor:
    if not path.is_file():
        raise DataError(f"--extractor {path}: there is no such file")
    sha256 = sha256_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # what follows it unpickles
            network = torch.jit.load(str(path), device).eval()
    except RuntimeError:
        raise DataError(
            f"--extractor {path} is not a TorchScript file (pickled weights are never read): "
            "give weights of an Inception network as .safetensors, a TorchScript file, or "
            "package.module:callable"
        ) from None
    extract = _with_log_probabilities(lambda images: network(images.to(device)))
    return Extractor(path.name, extract, {"name": path.name, "sha256": sha256})


def _module(name: str) -> Extractor:
    """A callable of the user's: images in [0, 1] -> features, or (features, logits)."""
    module, _, attribute = name.partition(":")
    try:
        if not attribute:
            raise ImportError("write package.module:callable")
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingError(
            f"--extractor {name}: {error}; give classifier, pixels, a .safetensors file of "
            "Inception weights, a TorchScript file, or package.module:callable"
        ) from None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # weights it draws are the same each time
            network = found() if inspect.isclass(found) else found
    except Exception as error:  # the user's own code
        raise SettingError(
            f"--extractor {name} cannot be created: {describe(f'{type(error).__name__}: {error}')}"
        ) from error
    if isinstance(network, torch.nn.Module):
        network = network.eval().requires_grad_(False)
    if not callable(network):
        raise SettingError(f"--extractor {name} is not callable")
    return Extractor(
        name, _with_log_probabilities(network), {"name": name, "sha256": _sha256(network, module)}
    )


def _sha256(network: Any, module: str) -> str:
    """Of the module's source and, of a torch module, its weights."""
    source = getattr(importlib.import_module(module), "__file__", None)
    code = Path(source).read_bytes() if source and Path(source).is_file() else b""
    weights = network.state_dict() if isinstance(network, torch.nn.Module) else {}
    return weights_sha256(weights, code)


def _with_log_probabilities(network: Network) -> Network:
    """The same network with log-probabilities where it gives logits."""

    def extract(images: Tensor) -> Any:
        made = network(images)
        if isinstance(made, (tuple, list)) and len(made) == 2:
            return made[0], made[1].cpu().double().log_softmax(1)
        return made

    return extract
