"""Code of one's own: what it gives is checked, kept and repeated, or refused in one sentence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.stand_ins import Chains, Difference, Quadratic, chain_model, points, seeded
from energan.core import (
    Batch,
    Context,
    Draw,
    Energy,
    Loss,
    Model,
    Sampler,
    Scored,
    SettingError,
    State,
    Stream,
    potential,
    value_and_gradient,
)
from energan.energies.logit import Logit
from energan.experiment.compatibility import jobs_of
from energan.experiment.settings import load
from energan.experiment.start import start
from energan.nets.mlp import mlp_generator, mlp_logit
from energan.objectives.descent import Descent
from energan.samplers.generator import Generator
from energan.training import checkpoint
from energan.training.cohort_check import check_member
from energan.training.loop import Loop
from energan.training.member import Member
from support.helpers import assert_identical, make_loop, snapshot


class Own(Descent):
    """A hinge loss."""

    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return F.relu(1 + real).mean(-1) + F.relu(1 - fake).mean(-1)


def gan(objective: Callable[[], Descent], sampler: type[Generator] = Generator) -> Any:
    def case(seed: int) -> Model:
        fork = seeded(seed)
        model = Model(
            Logit(mlp_logit((4,), [8], norm=False)),
            sampler(mlp_generator(3, [8], (4,), norm=False, output="linear"), 3),
            objective(),
        )
        fork.__exit__(None, None, None)
        return model

    return case


def loop_of(case: Any, **options: Any) -> Loop:
    return make_loop(case, points(), **options)


# --- cohorts --------------------------------------------------------------------------------------


class Penalised(Own):
    """With E ‖∇U‖ of data, as one run has it: over all but the first axis."""

    def norms(self, gradient: Tensor, context: Context) -> Tensor:
        return gradient.flatten(1).norm(dim=1)

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        u = potential(energy, stream="real", members=context.members)
        _, gradient = value_and_gradient(u, batch.x, members=context.members, create_graph=True)
        loss = super().energy_loss(energy, batch, draw, context)
        norm = self.norms(gradient, context).reshape(context.members, -1).mean(-1)
        return Loss(loss.total + norm, {"gradient_norm": norm})


class PenalisedByMember(Penalised):
    def norms(self, gradient: Tensor, context: Context) -> Tensor:
        return context.events(gradient).norm(dim=-1)


class FirstMemberAlone(Own):
    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return super().contrast(real[:1], fake[:1], context).expand(context.members)


def both_ways(objective: type[Own]) -> tuple[Loop, Loop]:
    case, seeds = gan(objective), [0, 1]
    return make_loop(case, points(), seeds), make_loop(case, points(), seeds[1:])


@pytest.mark.parametrize("objective", [Own, PenalisedByMember])
def test_code_that_takes_the_member_axis_trains_in_a_cohort(objective: type[Own]) -> None:
    check_member(*both_ways(objective))


@pytest.mark.parametrize(
    ("objective", "said"),
    [(Penalised, "gradient_energy|gradient_norm"), (FirstMemberAlone, "loss_energy|gradient")],
)
def test_code_that_takes_the_member_axis_for_the_batch_is_refused(
    objective: type[Own], said: str
) -> None:
    with pytest.raises(SettingError, match=rf"a seed has ({said})\S* .*as separate runs"):
        check_member(*both_ways(objective))


MODULE = """
from contract.test_own_code import Penalised, gan
from energan.core import Config

def build(config, domain):
    return gan(Penalised)(0)
"""


def test_seeds_of_ones_own_model_are_compared_before_they_train_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "penalised_gan.py").write_text(MODULE)
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(40, 4)))
    monkeypatch.syspath_prepend(tmp_path)
    job = load(None, "penalised_gan").changed(
        {
            "data": {"source": str(tmp_path / "points.npy")},
            "training": {"steps": 2, "batch_size": 8},
            "output": {"tensorboard": False, "sample_every": 0},
        }
    )
    folders = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(SettingError, match="trains differently with several seeds as one program"):
        start(jobs_of(job, 2), folders, progress=False)
    assert not any(folder.exists() for folder in folders)
    start([job], folders[:1], progress=False)


# --- draws of torch's own generator ---------------------------------------------------------------


class Global(Generator):
    """Latents of torch's own generator."""

    def init(self, context: Context) -> State:
        return {"bias": torch.randn(3)}

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        z = F.dropout(torch.randn(len(batch.x), 3), 0.5)
        return Draw(self.network(z + state["bias"], "fake")), state


def test_draws_of_torchs_own_generator_follow_the_seed_and_the_step(tmp_path: Path) -> None:
    case = gan(Own, Global)
    whole, interrupted = loop_of(case), loop_of(case)
    whole.run()
    torch.manual_seed(99)  # whatever the process drew meanwhile
    for _ in range(4):
        interrupted.advance()
        interrupted.estimate_statistics()
    path = checkpoint.save(tmp_path, interrupted)
    resumed = loop_of(case)
    checkpoint.restore(path, resumed)
    resumed.run()
    assert_identical(snapshot(whole), snapshot(resumed))
    other = make_loop([case(0)], points(), [1])
    assert not torch.equal(other.state["bias"], whole.state["bias"])


# --- precision ------------------------------------------------------------------------------------


class Spy(Own):
    seen: Draw | None = None
    """Of the sampler's loss."""
    resting: Draw | None = None

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        self.resting = draw
        return super().energy_loss(energy, batch, draw, context)

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        self.seen = draw
        return super().sampler_loss(energy, batch, draw, context)


class Coded(Generator):
    """Hands its latents on."""

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        z = context.generator.normal(len(batch.x), 3).requires_grad_()
        return Draw(self.network(z, "fake"), extra={"code": 2 * z}), state


def test_objectives_see_draws_in_full_precision_and_what_the_sampler_hands_on() -> None:
    loop = loop_of(gan(Spy, Coded), dtype="bf16")
    loop.advance()
    objective = loop.objective
    assert isinstance(objective, Spy)
    assert objective.seen is not None
    assert objective.resting is not None
    for draw in (objective.seen, objective.resting):
        assert draw.x.dtype == torch.float32
        assert draw.extra["code"].shape == (8, 3)
    assert objective.seen.extra["code"].requires_grad
    assert not objective.resting.extra["code"].requires_grad
    assert "code" not in loop.flush_figures()[0][1]


# --- the state of an objective --------------------------------------------------------------------


class Counting(Own):
    """Weighs the loss by a running mean of the signs of U on data."""

    def init(self, context: Context) -> State:
        return {"sign": torch.zeros(context.members)}

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        loss = super().energy_loss(energy, batch, draw, context)
        real = context.rows(energy(batch.x, stream="real").energy)
        self.state = {"sign": self.state["sign"].lerp(real.detach().sign().mean(-1), 0.1)}
        return Loss(loss.total * (2 + self.state["sign"]), {"sign": self.state["sign"]})


def test_the_state_of_an_objective_is_kept_in_checkpoints(tmp_path: Path) -> None:
    case = gan(Counting)
    whole, interrupted, resumed = loop_of(case), loop_of(case), loop_of(case)
    whole.run()
    for _ in range(4):
        interrupted.advance()
    kept = float(interrupted.objective_state["sign"])
    assert kept != 0
    checkpoint.restore(checkpoint.save(tmp_path, interrupted), resumed)
    assert float(resumed.objective_state["sign"]) == kept
    resumed.run()
    assert_identical(snapshot(whole), snapshot(resumed))
    torch.testing.assert_close(whole.objective_state, resumed.objective_state, rtol=0, atol=0)


def test_a_member_has_its_part_of_the_state() -> None:
    case = gan(Counting)
    built = [case(0), case(1)]
    together = make_loop(built, points(), [0, 1])
    member = Member(together, 1, built[1], together.statistics_feed)
    alone = make_loop(case, points(), [1])
    together.advance()
    alone.advance()
    torch.testing.assert_close(member.objective_state["sign"], alone.objective_state["sign"][0])
    member.objective_state = {"sign": torch.tensor(0.5)}
    assert together.objective_state["sign"][1] == 0.5


# --- what the contracts refuse --------------------------------------------------------------------


class Given(Chains):
    """Chains whose draw and state `change` has its way with."""

    def __init__(self, change: Callable[[Draw, State], object]) -> None:
        super().__init__()
        self.change = change

    def draw(self, *args: Any) -> Any:
        return self.change(*super().draw(*args))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda draw, state: draw, r"must return \(a Draw or None, the state\), and returned Draw"),
        (lambda draw, state: (draw.x, state), "must return a Draw or None, and returned float32"),
        (lambda draw, state: (replace(draw, x=draw.x[:, :3]), state), r"\(8, 4\), and is \(8, 3\)"),
        (lambda draw, state: (replace(draw, info={"z": draw.x}), state), "info 'z'.*Draw.extra"),
        (lambda draw, state: (draw, {}), r"float32 \(32, 4\), and became nothing"),
        (lambda draw, state: (draw, {"buffer": state["buffer"][:5]}), r"became buffer float32 \(5"),
    ],
)
def test_a_draw_of_another_kind_is_one_sentence(
    change: Callable[[Draw, State], object], said: str
) -> None:
    loop = loop_of(lambda seed: Model(Quadratic(), Given(change), Difference()))
    with pytest.raises(SettingError, match=rf"^Given\.draw.*{said}"):
        loop.advance()


class Returning(Difference):
    def __init__(self, change: Callable[[Loss], object]) -> None:
        self.change = change

    def energy_loss(self, *args: Any) -> Any:
        return self.change(super().energy_loss(*args))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda loss: loss.total, r"must return a Loss, and returned float32 \(1,\)"),
        (
            lambda loss: Loss(3.0),
            r"total must return one number for each member, \(1,\), and returned f",
        ),
        (lambda loss: Loss(loss.total.expand(8)), r"\(1,\), and returned float32 \(8,\)"),
        (lambda loss: Loss(loss.total, {"a": 3}), "parts 'a' must return one number.*returned int"),
        (lambda loss: Loss(loss.total, [3]), "parts must return named values.*returned list"),
    ],
)
def test_a_loss_of_another_kind_is_one_sentence(
    change: Callable[[Loss], object], said: str
) -> None:
    loop = loop_of(lambda seed: Model(Quadratic(), Chains(), Returning(change)))
    with pytest.raises(SettingError, match=rf"^Returning\.energy_loss.*{said}"):
        loop.advance()


def test_a_loss_without_axes_and_parts_with_a_graph_are_taken() -> None:
    def change(loss: Loss) -> Loss:
        return Loss(loss.total.squeeze(), {"part": 2 * loss.total.squeeze()})

    loop = loop_of(lambda seed: Model(Quadratic(), Chains(), Returning(change)))
    loop.advance()
    ((_, figures),) = loop.flush_figures()
    assert figures["part"] == pytest.approx(2 * figures["loss_energy"])


class Wrong(Energy):
    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.layer, self.change = nn.Linear(4, 1), change

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Any:
        return self.change(self.layer(x).squeeze(-1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda u: u, r"a Scored, and returned float32 \(8,\)"),
        (lambda u: Scored(u.mean()), r"energies of 8 examples, and returned float32 \(\)"),
        (lambda u: Scored(None), "energies of 8 examples, and returned NoneType"),
    ],
)
def test_a_score_of_another_kind_is_one_sentence(
    change: Callable[[Tensor], object], said: str
) -> None:
    class Constant(Sampler):
        def draw(
            self, energy: Energy, batch: Batch, state: State, context: Context
        ) -> tuple[Draw | None, State]:
            return Draw(batch.x), state

    loop = loop_of(lambda seed: Model(Wrong(change), Constant(), Difference()))
    with pytest.raises(SettingError, match=rf"^Wrong\.forward must return {said}"):
        loop.advance()


def test_the_check_of_scores_is_gone_after_the_first_step() -> None:
    loop = make_loop(chain_model, points())
    assert len(loop.energy._forward_hooks) == 1
    loop.advance()
    assert not loop.energy._forward_hooks


# --- networks of torch's own layers ---------------------------------------------------------------


@pytest.mark.parametrize("network", [nn.Linear(4, 1), nn.Sequential(nn.Linear(4, 8), nn.ReLU())])
def test_a_network_of_torchs_own_layers_trains(network: nn.Module) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = network, nn.LazyLinear(1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.inner(x))

    for built in (Plain(), nn.Sequential(network, nn.LazyLinear(1), nn.Dropout(0.2))):
        built(torch.zeros(1, 4))
        generator = Generator(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4)), 3)
        loop = loop_of(lambda seed, b=built, g=generator: Model(Logit(b), g, Own()))
        loop.run()
        assert loop.step == 10
        assert loop.sampler.sample(loop.energy, 5, None, {}, loop.context()).x.shape == (5, 4)
