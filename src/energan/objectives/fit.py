"""No descent: each batch of real data is taken in by an energy that is fitted in closed form."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Loss, Objective, SettingError


@runtime_checkable
class Observing(Protocol):
    """An energy that is fitted by what it is shown."""

    def describe(self, x: Tensor) -> Tensor:
        """What is taken in of examples x (B, *event): (B, *shape)."""

    def observe(self, features: Tensor) -> Tensor:
        """Take that in, and say how unlike those before they are: ()."""


class Fit(Objective):
    """Objective of energies that are fitted by counting and not by gradient descent.

    The loss, for the log only, says how unlike the earlier examples a batch is; it falls as the
    fit takes in the data.
    """

    equilibrium = (
        "The loss is how much each batch differs from those before it. Once it no longer falls, "
        "more images of this kind would change little."
    )

    def check(self, energy: Energy) -> None:
        if not isinstance(energy, Observing):
            raise SettingError(
                f"{type(energy).__name__} cannot be fitted in one pass: use an objective that "
                "trains by gradient descent"
            )

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        assert isinstance(energy, Observing)
        return Loss(take_in(energy, batch.x, context).detach().reshape(1))


def take_in(energy: Observing, x: Tensor, context: Context) -> Tensor:
    """Show an energy examples x (B, *event), of all processes that train together; what `observe`
    says of them."""
    described = energy.describe(x)
    rows = context.gather(described.reshape(1, len(described), -1))
    return energy.observe(rows.reshape(rows.shape[1], *described.shape[1:]))
