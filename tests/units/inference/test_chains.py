"""Chains on trained energies."""

from dataclasses import replace

import pytest
import torch

from energan.core import Draw, Kernel, SettingError, start_chains
from energan.data import DataSet, open_data
from energan.inference.chain_rules import change_rule
from energan.inference.chain_traces import Trace, mixing_of
from energan.inference.chains import sample_chains
from energan.inference.run import Run
from energan.samplers import StepRule


def test_the_same_seed_gives_the_same_chains(runs: dict[str, Run]) -> None:
    pair = [runs["ebgan"], runs["other"]]
    one = sample_chains(pair, 6, steps=12, turn=2, seed=5)
    again = sample_chains(pair, 6, steps=12, turn=2, seed=5)
    assert torch.equal(one.snapshots, again.snapshots)
    assert torch.equal(one.energies, again.energies)
    assert not torch.equal(one.x, sample_chains(pair, 6, steps=12, turn=2, seed=6).x)
    assert not torch.equal(one.x, sample_chains(pair[0], 6, steps=12, seed=5).x)


@pytest.mark.parametrize("name", ["ebgan", "labels", "ring", "igebm-ring"])
def test_the_first_samples_are_the_same_however_many_there_are(
    runs: dict[str, Run], name: str
) -> None:
    """Of generators and of replay buffers, with labels and jumps; and of chains, also of more than
    the buffer holds."""
    run = runs[name]
    many = run.sample(70, seed=1)
    for count in (1, 3, 4, 17):
        assert torch.allclose(run.sample(count, seed=1), many[:count], atol=1e-5)
    assert not torch.allclose(run.sample(4, seed=2), many[:4], atol=1e-2)
    starts = ("noise", "buffer", "data") if run.sampler.rule else ("noise", "data")
    for start in starts:
        chains = [
            sample_chains(run, count, steps=5, start=start, seed=1)  # type: ignore[arg-type]
            for count in (4, 70)
        ]
        assert torch.allclose(chains[0].x, chains[1].x[:4], atol=1e-4)
        if run.classes:
            assert chains[0].labels is not None
            assert chains[1].labels is not None
            assert torch.equal(chains[0].labels, chains[1].labels[:4])


def test_what_comes_back_belongs_together(runs: dict[str, Run]) -> None:
    pair = [runs["ebgan"], runs["other"]]
    made = sample_chains(pair, 5, steps=30, snapshots=4)
    assert made.steps == (0, 10, 20, 30)
    assert made.snapshots.shape == (4, 5, 1, 8, 8)
    assert torch.equal(made.snapshots[-1], made.x)
    assert made.gradient_norm.shape == (5,)
    for i, stage in enumerate(made.snapshots):
        for j, run in enumerate(pair):
            assert torch.allclose(made.energies[i, j], run.energy(stage), atol=1e-5)
    assert float(made.energies[-1].mean()) < float(made.energies[0].mean())
    assert -1 <= float(made.x.min()) <= float(made.x.max()) <= 1


def test_turns_of_one_energy_are_that_energy(runs: dict[str, Run]) -> None:
    run = runs["ebgan"]
    alone = sample_chains(run, 4, steps=9, seed=1)
    shared = sample_chains([run, run], 4, steps=9, turn=2, seed=1)
    assert torch.equal(alone.x, shared.x)


def test_chains_start_where_they_are_told_to(runs: dict[str, Run]) -> None:
    labels, ring = runs["labels"], runs["igebm-ring"]
    given = 2 * torch.rand(3, 1, 8, 8) - 1
    assert torch.equal(sample_chains(runs["ebgan"], 3, steps=2, start=given).snapshots[0], given)
    y = torch.tensor([4, 4, 7])
    kept = sample_chains(labels, 3, steps=2, start="buffer", labels=y, seed=2)
    assert torch.equal(kept.snapshots[0], labels.replayed(3, 2, y))
    real = sample_chains(labels, 40, steps=1, start="data")
    assert real.labels is not None
    own = open_data(labels.job.settings.data)
    events, classes = own.gather(torch.arange(len(own))).x, own.labels
    for x, label in zip(real.snapshots[0], real.labels, strict=True):
        same = (events == x).flatten(1).all(1)
        assert int(label) in classes[same].tolist()
    of_one = sample_chains(labels, 5, steps=1, start="data", labels=torch.full((5,), 3))
    for x in of_one.snapshots[0]:
        assert 3 in classes[(events == x).flatten(1).all(1)].tolist()
    assert sample_chains(ring, 500, steps=1).snapshots[0].abs().max() <= 4


def test_moves_are_tested_where_training_tested_them(runs: dict[str, Run]) -> None:
    ring = runs["igebm-ring"]
    made = sample_chains(ring, 20, steps=10)
    assert made.acceptance is not None
    assert float(made.acceptance.mean()) > 0
    assert sample_chains(ring, 20, steps=10, dynamics="langevin").acceptance is None
    assert sample_chains(ring, 20, steps=10, rules=StepRule(0.001, 0.01)).acceptance is None
    assert sample_chains([ring, runs["ring"]], 20, steps=10).acceptance is None
    assert sample_chains(runs["ring"], 20, steps=10, dynamics="mala").acceptance is not None


def test_without_labels_chains_are_of_all_classes_alike(runs: dict[str, Run]) -> None:
    made = sample_chains(runs["labels"], 20, steps=1)
    assert made.labels is not None
    assert made.labels.bincount().tolist() == [2] * 10


def test_chains_that_cannot_be_are_refused(runs: dict[str, Run]) -> None:
    ebgan, ring = runs["ebgan"], runs["ring"]
    with pytest.raises(SettingError, match="need the same kind"):
        sample_chains([ebgan, ring])
    with pytest.raises(SettingError, match="need the same kind"):
        ebgan + ring
    with pytest.raises(SettingError, match="stores no chains"):
        sample_chains(ebgan, start="buffer")
    with pytest.raises(SettingError, match="no energy here takes any"):
        sample_chains(ebgan, 4, labels=torch.zeros(4, dtype=torch.int64))
    with pytest.raises(SettingError, match=r"4 chains need \(4,\)"):
        sample_chains(runs["labels"], 4, labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(SettingError, match="smaller step size"):
        sample_chains(ring, 4, steps=40, rules=StepRule(1e38, 1e38))
    with pytest.raises(SettingError, match="at least 1 step"):
        sample_chains(ring, 4, steps=0)
    with pytest.raises(SettingError, match=r"not be exact.*use langevin or hmc"):
        sample_chains(ebgan, 4, dynamics="mala")
    with pytest.raises(SettingError, match="noise is √ε"):
        sample_chains(ring, 4, dynamics="mala", rules=StepRule(0.1, 0.1))
    with pytest.raises(SettingError, match=r"fraction of the steps, from 0 to 1, not 1\.5"):
        sample_chains(ring, 4, anneal=1.5)
    with pytest.raises(SettingError, match="2 rules for 1"):
        sample_chains(ring, 4, rules=[StepRule(1), StepRule(1)])
    with pytest.raises(SettingError, match="name a run"):
        sample_chains([])
    with pytest.raises(SettingError, match="give a number above 0"):
        change_rule(ring, step_size=0)
    with pytest.raises(SettingError, match="noise -1: give 0 or more"):
        change_rule(ring, noise=-1)


class Streamed(DataSet):
    """Of more events than are in memory."""

    def __len__(self) -> int:
        return 10**6


def test_chains_start_at_events_that_are_in_memory(runs: dict[str, Run]) -> None:
    domain = runs["ebgan"].domain
    x = torch.linspace(-1, 1, 3 * 64).view(3, 1, 8, 8)
    made = sample_chains(runs["ebgan"], 6, steps=1, start="data", data=Streamed("s", x, domain))
    starts = made.snapshots[0].flatten(1).unique(dim=0)
    assert torch.allclose(starts, x.flatten(1), atol=1e-6)


def test_data_without_labels_has_no_class_to_start_from(runs: dict[str, Run]) -> None:
    plain = DataSet("plain", torch.zeros(4, 1, 8, 8), runs["labels"].domain)
    y = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(SettingError, match="plain has no labels"):
        sample_chains(runs["labels"], 2, steps=1, start="data", labels=y, data=plain)


def test_chains_by_any_kernel_and_what_they_tell(runs: dict[str, Run]) -> None:
    ring, ebgan = runs["igebm-ring"], runs["ebgan"]
    made = sample_chains(ring, 12, steps=40, dynamics="hmc")
    assert made.acceptance is not None
    assert made.step_size is not None
    assert len(made.step_size.unique()) == 12  # each chain adapts its own
    few, many = (sample_chains(ring, n, steps=8, dynamics="hmc").x for n in (4, 12))
    assert torch.allclose(few, many[:4], rtol=1e-3, atol=1e-3)
    assert made.mixing is not None
    assert made.mixing.draws == 12 * 20
    assert 1 < made.mixing.ess <= made.mixing.energy_ess * 100
    fixed = sample_chains(ring, 4, steps=40, dynamics="hmc", rules=StepRule(0.01))
    assert fixed.step_size is None
    inert = sample_chains(ebgan, 4, steps=9, dynamics="underdamped")
    assert -1 <= float(inert.x.min()) <= float(inert.x.max()) <= 1
    assert sample_chains(ebgan, 4, steps=7).mixing is not None
    assert sample_chains(ebgan, 4, steps=6).mixing is None  # too few to tell
    assert sample_chains([ebgan, runs["other"]], 4, steps=20).mixing is None
    walk = Kernel(lambda u, s, rule, draws: replace(s, x=s.x + 1, steps=s.steps + 1))
    assert torch.equal(sample_chains(ring, 4, steps=3, dynamics=walk).x,
                       sample_chains(ring, 4, steps=3).snapshots[0] + 3)  # fmt: skip
    for wrong, says in (
        ({"warmup": 40}, "warmup 40 must be less than the 40 steps"),
        ({"target_acceptance": 0.5, "dynamics": "langevin"}, "langevin does not: use mala or hmc"),
        ({"target_acceptance": 1.5}, r"target acceptance 1\.5: give a number between 0 and 1"),
    ):
        with pytest.raises(SettingError, match=says):
            sample_chains(ring, 4, steps=40, **wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"to one energy only.*\(--together\)"):
        sample_chains([ring, ring], 4, steps=9, target_acceptance=0.5)


def test_a_trace_is_thinned_and_projected() -> None:
    trace = Trace(4100, 100, torch.Size([80]))
    state = start_chains(lambda x: x.sum(1), torch.ones(3, 80))
    for k in range(1, 4101):
        trace(replace(state, steps=k))
    values = trace.values()
    assert values.shape == (1000, 3, 33)
    assert mixing_of(values, None) is None  # nothing moves
    g = torch.Generator().manual_seed(0)
    drawn = torch.randn(200, 6, 2, generator=g)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    shifted = drawn + 5 * labels[:, None]  # classes that differ are no failure to mix
    mixed = mixing_of(shifted, labels)
    assert mixed is not None
    assert mixed.rhat < 1.05
    assert mixed.ess == pytest.approx(1200, rel=0.3)
    apart = mixing_of(shifted, None)
    assert apart is not None
    assert apart.rhat > 1.5


def test_a_sampler_that_draws_from_torchs_generator_is_seeded(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs["ring"]
    monkeypatch.setattr(
        type(run.sampler), "sample",
        lambda self, energy, count, condition, state, context: Draw(torch.randn(count, 2)),
    )  # fmt: skip
    before = torch.get_rng_state()
    one, other = run.sample(9, seed=1), run.sample(9, seed=2)
    torch.randn(3)
    assert torch.equal(run.sample(9, seed=1), one)
    assert not torch.equal(one, other)
    torch.set_rng_state(before)
    run.sample(9)
    assert torch.equal(torch.get_rng_state(), before)
