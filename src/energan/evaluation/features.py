"""Features of images by a network that was trained here, with what it takes to make them again.

The network is the encoder of a run, or the classifier of a data source. What it was trained on
stays apart: the images held out of a features file are those that neither has seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan.core import DataError, Domain, SettingError
from energan.data import DataSet, DataSettings, open_data
from energan.data.inference import PredictSet, is_same_source, open_images, resolve_settings
from energan.data.sources.tag_files import TagFile, read_tag_file
from energan.evaluation.attributes import attribute_classifier, traits_of
from energan.experiment.settings import checked
from energan.inference.run import Run
from energan.io.console import progress
from energan.version import __version__

AT_ONCE = 250
CLASSIFIER = "classifier"


@dataclass(frozen=True)
class FeatureNetwork:
    """network: events (N, *domain.shape) in the domain's range -> features (N, F).

    settings, domain: how images are prepared for it. about: which network it is, as JSON takes it:
        kind, sha256 of its weights, and where it lies or what it was trained on.
    """

    network: Callable[[Tensor], Tensor]
    settings: DataSettings
    domain: Domain
    about: dict[str, Any]

    @torch.no_grad()
    def __call__(self, data: DataSet) -> NDArray[np.float32]:
        """Features (N, F) of a set's events, in its order."""
        parts = []
        with progress(f"features of {data.name}", len(data)) as advance:
            for rows in torch.arange(len(data)).split(AT_ONCE):
                parts.append(self.network(data.gather(rows).x).float().cpu().numpy())
                advance(len(rows))
        return np.concatenate(parts)

    def record(self, source: str, fingerprint: str) -> dict[str, Any]:
        """What a features file tells of itself."""
        domain = self.domain
        return {
            "energan": __version__,
            "source": source,
            "source_sha256": fingerprint,
            "extractor": self.about,
            "data": self.settings.model_dump(mode="json"),
            "domain": {"shape": domain.shape, "low": domain.low, "high": domain.high},
        }


def feature_network(word: str, settings: DataSettings) -> FeatureNetwork:
    """What `energan features --with` names: "classifier", of the data of `settings`; a run, for its
    encoder; or a features file, for what made it.

    Raises DataError or SettingError if it can make no features.
    """
    if word == CLASSIFIER:
        return _classifier_of(settings)
    if Path(word).suffix.lower() == ".npz":
        return network_of_file(read_tag_file(Path(word).expanduser(), tagged=False))
    if settings.size is not None:
        raise SettingError("--size does not apply: images are resized as in the run's training")
    return _encoder_of(Run(Path(word).expanduser()))


def network_of_file(file: TagFile) -> FeatureNetwork:
    """What made a features file, found again.

    Raises DataError if the file does not tell, or the network is not there any more.
    """
    about = file.about.get("extractor") or {}
    kind = about.get("kind")
    if kind not in ("run", CLASSIFIER):
        raise DataError(
            f"{file.path} does not say how its features were computed: compute those of the "
            "images in the same way, and give them with --features FILE.npz"
        )
    if kind == "run":
        path, step = str(about.get("path")), about.get("step", "last")
        found = _encoder_of(Run(path, checkpoint=step, weights=about.get("weights")))
    else:
        found = _classifier_of(checked(DataSettings, file.about.get("data") or {}))
    if found.about["sha256"] != about.get("sha256"):
        where = about.get("path") or about.get("trained_on")
        raise DataError(
            f"the network that computed the features of {file.path} ({where}) has changed since: "
            "compute them again (energan features), and train again"
        )
    return found


def make_tag_file(network: FeatureNetwork, settings: DataSettings, out: Path) -> TagFile:
    """Features and tags of the data of `settings`, in the source's order, to be written to `out`.

    Tags are the data's attributes, or else its classes; none if it has neither. The images held
    out are the data's own: if it is what the network was trained on, those kept from it.
    Raises DataError for images that do not fit the network.
    """
    asked = settings_for(network, settings)
    data = open_data(asked)
    if data.domain.shape != network.domain.shape:
        raise DataError(
            f"{settings.source} has images of shape {data.domain.shape}, and the network takes "
            f"{network.domain.shape}: name images like its training images"
        )
    parts = [data, *([] if data.held_out is None else [data.held_out])]
    names, tags = _tags(parts)
    held_out = np.repeat([False, True][: len(parts)], [len(part) for part in parts])
    features = np.concatenate([network(part) for part in parts])
    about = network.record(asked.source, data.fingerprint)
    order = _order(parts)
    return TagFile(
        out, features[order], tags[order], names,
        held_out=held_out[order], about=about, facts=data.facts,
    )  # fmt: skip


def settings_for(network: FeatureNetwork, settings: DataSettings) -> DataSettings:
    """How the data of `settings` is prepared for the network: as what it was trained on was."""
    own = is_same_source(settings.source, network.settings.source)
    asked = network.settings if own else network.settings.for_source(settings.source)
    if own and network.about["kind"] == "run":
        for name in ("held_out", "limit"):
            if getattr(settings, name) not in (None, getattr(asked, name)):
                raise SettingError(
                    f"--{name.replace('_', '-')} does not apply: the network was trained on "
                    f"{settings.source}, which already fixes the held-out images: leave it out"
                )
    elif not own:
        asked = asked.model_copy(update={"held_out": settings.held_out, "limit": settings.limit})
    given = {"storage": "auto"} if asked.storage == "stream" else {}
    given |= {} if settings.tags is None else {"tags": settings.tags}
    return resolve_settings(asked, network.domain).model_copy(update={"mirror": False, **given})


@dataclass(frozen=True)
class ImageFeatures:
    """features: (N, F), of the images of these names; skipped: (where, why) of the unreadable;
    groups: the sources."""

    names: list[str]
    features: NDArray[np.float32]
    skipped: list[tuple[str, str]]
    groups: list[PredictSet]


def features_of_images(network: FeatureNetwork, words: list[str]) -> ImageFeatures:
    """Of image files, folders or sources: of those the test part, or what was held out.

    Raises DataError for images that do not exist, or do not fit the network.
    """
    groups, skipped = open_images(words, network.settings, network.domain)
    names = [name for group in groups for name in group.names]
    features = np.concatenate([network(group.data) for group in groups])
    return ImageFeatures(names, features, skipped, groups)


def _encoder_of(run: Run) -> FeatureNetwork:
    about = {
        "kind": "run",
        "name": f"the encoder of {run.path.name}",
        "path": str(run.path.resolve()),
        "recipe": run.job.recipe,
        "step": run.step,
        "weights": run.weights,
        "sha256": run.network.sha256,
    }
    run.check_encodes()
    return FeatureNetwork(run.code, run.job.settings.data, run.domain, about)


def _classifier_of(settings: DataSettings) -> FeatureNetwork:
    """The classifier of the data's own attributes or classes, trained on what is not held out."""
    asked = settings.model_copy(update={"range": "unit", "pad": None, "mirror": False})
    data = open_data(asked)
    if data.held_out is None:
        raise DataError(f"{data.name}: no images are held out to test the classifier on")
    found = attribute_classifier(data, data.held_out)
    about = {**found.about, "kind": CLASSIFIER}
    return FeatureNetwork(found.features, resolve_settings(asked, data.domain), data.domain, about)


def _order(parts: list[DataSet]) -> NDArray[np.intp]:
    """Where the events of the parts, one after the other, stand in the source's order."""
    places = [torch.arange(len(part)) if part.rows is None else part.rows for part in parts]
    return torch.cat(places).argsort(stable=True).numpy()


def _tags(parts: list[DataSet]) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """Names (T,) and tags (N, T) of the parts, one after the other; none if the data has none."""
    if parts[0].attributes is None and parts[0].labels is None:
        return (), np.zeros((sum(map(len, parts)), 0), bool)
    found = [traits_of(part, partly=True) for part in parts]
    return found[0][1], torch.cat([tags for tags, _ in found]).bool().numpy()
