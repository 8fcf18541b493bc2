"""Stepping a network's parameters, alone or as a cohort.

A single run uses torch's fused optimisers. torch.optim takes no vector of rates, so a cohort has
stacked forms of the same updates: every parameter is (M, ...), every rate (M, 1, ...).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from energan.core import Optimiser, SettingError
from energan.schedules import parse

Named = list[tuple[str, nn.Parameter]]


class Stepper:
    """One network's optimiser: gradient clipping, scheduled rates, state by parameter name.

    settings: one for each member; they may differ in rate, momentum and clip, not in kind.
    """

    def __init__(self, network: nn.Module, settings: Sequence[Optimiser]) -> None:
        self.named: Named = list(network.named_parameters())
        self.members = len(settings)
        first = settings[0]
        for other in settings[1:]:
            if (other.kind, other.beta1, other.beta2, other.eps) != (
                first.kind, first.beta1, first.beta2, first.eps,
            ):  # fmt: skip
                raise SettingError(
                    "members of a cohort share the kind of optimiser, its betas and eps; "
                    "train those that differ as separate runs"
                )
        self._lr = [parse(s.lr) for s in settings]
        self._momentum = [parse(s.momentum) for s in settings]
        self._clips = [s.clip for s in settings]
        self.optimiser = self._build(first)

    def _build(self, settings: Optimiser) -> torch.optim.Optimizer | None:
        parameters = [p for _, p in self.named]
        if not parameters:
            return None
        betas = (settings.beta1, settings.beta2)
        if self.members == 1:
            if settings.kind == "adam":
                return torch.optim.Adam(parameters, betas=betas, eps=settings.eps, fused=True)
            return torch.optim.SGD(parameters, fused=True)
        if settings.kind == "adam":
            return StackedAdam(parameters, betas=betas, eps=settings.eps)
        return StackedSGD(parameters)

    def rate(self, step: int) -> float:
        """The scheduled learning rate at a step, the mean over members."""
        return sum(rate(step) for rate in self._lr) / len(self._lr)

    def gradients(self) -> list[Tensor]:
        """Those there are, one for each parameter."""
        return [p.grad for _, p in self.named if p.grad is not None]

    def zero(self) -> None:
        for _, p in self.named:
            p.grad = None

    def step(self, step: int, scale: Tensor) -> None:
        """One update with the rates of `step`, each member's times `scale` (M,)."""
        if self.optimiser is None:
            return
        self._clip()
        scales = scale.tolist()
        lr = [rate(step) * s for rate, s in zip(self._lr, scales, strict=True)]
        momentum = [m(step) for m in self._momentum]
        for group in self.optimiser.param_groups:
            group["lr"] = lr[0] if self.members == 1 else lr
            if "momentum" in group:
                group["momentum"] = momentum[0] if self.members == 1 else momentum
        self.optimiser.step()

    def _clip(self) -> None:
        if not any(self._clips):
            return
        grads, norms = self.gradients(), self.norms()
        limits = norms.new_tensor([c or float("inf") for c in self._clips])
        factors = (limits / (norms + 1e-6)).clamp_max(1.0)
        for g in grads:
            g.mul_(_rates(factors, g) if self.members > 1 else factors[0])

    def norms(self) -> Tensor:
        """The norm of each member's gradient (M,), before any clipping; there must be one."""
        rows = (g.reshape(self.members, -1) for g in self.gradients())
        parts = [torch.linalg.vector_norm(row, dim=1) for row in rows]
        norms: Tensor = torch.linalg.vector_norm(torch.stack(parts), dim=0)
        return norms

    def state(self) -> dict[str, Tensor]:
        """Every state tensor as `parameter/item`."""
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
            p = known[name]
            # in the parameter's own memory order, which the fused kernels take for granted
            own = torch.empty_like(p, dtype=value.dtype) if value.shape == p.shape else None
            self.optimiser.state[p][item] = (
                value.to(p.device, copy=True) if own is None else own.copy_(value)
            )


def _rates(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))


class StackedAdam(torch.optim.Optimizer):
    """Adam over parameters (M, ...) with one rate a member (Kingma & Ba 2015, algorithm 1)."""

    def __init__(
        self, parameters: list[nn.Parameter], betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(parameters, {"lr": [], "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                t = float(state["step"])
                mean, square = state["exp_avg"], state["exp_avg_sq"]
                mean.lerp_(p.grad, 1 - beta1)
                square.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                root = square.sqrt().div_((1 - beta2**t) ** 0.5).add_(group["eps"])
                rates = _rates(p.new_tensor(group["lr"]), p) / (1 - beta1**t)
                p.sub_(rates * (mean / root))


class StackedSGD(torch.optim.Optimizer):
    """SGD with momentum over parameters (M, ...), one rate and one momentum a member."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": [], "momentum": []})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                direction = p.grad
                if any(group["momentum"]):
                    state = self.state[p]
                    buffer = state.setdefault("momentum_buffer", torch.zeros_like(p))
                    buffer.mul_(_rates(p.new_tensor(group["momentum"]), p)).add_(p.grad)
                    direction = buffer
                p.sub_(_rates(p.new_tensor(group["lr"]), p) * direction)
