"""Stepping a network's parameters, alone or as a cohort, by torch's fused optimisers.

torch.optim takes no vector of rates. So each member of a cohort has an optimiser of its own, whose
parameters are the member's part (...) of the stacked ones (M, ...): views, so nothing is copied,
and the arithmetic is that of a single run.
"""

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor, nn

from energan.core import Optimiser
from energan.core.schedules import parse

Named = list[tuple[str, nn.Parameter]]
ADAM = {"step", "exp_avg", "exp_avg_sq"}
ITEMS = {"adam": ADAM, "adamw": ADAM, "sgd": {"momentum_buffer"}}
"""What each kind of optimiser stores for a parameter, once it has begun."""


class MemberOptimiser:
    """One member's optimiser: scheduled rates, and state by parameter name."""

    def __init__(self, named: Named, settings: Optimiser) -> None:
        self.named, self.items = named, ITEMS[settings.kind]
        self._lr, self._momentum = parse(settings.lr), parse(settings.momentum)
        self._beta1, self._beta2 = settings.beta1, parse(settings.beta2)
        self._weight_decay = parse(settings.weight_decay)
        self.optimiser: torch.optim.Optimizer | None = None
        parameters = [p for _, p in named]
        if parameters and settings.kind in ("adam", "adamw"):
            adam = torch.optim.Adam if settings.kind == "adam" else torch.optim.AdamW
            self.optimiser = adam(parameters, eps=settings.eps, fused=True)
        elif parameters:
            self.optimiser = torch.optim.SGD(parameters, fused=True)

    def rate(self, step: int) -> float:
        """The scheduled learning rate at a step."""
        return self._lr(step)

    def step(self, step: int, scale: float) -> None:
        """One update with the rates of `step` times `scale`."""
        if self.optimiser is None:
            return
        for group in self.optimiser.param_groups:
            group["lr"] = self._lr(step) * scale
            if "betas" in group:
                group["betas"] = self._beta1, self._beta2(step)
                group["weight_decay"] = self._weight_decay(step)
            else:
                group["momentum"] = self._momentum(step)
        self.optimiser.step()

    def state(self) -> dict[str, Tensor]:
        """Every state tensor as `parameter/item`, not copied."""
        if self.optimiser is None:
            return {}
        return {
            f"{name}/{item}": torch.as_tensor(value)
            for name, p in self.named
            for item, value in self.optimiser.state.get(p, {}).items()
            if value is not None
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Adopt what `state` gave; the tensors are copied to each parameter's device."""
        if self.optimiser is None:
            return
        known = dict(self.named)
        self.optimiser.state.clear()
        for key, value in state.items():
            name, item = key.rsplit("/", 1)
            if item not in self.items:  # of another member's kind
                continue
            p = known[name]
            # in the parameter's own memory order, which the fused kernels take for granted
            own = torch.empty_like(p, dtype=value.dtype) if value.shape == p.shape else None
            self.optimiser.state[p][item] = (
                value.to(p.device, copy=True) if own is None else own.copy_(value)
            )


class Optimisers:
    """One network's optimisers, one for each member, and the clipping of gradients.

    settings: one for each member; all may differ, the kind too.
    """

    def __init__(self, network: nn.Module, settings: Sequence[Optimiser]) -> None:
        self.named: Named = list(network.named_parameters())
        self.members = len(settings)
        self._clips = [s.clip for s in settings]
        self.each = [MemberOptimiser(self._part(i), own) for i, own in enumerate(settings)]

    def _part(self, member: int) -> Named:
        if self.members == 1:
            return self.named
        return [(name, nn.Parameter(p.detach()[member])) for name, p in self.named]

    def member(self, member: int) -> "Optimisers":
        """That of one member, as its single run has it; its state is the same tensors."""
        alone = copy(self)
        alone.members, alone.each = 1, [self.each[member]]
        alone.named, alone._clips = alone.each[0].named, [self._clips[member]]
        return alone

    def rate(self, step: int) -> float:
        """The scheduled learning rate at a step, the mean over members."""
        return sum(own.rate(step) for own in self.each) / self.members

    def gradients(self) -> list[Tensor]:
        """Those there are, one for each parameter."""
        return [p.grad for _, p in self.named if p.grad is not None]

    def zero(self) -> None:
        for _, p in self.named:
            p.grad = None

    def step(self, step: int, scale: Tensor) -> None:
        """One update with the rates of `step`, each member's times `scale` (M,).

        None where that is 0: of a member that was taken out.
        """
        if not self.named:
            return
        self._clip()
        if self.members > 1:
            self._hand_out()
        for own, factor in zip(self.each, scale.tolist(), strict=True):
            if factor:
                own.step(step, factor)

    def _hand_out(self) -> None:
        """Show each member's optimiser its part of the gradients."""
        for place, (_, p) in enumerate(self.named):
            grads = [None] * self.members if p.grad is None else p.grad.unbind()
            for own, grad in zip(self.each, grads, strict=True):
                own.named[place][1].grad = grad

    def _clip(self) -> None:
        if not any(self._clips):
            return
        grads, norms = self.gradients(), self.norms()
        limits = norms.new_tensor([c or float("inf") for c in self._clips])
        factors = (limits / (norms + 1e-6)).clamp_max(1.0)
        for g in grads:
            g.mul_(factors.view(-1, *[1] * (g.dim() - 1)) if self.members > 1 else factors[0])

    def norms(self) -> Tensor:
        """The norm of each member's gradient (M,), before any clipping; there must be one."""
        rows = (g.reshape(self.members, -1) for g in self.gradients())
        parts = [torch.linalg.vector_norm(row, dim=1) for row in rows]
        norms: Tensor = torch.linalg.vector_norm(torch.stack(parts), dim=0)
        return norms

    def state(self) -> dict[str, Tensor]:
        """Every state tensor as `parameter/item`; of a cohort stacked, (M, ...).

        0 for a member that has no such item, which is also how each item begins.
        """
        states = [own.state() for own in self.each]
        if self.members == 1:
            return states[0]
        known = {key: value for state in states for key, value in state.items()}
        return {
            key: torch.stack([state.get(key, torch.zeros_like(value)) for state in states])
            for key, value in known.items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Adopt what `state` gave."""
        for i, own in enumerate(self.each):
            own.load({k: v if self.members == 1 else v[i] for k, v in state.items()})

    @torch.no_grad()
    def mask(self, member: int) -> None:
        """Zero one member's state, so that what is not finite stays nowhere."""
        for value in self.each[member].state().values():
            value.zero_()
