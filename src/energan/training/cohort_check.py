"""Whether members of a cohort train as their single runs, asked of models of one's own.

Code that was written for one run may take the member axis for the batch: the norm of a gradient
(M, B, D) over all but the first axis is that of a whole batch. Nothing fails then; so one step is
made both ways and compared.
"""

import torch
from torch import Tensor

from energan.core import EnerganError, SettingError, describe
from energan.training.loop import Loop

OFF, LEAST = 1e-2, 1e-3
"""Relative error of gradients and figures that counts as rounding, and absolute error of
figures."""


def check_member(together: Loop, alone: Loop) -> None:
    """Raise SettingError unless the first step of the last member of `together` is that of `alone`,
    the same member by itself.

    Both loops are new, and moved on by a step.
    """
    alone.advance()
    try:
        together.advance()
    except EnerganError:
        raise
    except Exception as error:  # of code that knows no member axis: whatever it runs into
        raise _refused(f"fails there ({type(error).__name__}: {describe(error)})") from error
    wanted, found = _figures(alone), _figures(together)
    if wanted.keys() != found.keys():
        raise _refused(f"logs {', '.join(sorted(found))}, not {', '.join(sorted(wanted))}")
    for name, value in wanted.items():
        if not torch.isclose(found[name], value, rtol=OFF, atol=LEAST, equal_nan=True):
            raise _refused(f"has {name} {float(found[name]):.4g}, not {float(value):.4g}")
    for network in ("energy", "sampler"):
        own, of_member = _gradient(alone, network), _gradient(together, network)
        if own.shape != of_member.shape or (of_member - own).norm() > OFF * own.norm():
            raise _refused(f"has a different gradient of its {network}")


def _figures(loop: Loop) -> dict[str, Tensor]:
    """Of the last member."""
    ((_, figures),) = loop.flush_figures()
    return {name: values[-1] for name, values in figures.items()}


def _gradient(loop: Loop, network: str) -> Tensor:
    """Of the last member, all parameters in one vector."""
    parts = [g if loop.members == 1 else g[-1] for g in loop.optimisers[network].gradients()]
    return torch.cat([part.reshape(-1) for part in parts]) if parts else torch.zeros(0)


def _refused(how: str) -> SettingError:
    return SettingError(
        "the model trains differently with several seeds as one program than alone: a seed "
        f"{how}; train the seeds as separate runs, or let the model's code handle the member axis "
        "(Context.rows, vectors, events)"
    )
