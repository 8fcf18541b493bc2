import numpy as np
import torch
from sklearn.datasets import load_digits

from energan.data import DataSettings, open_data
from energan.data.sources.splits import fixed_order
from energan.data.sources.toys import digits


def test_the_scans_and_their_labels_are_scikit_learns() -> None:
    source, bunch = digits(), load_digits()
    assert source.events.dtype == torch.uint8
    assert source.events.shape == (1797, 1, 8, 8)
    grey = source.events[:, 0].double().numpy() * (16 / 255)
    assert np.abs(grey - bunch.images).max() <= 0.5 * 16 / 255 + 1e-12  # only rounding lies between
    assert (source.events.min().item(), source.events.max().item()) == (0, 255)
    assert source.labels is not None
    assert source.labels.tolist() == bunch.target.tolist()


def test_180_are_held_out_of_all_classes_and_none_is_in_both_parts() -> None:
    data = open_data(DataSettings(source="digits"))
    kept = data.held_out
    assert kept is not None
    assert (len(data), len(kept)) == (1617, 180)
    assert data.domain.classes == kept.domain.classes == 10
    assert kept.labels is not None
    assert torch.bincount(kept.labels).min() >= 9
    # The two parts together are the source, each scan with its label.
    everything = digits()

    def rows(images: torch.Tensor, labels: torch.Tensor | None) -> list[tuple[int, ...]]:
        assert labels is not None
        return [tuple(r) for r in torch.cat([images.flatten(1), labels[:, None]], 1).tolist()]

    parts = rows(data.raw(), data.labels) + rows(kept.raw(), kept.labels)
    assert sorted(parts) == sorted(rows(everything.events, everything.labels))


def test_the_shuffle_is_fixed_for_good() -> None:
    assert fixed_order(8).tolist() == [6, 2, 1, 7, 3, 0, 5, 4]
    assert sorted(fixed_order(100).tolist()) == list(range(100))
