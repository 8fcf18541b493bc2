"""No sampler: only the data speaks."""

from energan.core import Batch, Context, Draw, Energy, Sampler, State


class NoSampler(Sampler):
    """Draws nothing, at any step."""

    makes_samples = False

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        return None, state
