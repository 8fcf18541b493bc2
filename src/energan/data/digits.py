"""1,797 real scans of handwritten digits, 8x8, that come with scikit-learn: no download."""

import numpy as np
import torch

from energan.data.dataset import Source


def digits() -> Source:
    """uint8 (1797, 1, 8, 8) with labels 0 to 9; 180 held out, chosen by a fixed shuffle.

    The scans have 17 grey levels, 0 to 16; they are spread over 0 to 255.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return Source(
        "digits",
        torch.from_numpy(images).unsqueeze(1),
        torch.from_numpy(bunch.target.astype(np.int64)),
        held_out=180,
        order=fixed_order(len(images)),
    )


def fixed_order(size: int) -> torch.Tensor:
    """A shuffle of `size` events that never changes, int64 (size,)."""
    # RandomState: numpy promises that its streams stay as they are in every later version.
    return torch.from_numpy(np.random.RandomState(0).permutation(size).astype(np.int64))
