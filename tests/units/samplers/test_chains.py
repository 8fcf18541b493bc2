"""The replay buffer and the sampler made of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor, nn

from energan.core import Batch, Context, Energy, Randomness, SettingError
from energan.energies.scalar import Scalar
from energan.nets.conditional import WithLabels
from energan.nets.mlp import smooth_mlp
from energan.samplers import StepRule
from energan.samplers.chains import ChainSampler
from energan.samplers.kernels import MALA
from energan.samplers.replay import Replay


def draws(seed: int = 0, share: tuple[int, int] = (0, 1)) -> Randomness:
    return Randomness([seed], share=share)


def context(step: int, share: tuple[int, int] = (0, 1), **options) -> Context:
    return Context(step, {}, draws(5, share).at(step, split=True), **options)


@given(seed=st.integers(0, 10**6), count=st.integers(1, 60), extra=st.integers(0, 300))
@settings(deadline=None)
def test_no_two_chains_of_a_batch_share_a_place(seed: int, count: int, extra: int) -> None:
    replay = Replay(count + extra, (2,), 0.0, 1.0)
    slots = replay.slots(draws(seed), count)
    assert len(slots.unique()) == count
    assert int(slots.min()) >= 0
    assert int(slots.max()) < count + extra


def test_every_place_is_as_likely() -> None:
    replay, at = Replay(40, (2,), 0.0, 1.0), draws(3)
    counts = torch.stack([replay.slots(at, 8) for _ in range(4000)]).flatten().bincount()
    assert chisquare(counts.numpy()).pvalue > 1e-4


def test_two_processes_share_the_places_of_one() -> None:
    replay = Replay(50, (2,), 0.0, 1.0)
    both = [replay.slots(draws(7, (r, 2)).at(1, split=True), 5, (r, 2)) for r in (0, 1)]
    assert torch.equal(torch.cat(both), replay.slots(draws(7).at(1, split=True), 10))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
def test_bytes_keep_a_chain_to_half_a_level(low: float, high: float) -> None:
    replay = Replay(20, (1, 4, 4), low, high, packed=True)
    state = replay.start(draws())
    assert state["chains"].dtype == torch.uint8
    slots = torch.tensor([3, 0, 17])
    x = torch.rand(3, 1, 4, 4) * (high - low) + low
    x[0, 0, 0, :2] = torch.tensor([low, high])
    replay.put(state, slots, x, torch.ones(3, dtype=torch.int64))
    back = replay.get(state, slots)
    assert float((back - x).abs().max()) <= (high - low) / 510 + 1e-6
    assert torch.equal(back[0, 0, 0, :2], x[0, 0, 0, :2])
    replay.put(state, slots, back, torch.ones(3, dtype=torch.int64))
    assert torch.equal(replay.get(state, slots), back)  # a chain that does not move does not drift


def test_noise_fills_the_range() -> None:
    x = Replay(3000, (2, 3, 3), -1.0, 3.0).start(draws())["chains"]
    assert -1 <= float(x.min()) < -0.99
    assert 2.99 < float(x.max()) <= 3
    assert float(x.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(x.var()) == pytest.approx(16 / 12, rel=0.02)


def test_putting_back_writes_the_batch_alone_and_copies_no_buffer() -> None:
    replay = Replay(100, (3,), 0.0, 1.0, classes=4)
    state = replay.start(draws())
    before, places = (
        {k: v.clone() for k, v in state.items()},
        {k: v.data_ptr() for k, v in state.items()},
    )
    slots = replay.slots(draws(1), 6)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    replay.put(state, slots, torch.full((6, 3), 7.0), torch.full((6,), 9), labels)
    others = torch.ones(100, dtype=torch.bool).index_fill(0, slots, False)
    for name in state:
        assert state[name].data_ptr() == places[name]
        assert torch.equal(state[name][others], before[name][others])
    assert torch.equal(state["labels"][slots], labels)
    assert torch.equal(state["chains"][slots], torch.full((6, 3), 7.0))


class Bowl(Energy):
    """U(x | y) = |x − y|²/2: chains of label y gather around y."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str):
        from energan.core import Scored

        centre = 0.0 if condition is None else condition[:, None].to(x.dtype)
        return Scored(self.weight * (x - centre).square().sum(1) * 20)


def sampler(classes: int | None = None, **options) -> ChainSampler:
    replay = Replay(64, (2,), -4.0, 4.0, classes=classes)
    return ChainSampler(StepRule(0.02), 10, replay, **{"restart": 0.1, **options})


def test_labels_stay_with_their_chains_and_have_the_shares_of_the_data() -> None:
    chains = sampler(classes=4)
    state = chains.init(context(0))
    energy, shares = Bowl(), torch.tensor([0.1, 0.2, 0.3, 0.4])
    torch.manual_seed(0)
    counts = torch.zeros(4)
    for step in range(300):
        labels = torch.multinomial(shares, 32, replacement=True)
        batch = Batch(torch.zeros(32, 2), labels)
        counts += torch.bincount(state["labels"], minlength=4) if step >= 10 else 0
        draw, state = chains.draw(energy, batch, state, context(step))
        assert draw is not None
        assert draw.condition is not None
    old = state["ages"] >= 30
    assert old.any()
    assert torch.allclose(state["chains"][old].mean(1), state["labels"][old].float(), atol=1.0)
    # the loss weighs the classes of chains as those of data
    assert torch.allclose(counts / counts.sum(), shares, atol=0.04)
    wanted = torch.tensor([2, 0, 2, 3])
    made = chains.sample(energy, 4, wanted, state, context(99))
    assert made is not None
    assert torch.equal(made.condition, wanted)


def test_one_in_ten_starts_anew_and_ages_count_langevin_steps() -> None:
    chains = sampler()
    state = chains.init(context(0))
    energy, batch = Bowl(), Batch(torch.zeros(32, 2))
    anew = 0
    for step in range(300):
        draw, state = chains.draw(energy, batch, state, context(step))
        assert draw is not None
        assert (state["ages"] % 10 == 0).all()
        if step >= 50:
            anew += float(draw.info["chain_age"])  # mean life of a chain: 10 / 0.1 steps
    assert anew / 250 == pytest.approx(100, rel=0.15)


def test_looking_writes_nothing() -> None:
    chains = sampler(sample_steps=5)
    state = chains.init(context(0))
    before = {k: v.clone() for k, v in state.items()}
    made = chains.sample(Bowl(), 100, None, state, context(1))  # more than the buffer holds
    assert made is not None
    assert made.x.shape == (100, 2)
    assert all(torch.equal(before[k], state[k]) for k in state)


def test_draws_are_chains_and_the_energys_weights_get_no_gradient_from_them() -> None:
    chains, energy = sampler(), Bowl()
    state = chains.init(context(0))
    draw, state = chains.draw(energy, Batch(torch.zeros(16, 2)), state, context(0))
    assert draw is not None
    assert not draw.x.requires_grad
    assert energy.weight.requires_grad
    assert energy.weight.grad is None
    slots = chains.replay.slots(context(0).generator, 16)
    assert torch.equal(state["chains"][slots], draw.x)
    assert float(draw.info["chain_drop"]) > 0


def test_saturation_is_the_share_at_the_bounds() -> None:
    replay = Replay(8, (2,), 0.0, 1.0)
    chains = ChainSampler(StepRule(100.0, 0.0, None, 0.0, 1.0), 1, replay, restart=0.0)
    state = chains.init(context(0))

    class Down(Energy):
        def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str):
            from energan.core import Scored

            return Scored(x[:, 0] + 0 * x[:, 1])

    batch = Batch(torch.tensor([[0.0, 0.5], [1.0, 1.0]]).repeat(4, 1))
    draw, _ = chains.draw(Down(), batch, state, context(0))
    assert draw is not None
    assert float(draw.info["chain_saturation"]) == 0.5
    assert float(draw.info["data_saturation"]) == 0.75


def test_mala_chains_are_offered_and_tell_their_acceptance() -> None:
    chains = sampler(kernel=MALA)
    state = chains.init(context(0))
    draw, _ = chains.draw(Bowl(), Batch(torch.zeros(16, 2)), state, context(0))
    assert draw is not None
    assert 0 < float(draw.info["chain_acceptance"]) <= 1


def test_a_chain_that_is_refused_every_move_starts_anew() -> None:
    """U = 0 within a box and rises as a wall outside of it, where half of the chains stand."""

    class Walls(Energy):
        def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str):
            from energan.core import Scored

            return Scored((x.abs() - 1).clamp_min(0).pow(2).sum(1) * 1e6)

    chains = ChainSampler(StepRule(0.02), 20, Replay(64, (2,), -4.0, 4.0), restart=0.0, kernel=MALA)
    state = chains.init(context(0))
    state["ages"] += 1  # none is new
    state["chains"][:32] = 3.0
    state["chains"][32:] = 0.0
    draw, after = chains.draw(Walls(), Batch(torch.zeros(64, 2)), state, context(0))
    assert draw is not None
    assert (draw.x[:32] == 3).all()  # what the loss sees is where they stood
    assert (after["ages"][:32] == 0).all()
    assert (after["chains"][:32] != 3).all()
    assert (after["ages"][32:] == 21).all()


def test_short_chains_that_are_refused_stay() -> None:
    """Few refusals in a row are no sign: to start those anew would widen the chains' law."""
    chains = ChainSampler(StepRule(1.5), 1, Replay(64, (2,), -4.0, 4.0), restart=0, kernel=MALA)
    state = chains.init(context(0))
    state["ages"] += 1
    before = state["chains"].clone()
    draw, after = chains.draw(Bowl(), Batch(torch.zeros(64, 2)), state, context(0))
    assert draw is not None
    refused = (draw.x == before).all(1)
    assert refused.any()
    assert torch.equal(after["chains"][refused], before[refused])


def test_samples_take_no_chain_twice_before_all_were_taken() -> None:
    chains = sampler()
    state = chains.init(context(0))
    x = chains.replayed(state, 64 + 20, None, draws(4))
    assert len(x[:64].unique(dim=0)) == 64
    assert len(x.unique(dim=0)) == 64


def test_ranks_keep_one_buffer() -> None:
    """Two processes of half a batch each leave the buffer that one with all of it leaves."""
    torch.manual_seed(0)
    energy = Scalar(WithLabels(smooth_mlp(2, (8,), beside=3, spectral=True), 3))
    alone, labels = sampler(classes=3), torch.arange(16) % 3
    state = alone.init(context(0))
    rows: list[Tensor] = []

    def collect(vectors: Tensor) -> Tensor:
        rows.append(vectors)
        return vectors

    both = []
    for rank in (0, 1):
        part = alone.init(context(0))
        at = context(4, (rank, 2), gather=collect)
        own = Batch(torch.zeros(8, 2), labels[8 * rank :][:8])
        both.append(alone.draw(energy, own, part, at)[0])
    part = alone.init(context(0))
    at = context(4, (0, 2), gather=lambda own: torch.cat(rows, 1))
    _, part = alone.draw(energy, Batch(torch.zeros(8, 2), labels[:8]), part, at)
    whole, state = alone.draw(energy, Batch(torch.zeros(16, 2), labels), state, context(4))
    assert whole is not None
    # the noise is drawn step by step, each rank its half: the same numbers as the whole batch's
    assert torch.allclose(torch.cat([d.x for d in both]), whole.x, atol=1e-6)
    for name in state:
        assert torch.allclose(part[name].double(), state[name].double(), atol=1e-6)


def test_mistakes_are_told() -> None:
    chains = sampler()
    state = chains.init(context(0))
    with pytest.raises(SettingError, match="buffer 64"):
        chains.draw(Bowl(), Batch(torch.zeros(65, 2)), state, context(0))
