"""Images of one set that are nearly images of another: saved anew, resized, brighter or darker."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import dctn
from torch import Tensor

from energan.data.dataset import DataSet

MOST, MOST_VALUES = 20_000, 2**31
"""Images, and values of their pixels, that are compared; more would take too long."""
SIDE, LOW = 32, 8
DISTANCE, CORRELATION = 8, 0.985
"""Bits of 63 in which the hashes of near-duplicates may differ, and what their thumbnails must
correlate by: so of 2,000 test images 1 of MNIST and 0 of CIFAR-10 have one among 8,000 training
images, and all images of 128x128 that were resized, or saved as JPEG of quality 50, are found."""
FLAT = 2 / 255
"""Of the range: an image whose thumbnail has a smaller standard deviation shows nothing that could
be compared."""
ALIKE_FROM = 50
"""Images of a set from which their mean tells what all of them have in common."""
AT_ONCE = 512


@dataclass(frozen=True)
class _Thumbnails:
    """x: float (N, SIDE²), of mean 0 and norm 1, or 0 of an image that is flat. signs: (N, 63) of
    ±1, the perceptual hash (pHash: Zauner 2010, section 3.2.1)."""

    x: Tensor
    signs: Tensor


def is_comparable(data: DataSet) -> bool:
    """Whether these are images, and few enough to be compared with others."""
    values = len(data) * data.events[:1].numel()
    return len(data.domain.shape) == 3 and len(data) <= MOST and values <= MOST_VALUES


def near_duplicates(data: DataSet, others: DataSet) -> Tensor:
    """Of each of `others` its near-duplicate in `data`, int64 (M,); -1 where there is none.

    Images are compared as grey thumbnails of 32x32, each of mean 0 and norm 1, so that brightness
    and contrast count for nothing, without what all images of `data` have in common (as the outline
    of a part that always lies in the same place). Near-duplicates have perceptual hashes that
    differ in 8 bits of 63 at most, and a correlation of 0.985.
    """
    first, second = _reduced(data), _reduced(others)
    common = first.mean(0) if len(first) >= ALIKE_FROM else torch.zeros(SIDE * SIDE)
    known, asked = _thumbnails(first, common), _thumbnails(second, common)
    found = torch.full((len(others),), -1)
    for start in range(0, len(others), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        correlation = asked.x[rows] @ known.x.T
        distance = (asked.signs.shape[1] - asked.signs[rows] @ known.signs.T) / 2
        best, place = correlation.masked_fill(distance > DISTANCE, -1).max(1)
        found[rows] = torch.where(best >= CORRELATION, place, -1)
    return found


def _reduced(data: DataSet) -> Tensor:
    """Grey, 32x32, of mean 0 and norm 1: float (N, SIDE²); 0 where an image is flat."""
    parts = []
    for rows in torch.arange(len(data)).split(AT_ONCE):
        grey = data.gather(rows).x.float().cpu().mean(1, keepdim=True)
        parts.append(F.adaptive_avg_pool2d(grey, SIDE).flatten(1))
    x = torch.cat(parts)
    low, high = data.domain.low, data.domain.high
    assert low is not None
    assert high is not None
    flat = x.std(1, keepdim=True) < FLAT * (high - low)
    return F.normalize(x - x.mean(1, keepdim=True)).masked_fill(flat, 0)


def _thumbnails(x: Tensor, common: Tensor) -> _Thumbnails:
    own = F.normalize((x - common) * (x.norm(dim=1, keepdim=True) > 0))
    waves = dctn(own.reshape(-1, SIDE, SIDE).numpy(), axes=(1, 2))[:, :LOW, :LOW]
    waves = waves.reshape(len(x), -1)[:, 1:]
    bits = waves > np.median(waves, axis=1, keepdims=True)
    return _Thumbnails(own, torch.from_numpy(np.where(bits, 1.0, -1.0)).float())
