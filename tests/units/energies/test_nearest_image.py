"""The distance to the nearest training image, against numpy."""

import numpy as np
import torch

from energan.core import calibrating
from energan.energies.nearest_image import NearestImage


def thumbnails(x: torch.Tensor, side: int) -> np.ndarray:
    """Means over cells of a grid, mean 0 and norm 1, in numpy."""
    batch, channels, height, width = x.shape
    cells = x.double().numpy().reshape(
        batch, channels, side, height // side, side, width // side
    )  # fmt: skip
    rows = cells.mean((3, 5)).reshape(batch, -1)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_it_is_the_least_distance_of_thumbnails_on_the_scale_of_training_images() -> None:
    g = torch.Generator().manual_seed(0)
    kinds = torch.rand(5, 2, 16, 24, generator=g)  # some alike, some not: distances vary
    known = kinds.repeat(4, 1, 1, 1) + torch.rand(20, 2, 16, 24, generator=g) * torch.rand(
        20, 1, 1, 1, generator=g
    )
    new = torch.rand(7, 2, 16, 24, generator=g)
    nearest = NearestImage(2, 4, 64)
    for part in known.split(8):
        nearest.observe(nearest.thumbnails(part))
    with calibrating(nearest):
        pass
    a, b = thumbnails(known, 4), thumbnails(new, 4)
    among = np.linalg.norm(a[:, None] - a, axis=2) + np.diag(np.full(20, np.inf))
    scale = among.min(1)
    assert scale.std() > 0.1 * scale.mean()
    expected = (np.linalg.norm(b[:, None] - a, axis=2).min(1) - scale.mean()) / scale.std()
    np.testing.assert_allclose(nearest(new, "eval").numpy(), expected, atol=1e-4)


def test_brightness_and_contrast_count_for_nothing_and_an_image_is_kept_once() -> None:
    x = torch.rand(5, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    nearest = NearestImage(1)
    for _ in range(3):
        nearest.observe(nearest.thumbnails(x))
    assert int(nearest.memory.count) == 5
    torch.testing.assert_close(nearest.thumbnails(0.5 * x - 0.3), nearest.thumbnails(x))
    plain = nearest.thumbnails(torch.full((1, 1, 32, 32), 0.7))
    assert plain.abs().max() < 1e-3


def test_a_full_memory_keeps_a_coreset() -> None:
    x = torch.rand(200, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    nearest = NearestImage(1, 4, 50)
    for part in x.split(20):
        nearest.observe(nearest.thumbnails(part))
    assert int(nearest.memory.count) <= 50
    with calibrating(nearest):
        pass
    assert nearest(x, "eval").isfinite().all()


def test_two_training_images_do_not_decide_every_verdict() -> None:
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    nearest = NearestImage(1, 4)
    nearest.observe(nearest.thumbnails(x[:2]))
    with calibrating(nearest):
        pass
    assert float(nearest.deviation) > 0.09 * float(nearest.mean)
    assert nearest(x, "eval").abs().max() < 50
