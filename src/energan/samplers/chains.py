"""Short chains on the energy itself as the sampler (Du & Mordatch 2019), by any kernel.

Each step takes a batch of chains out of the replay buffer, starts a few of them anew from noise,
moves all K steps on the energy as it is, and puts them back.
"""

from dataclasses import replace

import torch
from torch import Tensor

from energan.core import (
    Batch,
    Context,
    Draw,
    Energy,
    Kernel,
    Randomness,
    Sampler,
    SettingError,
    State,
    StepRule,
    Stream,
    frozen,
    frozen_weights,
    potential,
)
from energan.samplers.adaptation import check_target, nudge
from energan.samplers.dynamics import Chains, run_chain
from energan.samplers.kernels import LANGEVIN
from energan.samplers.metropolis import jump
from energan.samplers.replay import Replay

NUMBERS_AT_ONCE, LEAST_AT_ONCE = 2**17, 16
"""Number of chains moved in one pass."""

STUCK = 20
"""Consecutive rejections that no chain reaches by chance if half of its moves are accepted."""


class ChainSampler(Sampler):
    """Sampler with chains on the energy: K steps from a replay buffer (Du & Mordatch 2019).

    Args:
        rule: settings of a step.
        steps: K, steps per training step.
        replay: settings of the replay buffer.
        restart: fraction of the chains that restart from noise.
        sample_steps: steps that finished samples make beyond the chains in the buffer.
        kernel: how chains move. With a Metropolis test their density is exact; a chain whose K
            moves are all rejected restarts, if K is STUCK or more.
        jumps: number of random points that a chain may jump to before its K steps, in proportion
            to exp(−U); for kernels with a Metropolis test, and examples of few values.
        target_acceptance: acceptance rate that the step size is adapted to, starting from that
            of the rule; None for a fixed one.

    Raises:
        SettingError: for a rule or target that the kernel cannot follow.
    """

    samples_at_once = True  # else a chain could be taken twice
    rule: StepRule
    chain_steps: int

    takes_members = False  # the replay buffer is that of one run

    def __init__(
        self,
        rule: StepRule,
        steps: int,
        replay: Replay,
        *,
        restart: float = 0.05,
        sample_steps: int = 0,
        kernel: Kernel = LANGEVIN,
        jumps: int = 0,
        target_acceptance: float | None = None,
    ) -> None:
        super().__init__()
        kernel.check(rule)
        if target_acceptance is not None:
            check_target(kernel, target_acceptance)
        self.rule, self.chain_steps, self.replay = rule, steps, replay
        self.start_range = replay.low, replay.high
        self.restart, self.sample_steps = restart, sample_steps
        self.kernel: Kernel = kernel
        self.jumps = jumps if kernel.tested else 0
        self.target_acceptance = target_acceptance

    def init(self, context: Context) -> State:
        return self.replay.start(context.generator) | self._step_state(context.generator.device)

    def empty_state(self) -> State:
        return self.replay.empty() | self._step_state(torch.device("meta"))

    def _step_state(self, device: torch.device) -> State:
        """What an adapted step size adds: log of what that of the rule is multiplied by."""
        if self.target_acceptance is None:
            return {}
        return {"log_step": torch.zeros(1, device=device)}

    def check_batch(self, batch_size: int) -> None:
        if batch_size > self.replay.capacity:
            raise SettingError(
                f"model.buffer {self.replay.capacity} is smaller than a batch: set it to at "
                f"least {batch_size} chains"
            )

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        """Chains out of the buffer, moved and put back: the state's own tensors are written."""
        draws, replay, count = context.generator, self.replay, len(batch.x)
        rank, ranks = draws.share
        self.check_batch(count * ranks)
        slots = replay.slots(draws, count, (rank, ranks))
        ages = state["ages"][slots]
        anew = draws.keep(self.restart, count) | (ages == 0)
        x = replay.get(state, slots)
        x = torch.where(_broadcast(anew, x), replay.noise(draws, count), x)
        ages = ages.masked_fill(anew, 0) + self.chain_steps
        labels = None
        if replay.classes is not None:
            assert batch.condition is not None
            # Those of the data, so that both terms of the loss weigh the classes alike.
            labels = torch.where(anew, batch.condition, state["labels"][slots])
        made = self._move(energy, x, self.chain_steps, labels, "fake", state, draws)
        kept = made.x
        if made.acceptance is not None and self.chain_steps >= STUCK:
            # A chain that is refused every move, on a wall too steep for the step, would stay, and
            # training would raise the wall under it without end.
            stuck = made.acceptance == 0
            kept = torch.where(_broadcast(stuck, x), replay.noise(draws, count), kept)
            ages = ages.masked_fill(stuck, 0)
        self._put_back(state, slots, kept, ages, labels, context)
        info = {
            "chain_drop": made.energy_drop.mean().view(1),
            "chain_gradient": made.gradient_norm.mean().view(1),
            "chain_age": ages.double().mean().float().view(1),
        }
        if made.acceptance is not None:
            info["chain_acceptance"] = made.acceptance.mean().view(1)
        if made.acceptance is not None and self.target_acceptance is not None:
            info["chain_step_size"] = self.rule.step_size * state["log_step"].exp()
            every = context.gather(made.acceptance.view(1, -1, 1))
            state = state | {"log_step": nudge(state["log_step"], every, self.target_acceptance)}
        if self.rule.low is not None and self.rule.high is not None:
            info["chain_saturation"] = self._saturation(made.x)
            info["data_saturation"] = self._saturation(batch.x)
        return Draw(made.x, labels, info), state

    @torch.no_grad()
    def sample(
        self, energy: Energy, count: int, condition: Tensor | None, state: State, context: Context
    ) -> Draw | None:
        """Chains of the buffer, of the labels `condition` (count,), `sample_steps` further on."""
        draws = context.generator
        x = self.replayed(state, count, condition, draws)
        if not self.sample_steps:
            return Draw(x, condition)
        size = chains_at_once(x)
        labels = [None] * -(-count // size) if condition is None else condition.split(size)
        parts = [
            self._move(energy, part, self.sample_steps, y, "eval", state, draws).x
            for part, y in zip(x.split(size), labels, strict=True)
        ]
        return Draw(torch.cat(parts), condition)

    def replayed(
        self, state: State, count: int, condition: Tensor | None, draws: Randomness
    ) -> Tensor:
        """`count` chains as they lie in the buffer, none twice before all were taken.

        Of a label that no chain has, noise.
        """
        if condition is None:
            everywhere = torch.arange(self.replay.capacity, device=draws.device)
            return self.replay.get(state, _pick(everywhere, count, draws, "all"))
        x = self.replay.noise(draws, count)
        for label in condition.unique():
            of_label = torch.nonzero(state["labels"] == label).flatten()
            wanted = condition == label
            if len(of_label):
                slots = _pick(of_label, int(wanted.sum()), draws, int(label))
                x[wanted] = self.replay.get(state, slots)
        return x

    def _move(
        self,
        energy: Energy,
        x: Tensor,
        steps: int,
        labels: Tensor | None,
        stream: Stream,
        state: State,
        draws: Randomness,
    ) -> Chains:
        with frozen(energy), frozen_weights():
            u = potential(energy, labels, stream)
            if self.jumps:
                x = self._jump(energy, x, labels, stream, draws)
            chains = self.kernel.init(u, x)
            if self.target_acceptance is not None:
                chains = replace(chains, scale=state["log_step"].exp().expand(len(x)))
            return run_chain(lambda now: self.kernel.step(u, now, self.rule, draws), chains, steps)

    def _jump(
        self, energy: Energy, x: Tensor, labels: Tensor | None, stream: Stream, draws: Randomness
    ) -> Tensor:
        """x, or places of the box that it jumps to; what lies outside of the box stays."""
        many = self.jumps + 1
        u = potential(energy, None if labels is None else labels.repeat(many), stream)
        others = draws.several(self.jumps, self.replay.low, self.replay.high, *x.shape)
        there = jump(u, x, others, draws.uniform(0, 1, len(x)))
        inside = ((x >= self.replay.low) & (x <= self.replay.high)).flatten(1).all(1)
        return torch.where(_broadcast(inside, x), there, x)

    def _put_back(
        self,
        state: State,
        slots: Tensor,
        x: Tensor,
        ages: Tensor,
        labels: Tensor | None,
        context: Context,
    ) -> None:
        """Into the buffer of this process; with others, the chains of all into that of each."""
        if context.generator.share[1] > 1:
            beside = [slots, ages, *([] if labels is None else [labels])]
            row = torch.cat([x.flatten(1), torch.stack(beside, 1).to(x.dtype)], 1)
            # numbers up to 2^24 are whole in float32; ages beyond that say little more
            rows = context.gather(row.unsqueeze(0)).squeeze(0)
            x = rows[:, : -len(beside)].unflatten(1, x.shape[1:])
            slots, ages, *rest = rows[:, -len(beside) :].round().long().unbind(1)
            labels = rest[0] if rest else None
        self.replay.put(state, slots, x, ages, labels)

    def _saturation(self, x: Tensor) -> Tensor:
        """The share (1,) of coordinates at the bounds."""
        assert self.rule.low is not None
        assert self.rule.high is not None
        return ((x <= self.rule.low) | (x >= self.rule.high)).float().mean().view(1)


def chains_at_once(x: Tensor) -> int:
    """How many chains as x (B, *event) are moved together: all maps of all are in memory for a
    gradient."""
    return max(LEAST_AT_ONCE, NUMBERS_AT_ONCE // x[0].numel())


def _pick(slots: Tensor, count: int, draws: Randomness, of: object) -> Tensor:
    """`count` of `slots` in random order, none twice before all were taken."""
    rounds = -(-count // len(slots))
    orders = [draws.order(len(slots), of, i) for i in range(rounds)]
    return slots[torch.cat(orders)[:count]]


def _broadcast(mask: Tensor, x: Tensor) -> Tensor:
    """(B,) -> (B, 1, ..., 1), as many axes as x has."""
    return mask.view(-1, *[1] * (x.dim() - 1))
