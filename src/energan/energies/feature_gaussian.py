"""The Mahalanobis distance of features from a Gaussian: PaDiM (Defard et al. 2021)."""

import torch
from torch import Tensor

from energan.core import Calibrated, Stream, full_precision


class GaussianDistance(Calibrated):
    """Mahalanobis distance of the feature vector in each cell, √((f − μ)ᵀ Σ⁻¹ (f − μ)) (Defard et
    al. 2021, eqs 1 and 2).

    Σ = 1/(N − 1) Σ (f − μ)(f − μ)ᵀ + ε I. `observe` adds a batch to running counts (Chan, Golub
    and LeVeque 1983), so one pass over the data fits it.

    Args:
        shape: (D, h, w), shape of the features of an image.
        shrinkage: ε, above 0.
        per_position: one μ and Σ for each cell of the grid, as in PaDiM (True), or one for all
            cells.
    """

    reads_data = False
    count: Tensor
    running_mean: Tensor
    scatter: Tensor
    mean: Tensor
    whitening: Tensor

    def __init__(
        self, shape: tuple[int, int, int], shrinkage: float, *, per_position: bool
    ) -> None:
        super().__init__()
        size, height, width = shape
        positions = height * width if per_position else 1
        self.shrinkage, self.per_position = shrinkage, per_position
        square = torch.eye(size).repeat(positions, 1, 1)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("running_mean", torch.zeros(positions, size))
        self.register_buffer("scatter", torch.zeros_like(square))
        self.register_buffer("mean", torch.zeros(positions, size))
        self.register_buffer("whitening", square)

    @torch.no_grad()
    def observe(self, features: Tensor) -> Tensor:
        """Features (B, D, h, w) -> their mean square distance from the mean of those before, for
        one number of a vector; 0 of the first."""
        with full_precision(features):  # the sums of many batches are no place for rounding
            return self._add(self._rows(features).to(self.scatter.dtype))

    def _add(self, rows: Tensor) -> Tensor:
        new, before = rows.shape[1], self.count.clone()
        mean = rows.mean(1)
        moved = mean - self.running_mean  # (P, D)
        centred = rows - mean.unsqueeze(1)
        total = before + new
        told = (rows - self.running_mean.unsqueeze(1)).square().mean() * (before > 0)
        self.scatter += centred.mT @ centred
        self.scatter += moved.unsqueeze(2) * moved.unsqueeze(1) * (before * new / total)
        self.running_mean += moved * (new / total)
        self.count.copy_(total)
        return told

    def begin(self) -> None:
        """Nothing is forgotten: what was observed stays."""

    @torch.no_grad()
    def end(self) -> None:
        if not self.count:
            return
        exact = self.scatter.double() / (self.count - 1).clamp_min(1)
        identity = torch.eye(exact.shape[-1], dtype=exact.dtype, device=exact.device)
        for position, covariance in enumerate(exact):  # one at a time: the whole may be large
            lower = torch.linalg.cholesky(covariance + self.shrinkage * identity)
            inverse = torch.linalg.solve_triangular(lower, identity, upper=False)
            self.whitening[position].copy_(inverse)
        self.mean.copy_(self.running_mean)

    def forward(self, features: Tensor, stream: Stream) -> Tensor:
        with full_precision(features):
            batch, _, height, width = features.shape
            rows = self._rows(features)  # (P, N, D)
            white = (rows - self.mean.unsqueeze(1)) @ self.whitening.mT
            distances: Tensor = torch.linalg.vector_norm(white, dim=-1)  # (P, N)
            if self.per_position:
                distances = distances.mT
            return distances.reshape(batch, height, width)

    def _rows(self, features: Tensor) -> Tensor:
        """(B, D, h, w) -> the vectors of each Gaussian: (h·w, B, D), or (1, B·h·w, D)."""
        if self.per_position:
            return features.flatten(2).permute(2, 0, 1)
        return features.flatten(2).mT.flatten(0, 1).unsqueeze(0)
