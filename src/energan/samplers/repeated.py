"""The data itself as the contrast, for an energy that perturbs the features of stream "fake"."""

from energan.core import Batch, Context, Draw, Energy, Sampler, State


class Repeated(Sampler):
    """Each batch once more: what makes it a contrast is the noise that the energy's own layers add
    in stream "fake", in the space of features, as in SimpleNet (Liu et al. 2023)."""

    makes_samples = False

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        return Draw(batch.x, batch.condition), state
