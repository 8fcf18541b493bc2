"""The data itself as the contrast, for an energy that perturbs the features of stream "fake"."""

from energan.core import Batch, Context, Draw, Energy, Sampler, State


class Repeated(Sampler):
    """Sampler that returns the batch itself, for energies that add noise to features in stream
    "fake", as in SimpleNet (Liu et al. 2023).
    """

    makes_samples = False

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        return Draw(batch.x, batch.condition), state
