"""Chains on trained energies, energies that add up, and restoring with known pixels held."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import energan
from energan.core import DataError, Domain, Energy, Randomness, Scored, SettingError, Stream
from energan.data import open_data
from energan.inference.chain_rules import ChainSchedule, change_rule, move_chains, scale_rule
from energan.inference.chains import sample_chains
from energan.inference.restoration import read_mask, restore
from energan.inference.run import Run
from energan.samplers import StepRule, langevin

SMALL = {"checkpoint_every": 10, "sample_every": 0, "log_every": 10}
ENGINE = {"threads": 1}


class Bowl(Energy):
    """weight · ||x − centre||²/2, of a label the centre moved by it; with cells its parts."""

    def __init__(self, centre: float, cells: int = 0, nonnegative: bool = True) -> None:
        super().__init__()
        self.centre, self.cells, self.nonnegative = centre, cells, nonnegative

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        centre = self.centre if condition is None else self.centre + condition[:, None]
        parts = (x - centre).square() / 2
        return Scored(parts if self.cells else parts.mean(-1))


# --- energies add up ------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**31),
    weights=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    cells=st.booleans(),
)
def test_the_sum_of_energies_is_their_sum(seed: int, weights: list[float], cells: bool) -> None:
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
    a, b, c = Bowl(0.0), Bowl(1.5, cells), Bowl(-2.0)
    u = [e(x, stream="eval").energy.reshape(5, -1).mean(1) for e in (a, b, c)]
    total = weights[0] * a + b * weights[1] + weights[2] * c
    assert len(total.terms) == 3  # flat
    expected = weights[0] * u[0] + weights[1] * u[1] + weights[2] * u[2]
    assert torch.allclose(total(x, stream="eval").energy, expected, atol=1e-4)
    doubled = 2 * (a + b) + c
    assert [w for w, _ in doubled.terms] == [2, 2, 1]
    found = doubled(x, stream="eval").energy
    assert torch.allclose(found, 2 * u[0] + 2 * u[1] + u[2], atol=1e-4)


def test_cells_that_are_alike_are_added_one_by_one_and_labels_reach_all() -> None:
    x = torch.randn(3, 4)
    both = Bowl(0.0, 1) + Bowl(1.0, 1)
    assert both(x, stream="eval").energy.shape == (3, 4)
    y = torch.tensor([0, 1, 2])
    u = (Bowl(0.0) + Bowl(1.0))(x, y, stream="eval").energy
    apart = [Bowl(c)(x, y, stream="eval").energy for c in (0.0, 1.0)]
    assert torch.allclose(u, apart[0] + apart[1])


def test_a_sum_is_nonnegative_only_if_all_its_terms_are() -> None:
    fine, free = Bowl(0.0), Bowl(0.0, nonnegative=False)
    assert (fine + 2 * fine).nonnegative
    assert not (fine + free).nonnegative
    assert not (fine + -1.0 * fine).nonnegative
    with pytest.raises(TypeError):
        fine + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        "2" * fine  # type: ignore[operator]


def test_chains_on_a_sum_of_bowls_settle_between_them() -> None:
    """Two unit normals about ±c multiply to one of variance ½ about 0."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 1, generator=g)
    both = Bowl(-1.0) + Bowl(1.0)
    made = langevin(both, x, steps=300, step_size=0.05, generator=g).x
    assert abs(float(made.mean())) < 4 * (0.5 / 4000) ** 0.5
    # of U = k x²/2 the chain's variance is 1/(k (1 − kε/4)), here k = 2
    expected = 1 / (2 * (1 - 2 * 0.05 / 4))
    assert float(made.var()) == pytest.approx(expected, rel=4 * (2 / 4000) ** 0.5)


# --- turns ----------------------------------------------------------------------------------------


@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 40))
def test_energies_take_turns(count: int, turn: int, steps: int) -> None:
    calls: list[int] = []

    def energy(which: int) -> object:
        def u(x: Tensor) -> Tensor:
            calls.append(which)
            return x.square().sum(1)

        return u

    plan = ChainSchedule(tuple(StepRule(0.01) for _ in range(count)), steps, turn)
    draws = Randomness([0]).at("test")
    move_chains([energy(i) for i in range(count)], plan, torch.zeros(2, 3), draws)  # type: ignore[misc]
    assert calls == [k // turn % count for k in range(steps)]


def test_a_plan_without_annealing_is_langevins_own_chain() -> None:
    g = torch.Generator().manual_seed(3)
    x = torch.randn(6, 4, generator=g)

    def u(x: Tensor) -> Tensor:
        return (x**4).sum(1)

    found = move_chains([u], ChainSchedule((StepRule(0.01),), 20), x, Randomness([1]).at("test")).x
    draws = Randomness([1]).at("test")
    for _ in range(20):  # the formula of the coupled step
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(u(leaf).sum(), leaf)
        x = x - 0.005 * gradient + 0.1 * draws.normal(6, 4)
    assert torch.allclose(found, x, atol=1e-5)


def test_annealing_brings_step_and_noise_to_nothing() -> None:
    for rule in (StepRule(0.5), StepRule(10.0, 0.005, 0.01)):
        plan = ChainSchedule((rule,), 100, anneal=0.5)
        assert plan.at(0)[1] == plan.at(50)[1] == rule
        later = [plan.at(k)[1] for k in range(51, 100)]
        assert all(a.spread > b.spread > 0 for a, b in pairwise(later))
        assert later[-1].descent == pytest.approx(rule.descent / 50)
        assert later[-1].spread == pytest.approx(rule.spread / 50)
    assert scale_rule(StepRule(0.5), 0.5).noise == pytest.approx(0.5 * 0.5**0.5)


def test_tested_moves_have_the_law_of_the_energy_at_any_step() -> None:
    """Of U = x²/2 the variance is 1, where Langevin's own at ε = 1 is 4/3; also after turns."""

    def u(x: Tensor) -> Tensor:
        return x.square().sum(1) / 2

    x = torch.randn(8000, 1, generator=torch.Generator().manual_seed(2))
    tolerance = 4 * (2 / 8000) ** 0.5
    for energies in ([u], [u, u]):
        rules = (StepRule(1.0),) * len(energies)
        draws = Randomness([4]).at("test")
        made = move_chains(
            energies, ChainSchedule(rules, 40, 3, exact=(True,) * len(rules)), x, draws
        )
        assert float(made.x.var()) == pytest.approx(1, abs=tolerance)
        assert made.acceptance is not None
        assert 0.5 < float(made.acceptance.mean()) < 1
        free = move_chains(energies, ChainSchedule(rules, 40, 3), x, Randomness([4]).at("test"))
        assert float(free.x.var()) == pytest.approx(4 / 3, abs=4 / 3 * tolerance)
    cooled = move_chains(
        [u], ChainSchedule((StepRule(1.0),), 200, anneal=0.8, exact=(True,)), x, draws
    ).x
    assert float(cooled.var()) < 0.2  # steps shrink faster than the temperature


# --- of runs --------------------------------------------------------------------------------------


def trained(recipe: str, out: Path, model: dict[str, object], seed: int = 0, **data: object) -> Run:
    groups = {"output": SMALL, "engine": ENGINE, "training": {"batch_size": 32}}
    return energan.train(
        recipe, steps=20, out=out, seed=seed, model=model, progress=False,
        **({"data": data} if data else {}), **groups,  # type: ignore[arg-type]
    )  # fmt: skip


EBGAN = {"generator": [16], "encoder": [16], "latent": 4}
IGEBM = {"stages": [4], "blocks": [1], "steps": 3, "buffer": 64}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Tiny runs: two EBGANs and a conditional IGEBM on digits, one of each in the plane."""
    root = tmp_path_factory.mktemp("runs")
    conditional = {**IGEBM, "conditional": True}
    return {
        "ebgan": trained("ebgan-digits", root / "ebgan", EBGAN),
        "other": trained("ebgan-digits", root / "other", EBGAN, seed=1),
        "labels": trained(
            "igebm-mnist", root / "labels", conditional, source="digits", range="signed"
        ),
        "ring": trained("ebgan-ring", root / "ring", EBGAN),
        "igebm-ring": trained("igebm-ring", root / "ig", {"hidden": [8], "steps": 3, "buffer": 64}),
    }


def test_the_same_seed_gives_the_same_chains(runs: dict[str, Run]) -> None:
    pair = [runs["ebgan"], runs["other"]]
    one = sample_chains(pair, 6, steps=12, turn=2, seed=5)
    again = sample_chains(pair, 6, steps=12, turn=2, seed=5)
    assert torch.equal(one.snapshots, again.snapshots)
    assert torch.equal(one.energies, again.energies)
    assert not torch.equal(one.x, sample_chains(pair, 6, steps=12, turn=2, seed=6).x)
    assert not torch.equal(one.x, sample_chains(pair[0], 6, steps=12, seed=5).x)


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


def test_runs_add_up(runs: dict[str, Run]) -> None:
    a, b, c = runs["ebgan"], runs["other"], runs["labels"]
    x = 2 * torch.rand(7, 1, 8, 8) - 1
    y = torch.arange(7)
    both = a + 0.5 * (b + c)
    expected = a.energy(x) + 0.5 * b.energy(x) + 0.5 * c.energy(x, y)
    assert [weight for weight, _ in both.terms] == [1, 0.5, 0.5]
    assert torch.allclose(both.energy(x, y), expected, atol=1e-5)
    assert torch.allclose(both.potential(y)(x).detach().cpu(), expected, atol=1e-5)
    assert both.classes == 10
    assert sample_chains(both, 4, steps=3).x.shape == (4, 1, 8, 8)


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
    with pytest.raises(SettingError, match="must be of the same events"):
        sample_chains([ebgan, ring])
    with pytest.raises(SettingError, match="must be of the same events"):
        ebgan + ring
    with pytest.raises(SettingError, match="keeps no chains"):
        sample_chains(ebgan, start="buffer")
    with pytest.raises(SettingError, match="no energy here takes any"):
        sample_chains(ebgan, 4, labels=torch.zeros(4, dtype=torch.int64))
    with pytest.raises(SettingError, match=r"4 chains need \(4,\)"):
        sample_chains(runs["labels"], 4, labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(SettingError, match="smaller step size"):
        sample_chains(ring, 4, steps=40, rules=StepRule(1e38, 1e38))
    with pytest.raises(SettingError, match="at least 1 step"):
        sample_chains(ring, 4, steps=0)
    with pytest.raises(SettingError, match="not exact"):
        sample_chains(ebgan, 4, dynamics="mala")
    with pytest.raises(SettingError, match="noise is √ε"):
        sample_chains(ring, 4, dynamics="mala", rules=StepRule(0.1, 0.1))
    with pytest.raises(SettingError, match="share of the steps"):
        sample_chains(ring, 4, anneal=1.5)
    with pytest.raises(SettingError, match="2 rules for 1"):
        sample_chains(ring, 4, rules=[StepRule(1), StepRule(1)])
    with pytest.raises(SettingError, match="name a run"):
        sample_chains([])
    with pytest.raises(SettingError, match="more than 0"):
        change_rule(ring, step_size=0)
    with pytest.raises(SettingError, match="negative"):
        change_rule(ring, noise=-1)


def test_a_rule_changes_by_what_is_given_alone(runs: dict[str, Run]) -> None:
    rule = runs["ebgan"].rule
    assert change_rule(runs["ebgan"]) == rule
    changed = change_rule(runs["ebgan"], 0.1, "coupled", "none")
    assert (changed.step_size, changed.noise, changed.clip) == (0.1, None, None)
    assert (changed.low, changed.high) == (rule.low, rule.high) == (-1, 1)


# --- restoring ------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["noise", "mean"])
def test_known_pixels_stay_to_the_bit(start: str, runs: dict[str, Run]) -> None:
    g = torch.Generator().manual_seed(8)
    x = 2 * torch.rand(5, 1, 8, 8, generator=g) - 1
    unknown = torch.rand(5, 1, 8, 8, generator=g) < 0.4
    made = restore(runs["ebgan"], x, unknown=unknown, steps=15, start=start)  # type: ignore[arg-type]
    assert torch.equal(made.x[~unknown], x[~unknown])
    assert torch.equal(made.start[~unknown], x[~unknown])
    assert (made.x[unknown] != made.start[unknown]).float().mean() > 0.9
    assert (made.energy < made.energy_start).all()
    assert torch.allclose(made.energy, runs["ebgan"].energy(made.x), atol=1e-5)
    again = restore(runs["ebgan"], x, unknown=unknown, steps=15, start=start)  # type: ignore[arg-type]
    assert torch.equal(made.x, again.x)


def test_cleaning_stays_within_the_noise_and_lowers_the_energy(runs: dict[str, Run]) -> None:
    x = 2 * torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1)) - 1
    made = restore(runs["ebgan"], x, noise_std=0.2, steps=15)
    change = (made.x - x).flatten(1).square().mean(1).sqrt()
    assert (change <= 0.2 + 1e-5).all()
    assert (made.energy < made.energy_start).all()
    unknown = torch.zeros(1, 8, 8, dtype=torch.bool)
    unknown[:, :4] = True
    both = restore(runs["ebgan"], x, unknown=unknown, noise_std=0.2, steps=15)
    change = (both.x - x)[..., 4:, :].flatten(1).square().mean(1).sqrt()
    assert (change <= 0.2 + 1e-5).all()


def test_the_mean_that_unknown_pixels_start_from_is_the_datas(runs: dict[str, Run]) -> None:
    run = runs["ebgan"]
    x = torch.zeros(1, 1, 8, 8)
    unknown = torch.ones(1, 8, 8, dtype=torch.bool)
    made = restore(run, x, unknown=unknown, steps=1, start="mean")
    data = open_data(run.job.settings.data)
    mean = data.gather(torch.arange(len(data))).x.mean(0)
    assert torch.allclose(made.start[0], mean, atol=1e-5)


def test_restoring_needs_to_be_told_what(runs: dict[str, Run]) -> None:
    x = torch.zeros(2, 1, 8, 8)
    with pytest.raises(SettingError, match="nothing to restore"):
        restore(runs["ebgan"], x)
    with pytest.raises(SettingError, match="more than 0"):
        restore(runs["ebgan"], x, noise_std=0.0)
    with pytest.raises(DataError, match="shape"):
        restore(runs["ebgan"], torch.zeros(2, 64), noise_std=0.1)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 10), (5, 7)])
def test_regions_of_a_mask(height: int, width: int, runs: dict[str, Run]) -> None:
    settings = runs["ebgan"].job.settings.data
    domain = Domain((3, height, width), -1.0, 1.0)
    masks = {
        n: read_mask(n, settings, domain) for n in ("left", "right", "top", "bottom", "centre")
    }
    everything = torch.ones(1, height, width, dtype=torch.bool)
    assert torch.equal(masks["left"] ^ masks["right"], everything)
    assert torch.equal(masks["top"] ^ masks["bottom"], everything)
    assert masks["left"][0, :, 0].all()
    assert masks["top"][0, 0].all()
    centre = masks["centre"][0]
    assert torch.equal(centre, centre.flip(0))
    assert torch.equal(centre, centre.flip(1))
    assert 0 < int(centre.sum()) < height * width / 2
