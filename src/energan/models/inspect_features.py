"""Energies of images by the features of a frozen network (PaDiM, PatchCore, SimpleNet).

    gaussian     U(f) = √((f − μ)ᵀ Σ⁻¹ (f − μ)),  Σ with shrinkage εI     (Defard et al. 2021)
    neighbours   U(f) = w(f) · min ‖f − m‖, m in a coreset of the training features
                                                                          (Roth et al. 2022)
    contrast     U(f) = a small network, trained with the logistic loss against f + N(0, σ²)
                                                                          (Liu et al. 2023)

f is the feature vector of a cell. The map of all cells is smoothed, and its maximum is the image's
energy. The first two are fitted by one pass over the training images, without descent.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from torch import Tensor, nn

from energan import models
from energan.core import Config as BaseConfig
from energan.core import Domain, Energy, Model, Optimiser, Scored, SettingError, describe
from energan.data.domain_record import domain_of
from energan.energies.feature_gaussian import GaussianDistance
from energan.energies.feature_memory import NearestDistance
from energan.energies.features import FeatureEnergy, FittedFeatures
from energan.io.files import sha256_of
from energan.io.run_folder import RunFolder
from energan.nets.conv import image_shape
from energan.nets.feature_contrast import FeatureContrast
from energan.nets.feature_maps import FeatureMaps, FrozenNetwork
from energan.nets.onnx_network import OnnxNetwork
from energan.nets.timm_network import timm_network
from energan.objectives import Logistic
from energan.objectives.fit import Fit
from energan.samplers.none import NoSampler
from energan.samplers.repeated import Repeated
from energan.training.checkpoint_choice import load_networks, read_checkpoint
from energan.training.checkpoint_folder import WEIGHTS

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of each channel, as networks trained on ImageNet expect them."""
CHANNELS = 100
"""Features of the Gaussian at each position, as in PaDiM with a ResNet-18."""


class Config(BaseConfig):
    """Settings of energies on frozen features."""

    features: str | None = Field(
        None,
        min_length=1,
        description="network that computes the features: an ONNX file, a .safetensors file of a "
        "timm network, or a run's folder",
    )
    layers: tuple[str, ...] = Field(
        (), description="names of the layers to read; if not set, two of middle depth"
    )
    mean: tuple[float, ...] = Field(
        IMAGENET[0],
        min_length=1,
        description="mean of each channel that images in [0, 1] are standardised by, for an "
        "ONNX file or a timm network; if not set, ImageNet's (no standardisation: 0 0 0, "
        "with std 1 1 1)",
    )
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        IMAGENET[1], min_length=1, description="standard deviation of each channel"
    )
    energy: Literal["neighbours", "gaussian", "contrast"] = Field(
        "neighbours",
        description="how features are scored: by the distance to the nearest in a memory of "
        "training features (neighbours), by a Gaussian, or by a network that tells features "
        "from noisy features (contrast)",
    )
    positions: bool = Field(
        True,
        description="gaussian: fit one Gaussian per position; use it for parts that are always "
        "aligned",
    )
    shrinkage: float = Field(
        0.01, gt=0, description="gaussian: ε added to the diagonal of the covariance"
    )
    memory: int = Field(
        4096,
        ge=2,
        description="neighbours: number of feature vectors in the memory, a coreset of all of them",
    )
    neighbours: int = Field(
        9,
        ge=1,
        description="neighbours: number of neighbours that reweight the distance; 1: no "
        "reweighting",
    )
    noise: float = Field(
        0.25,
        gt=0,
        description="contrast: standard deviation σ of the noise, for features of unit variance",
    )
    hidden: int = Field(256, ge=1, description="contrast: hidden units of the network")
    channels: int | None = Field(
        None,
        ge=0,
        description="number of randomly chosen feature dimensions; 0: all; if not set, all, or "
        f"{CHANNELS} for a Gaussian per position",
    )
    window: int = Field(
        3,
        ge=1,
        le=15,
        description="side in cells of the window that features are averaged over; 1: no averaging",
    )
    smoothing: float = Field(
        1.0,
        ge=0,
        le=16,
        description="standard deviation of the Gaussian that smooths the map, in cells",
    )
    energy_optimiser: Optimiser = Field(Optimiser(lr=0.0002), description="contrast: optimiser")

    @field_validator("features")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """A run keeps the path from the root."""
        return None if value is None else str(Path(value).expanduser().absolute())

    @field_validator("window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"model.window {value} is even: give an odd number")
        return value

    @classmethod
    def tiny(cls) -> "Config":
        return cls(energy="contrast", hidden=8)

    @property
    def chosen_channels(self) -> int:
        """How many features are chosen, 0 for all."""
        if self.channels is not None:
            return self.channels
        return CHANNELS if self.energy == "gaussian" and self.positions else 0


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`. Raises SettingError or DataError if the feature
    network cannot be used."""
    shape = image_shape(domain, "inspect_features")
    features = feature_maps(config, domain, shape)
    size = features.shape[0]
    per_position = config.energy == "gaussian" and config.positions
    fixed = per_position or isinstance(features.network, OnnxNetwork)
    common: dict[str, Any] = {"chosen": describe_features(features, shape)}
    if config.energy == "contrast":
        network = FeatureContrast(size, config.hidden, config.noise)
        return Model(
            energy=FeatureEnergy(features, network, config.smoothing, any_size=not fixed),
            sampler=Repeated(),
            objective=Logistic(),
            energy_optimiser=config.energy_optimiser,
            **common,
        )
    distance: nn.Module
    if config.energy == "gaussian":
        distance = GaussianDistance(features.shape, config.shrinkage, per_position=per_position)
    else:
        distance = NearestDistance(size, config.memory, config.neighbours)
    return Model(
        energy=FittedFeatures(features, distance, config.smoothing, any_size=not fixed),
        sampler=NoSampler(),
        objective=Fit(),
        **common,
    )


def describe_features(features: FeatureMaps, shape: tuple[int, int, int]) -> dict[str, str]:
    """Which features they are, in words."""
    size, height, width = features.shape
    layers = ", ".join(features.network.layers)  # type: ignore[arg-type]
    where = f"at {width}x{height} cells of images of {shape[2]}x{shape[1]}"
    return {"features": f"{size} of {features.name} ({layers}), {where}"}


# --- the feature network --------------------------------------------------------------------------


def feature_maps(config: Config, domain: Domain, shape: tuple[int, int, int]) -> FeatureMaps:
    """The features that the settings name, of images of `domain`."""
    if config.features is None:
        raise SettingError(
            "model.features is not set: give an ONNX file, a .safetensors file of a timm "
            "network, or a run's folder, for example --model.features FILE.onnx"
        )
    path = Path(config.features)
    mean, std = config.mean, config.std
    network: nn.Module
    if path.is_dir():
        network, own, digest = _of_run(path, shape, config.layers)
        low, high = own.low, own.high
        if low is not None and high is not None:  # from [0, 1] to the run's own range
            mean, std = (-low / (high - low),) * own.shape[0], (1 / (high - low),) * own.shape[0]
    elif not path.is_file():
        raise SettingError(f"model.features {path}: no such file or run")
    elif path.suffix.lower() == ".onnx":
        network, digest = OnnxNetwork(path, _given(shape, mean), config.layers), sha256_of(path)
    elif path.suffix.lower() == ".safetensors":
        network, digest = timm_network(path, _given(shape, mean), config.layers), sha256_of(path)
    else:
        raise SettingError(
            f"model.features {path} is not an ONNX file, a .safetensors file of a timm network "
            "or a run's folder (pickled weights are never read)"
        )
    if domain.low is None or domain.high is None:
        raise SettingError(
            "inspect_features needs images with a known range: set data.range to signed or unit"
        )
    return FeatureMaps(
        network,
        shape,
        (domain.low, domain.high),
        mean,
        std,
        window=config.window,
        channels=config.chosen_channels,
        digest=digest,
        name=path.name,
    )


def _given(shape: tuple[int, int, int], mean: tuple[float, ...]) -> tuple[int, int, int]:
    """What the network is given: grey images in as many channels as it takes."""
    return len(mean), *shape[1:]


class _Evaluated(nn.Module):
    """An energy as a network of images alone."""

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, x: Tensor) -> Scored:
        scored: Scored = self.energy(x, stream="eval")
        return scored


def _of_run(
    path: Path, shape: tuple[int, int, int], layers: tuple[str, ...]
) -> tuple[FrozenNetwork, Domain, str]:
    """The network of a run's energy with its newest weights, averaged ones where there are any;
    the domain of its data; the sha256 of the weights.

    Raises RunError or CheckpointError if there are none, SettingError if it takes other images.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    found = models.find(config["model"])
    own = domain_of(config["resolved"]["domain"])
    model = found.build(found.config.model_validate(config["settings"]["model"]), own)
    if model.conditional:
        raise SettingError(
            f"model.features {path}: {found.name} is conditional, so it gives no features of the "
            "image alone: choose another run"
        )
    stored, _ = read_checkpoint(folder, "last", "auto")
    if not any(p.is_meta for p in model.energy.parameters()):
        load_networks(folder, stored, model.energy, model.sampler, None)
    try:
        network = FrozenNetwork(_Evaluated(model.energy), (own.shape[0], *shape[1:]), layers)
    except (RuntimeError, ValueError, IndexError) as error:
        known = "x".join(map(str, own.shape))
        raise SettingError(
            f"model.features {path}: the run was trained on {known} and does not take "
            f"{'x'.join(map(str, shape))} ({describe(str(error))}): use the same data.size"
        ) from error
    return network, own, stored.meta.sha256[WEIGHTS]
