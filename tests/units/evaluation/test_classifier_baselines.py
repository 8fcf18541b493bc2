"""Simple classifiers beside a run: HOG by its definition, what they learn, what is said."""

from math import atan2, floor, hypot, pi

import numpy as np
import pytest
import torch
from torch import Tensor

from energan.evaluation.classifier_baselines import (
    HOG,
    LOGISTIC,
    SPREADING,
    compare,
    hog,
    predictions,
    verdict,
)
from energan.metrics.classification import error_interval


def hog_by_hand(image: Tensor, cell: int) -> list[float]:
    """One pixel, one cell and one block at a time."""
    channels, height, width = image.shape
    at = image.tolist()
    cells = np.zeros((height // cell, width // cell, 9))
    for i in range(height):
        for j in range(width):
            found = []
            for c in range(channels):
                dx = at[c][i][min(j + 1, width - 1)] - at[c][i][max(j - 1, 0)]
                dy = at[c][min(i + 1, height - 1)][j] - at[c][max(i - 1, 0)][j]
                found.append((hypot(dx, dy), atan2(dy, dx) % pi))
            length, angle = max(found)
            place = angle / (pi / 9) - 0.5
            low = floor(place)
            if i // cell < cells.shape[0] and j // cell < cells.shape[1]:
                cells[i // cell, j // cell, low % 9] += length * (1 - place + low) / cell**2
                cells[i // cell, j // cell, (low + 1) % 9] += length * (place - low) / cell**2
    blocks = []
    for i in range(cells.shape[0] - 1):
        for j in range(cells.shape[1] - 1):
            # orientations outside, cells inside, as unfold has them
            block = cells[i : i + 2, j : j + 2].transpose(2, 0, 1).flatten()
            block = np.minimum(block / np.linalg.norm(block), 0.2)
            blocks.append(block / np.linalg.norm(block))
    return np.stack(blocks, 1).flatten().tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("shape", "cell"), [((1, 12, 12), 4), ((3, 9, 14), 4), ((3, 16, 8), 2)])
def test_hog_is_its_definition(shape: tuple[int, int, int], cell: int) -> None:
    torch.manual_seed(0)
    images = torch.rand(3, *shape, dtype=torch.float64)
    found = hog(images, cell)
    for row, image in zip(found.tolist(), images, strict=True):
        assert row == pytest.approx(hog_by_hand(image, cell), abs=1e-9)


def test_hog_does_not_see_brightness_contrast_or_sign() -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(hog(x), hog(3 - 2 * x))
    assert hog(x).shape == (4, 7 * 7 * 36)  # blocks of cells of 4 pixels
    assert hog(torch.rand(1, 1, 64, 64)).shape == (1, 7 * 7 * 36)  # of 8
    assert not hog(torch.zeros(1, 1, 16, 16)).isnan().any()


def stripes(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images with stripes along a side, at a random place: the class is which."""
    labels = torch.arange(count) % 2
    shift = torch.randint(4, (count,), generator=generator)
    wave = ((torch.arange(16) + shift[:, None]) // 2 % 2).double()
    images = torch.where(labels.view(-1, 1, 1) == 1, wave[:, None, :], wave[:, :, None])
    noise = 0.1 * torch.randn(count, 16, 16, generator=generator)
    return (images.expand(-1, 16, 16) + noise).unsqueeze(1).float(), labels


def test_baselines_learn_what_is_easy() -> None:
    generator = torch.Generator().manual_seed(0)
    (x, y), (more, _), (judged, truth) = (stripes(n, generator) for n in (20, 60, 200))
    found = predictions(x, y, more, judged)
    assert [*found] == [LOGISTIC, HOG, SPREADING]
    for name in (HOG, SPREADING):
        assert torch.equal(found[name], truth), name
    assert torch.equal(predictions(x, y, more[:0], judged)[HOG], truth)


def test_of_points_there_is_no_hog_and_two_labels_do() -> None:
    x = torch.tensor([[-3.0, 0.0], [3.0, 0.1]])
    judged = torch.tensor([[-2.0, 0.0], [2.5, 0.2], [-4.0, 1.0]])
    found = predictions(x, torch.tensor([0, 1]), judged, judged)
    assert [*found] == [LOGISTIC, SPREADING]
    assert found[LOGISTIC].tolist() == [0, 1, 0]


def test_errors_and_verdicts() -> None:
    truth = torch.zeros(400, dtype=torch.long)
    good, bad = truth.clone(), truth.clone()
    good[:40], bad[:200] = 1, 1
    better, same = compare("a", bad, good, truth), compare("b", good, good, truth)
    assert (better.error, better.run_error, better.difference) == (0.5, 0.1, -0.4)
    ends = error_interval(200, 400)
    assert (better.low, better.high) == (ends.low, ends.high)
    assert "this run is better than the best baseline, a: 10.00 % against 50.00 %" in verdict(
        [better]
    )
    assert "does not beat the best baseline, b" in verdict([better, same])
    assert "is worse than the best baseline, b" in verdict([compare("b", good, bad, truth), better])
