"""No sampler: only the data speaks."""

from energan.core import Batch, Context, Draw, Energy, Sampler, State


class NoSampler(Sampler):
    """Sampler that draws nothing, for models trained on data alone."""

    makes_samples = False

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        return None, state
