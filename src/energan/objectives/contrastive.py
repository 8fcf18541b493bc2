"""The objective without a margin."""

from torch import Tensor

from energan.core import Context
from energan.objectives.descent import Descent


def contrastive(real: Tensor, fake: Tensor) -> Tensor:
    """E U(x) − E U(G(z)), energies (..., N), (..., N') -> (...).

    With a generator nothing bounds the second term, and U of fakes grows without end.
    """
    return real.mean(-1) - fake.mean(-1)


class Contrastive(Descent):
    """Lower the energy of data, raise that of samples, without a bound."""

    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return contrastive(real, fake)
