"""Stacked MNIST: three digits as colours, judged by the classifier of single digits."""

from typing import Any

import torch
from torch import Tensor

from energan.data import DataSettings, open_data
from energan.evaluation.classifier import classifier_for
from energan.evaluation.extractors import Network


def stacked_classifier() -> tuple[Network, dict[str, Any]]:
    """Images (N, 3, 28, 28) -> features (N, 3·128) and log p(y|x) (N, 1000), y = 100a + 10b + c.

    The digits are classified one by one, and independent: log p adds up.
    """
    settings = DataSettings(source="mnist", range="unit", held_out=0)
    found = classifier_for(open_data(settings), open_data(settings, "test"), "test")

    def scored(images: Tensor) -> tuple[Tensor, Tensor]:
        features, logs = found(images.flatten(0, 1).unsqueeze(1))  # (3N, 128), (3N, 10)
        a, b, c = logs.unflatten(0, (-1, 3)).unbind(1)
        joint = a[:, :, None, None] + b[:, None, :, None] + c[:, None, None, :]
        return features.unflatten(0, (-1, 3)).flatten(1), joint.flatten(1)

    return torch.no_grad()(scored), {**found.about, "what": f"{found.about['what']}, each colour"}
