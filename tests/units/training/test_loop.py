"""The loop's own parts: engine, optimisers, averaging, finite checks, the traps of calibration."""

from copy import deepcopy

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from energan import models
from energan.core import (
    Batch,
    Context,
    DivergenceError,
    Draw,
    Energy,
    Loss,
    Model,
    Optimiser,
    SettingError,
    calibrating,
)
from energan.training.cohort import stack
from energan.training.device import Device, EngineSettings, choose, native_bf16
from energan.training.loop import NORMS_EVERY
from energan.training.optimisers import Optimisers
from support.helpers import DOMAINS, Case, make_loop, model_case, small_data

# --- engine ---------------------------------------------------------------------------------------


def test_the_engine_chooses_and_full_precision_can_be_forced() -> None:
    threads = torch.get_num_threads()
    auto = choose(EngineSettings(threads=1))
    assert auto.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert auto.precision == ("bf16" if native_bf16(auto.device) else "32")
    assert choose(EngineSettings(precision="32", threads=1)).precision == "32"
    assert choose(EngineSettings(precision="64", threads=1)).dtype == torch.float64
    torch.set_num_threads(threads)


@pytest.mark.parametrize("device", ["gpu", "tpu:0", "mps"])
def test_a_device_that_is_not_there_is_a_setting_error(device: str) -> None:
    with pytest.raises(SettingError, match=r"engine\.device"):
        choose(EngineSettings(device=device))


def test_half_precision_runs_and_its_losses_are_float32() -> None:
    """bf16 is emulated where it is not native: slow, but the same path."""
    case, data = model_case("ebgan")
    loop = make_loop(case, data, steps=3, dtype="bf16")
    seen: list[torch.dtype] = []
    inner = loop.objective.energy_loss

    def spy(*args: object) -> Loss:
        loss = inner(*args)  # type: ignore[arg-type]
        seen.append(loss.total.dtype)
        return loss

    loop.objective.energy_loss = spy  # type: ignore[method-assign,assignment]
    loop.run()
    assert seen == [torch.float32] * 3
    assert all(p.dtype == torch.float32 for p in loop.networks.parameters())


# --- optimisers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_stacked_updates_equal_torchs(kind: str) -> None:
    torch.manual_seed(1)
    rates, momenta = [0.01, 0.3, 0.002], [0.0, 0.5, 0.9]
    members = [nn.Linear(3, 2).double() for _ in rates]
    for layer in members:
        layer.takes_members = True  # type: ignore[assignment]
    together = stack(members)
    settings = [
        Optimiser(kind=kind, lr=r, momentum=m)  # type: ignore[arg-type]
        for r, m in zip(rates, momenta, strict=True)
    ]
    optimisers = Optimisers(together, settings)
    if kind == "adam":
        singles = [
            torch.optim.Adam(m.parameters(), lr=r, betas=(0.5, 0.999))
            for m, r in zip(members, rates, strict=True)
        ]
    else:
        singles = [
            torch.optim.SGD(m.parameters(), lr=r, momentum=mu)
            for m, r, mu in zip(members, rates, momenta, strict=True)
        ]
    for t in range(6):
        for (_, p), *own in zip(
            together.named_parameters(), *[m.parameters() for m in members], strict=True
        ):
            p.grad = torch.randn_like(p)
            for q, g in zip(own, p.grad, strict=True):
                q.grad = g.clone()
        optimisers.step(t, torch.ones(3))
        for single in singles:
            single.step()
    for (_, p), *own in zip(
        together.named_parameters(), *[m.parameters() for m in members], strict=True
    ):
        for got, wanted in zip(p, own, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_adamw_equals_torchs_with_its_numbers_on_schedules() -> None:
    layer = nn.Linear(3, 2).double()
    alone = deepcopy(layer)
    settings = Optimiser(
        kind="adamw", lr=0.1, beta1=0.3, beta2="linear(0.9, 0.5, 4)", weight_decay="linear(1, 0, 4)"
    )
    optimisers = Optimisers(layer, [settings])
    reference = torch.optim.AdamW(alone.parameters(), lr=0.1)
    for t in range(6):
        for p, q in zip(layer.parameters(), alone.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        optimisers.step(t, torch.ones(1))
        share = min(t / 4, 1)
        for group in reference.param_groups:
            group["betas"], group["weight_decay"] = (0.3, 0.9 - 0.4 * share), 1 - share
        reference.step()
    for p, q in zip(layer.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_weight_decay_is_refused_of_other_optimisers() -> None:
    with pytest.raises(ValidationError, match="weight_decay needs adamw"):
        Optimiser(kind="adam", weight_decay=0.01)


def test_averages_keep_the_share_that_their_schedule_says() -> None:
    """After a jump to 0 the averaged weights are the weights; before, they lag behind."""
    case, data = model_case("ebgan")
    loop = make_loop(case, data, ema="linear(0.99, 0, 0, 3)", ema_every=1)
    for last in (False, True):
        loop.advance()
        loop.advance()
        pairs = zip(loop.networks.parameters(), loop.averaged().parameters(), strict=True)
        assert all(torch.equal(raw, mean) for raw, mean in pairs) == last


def test_rates_follow_their_schedules_and_the_scale() -> None:
    layer = nn.Linear(1, 1, bias=False)
    optimisers = Optimisers(layer, [Optimiser(kind="sgd", lr="linear(1, 0, 4)")])
    moved = []
    for t in range(4):
        before = layer.weight.item()
        layer.weight.grad = torch.ones_like(layer.weight)
        optimisers.step(t, torch.tensor([0.5]))
        moved.append(before - layer.weight.item())
    assert moved == pytest.approx([0.5, 0.375, 0.25, 0.125])


def test_clipping_bounds_the_norm_over_all_parameters() -> None:
    layer = nn.Linear(4, 3)
    optimisers = Optimisers(layer, [Optimiser(kind="sgd", lr=1.0, clip=0.5)])
    for p in layer.parameters():
        p.grad = torch.full_like(p, 10.0)
    optimisers.step(0, torch.ones(1))
    norm = torch.stack([p.grad.norm() for p in layer.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-4)


def test_norms_of_gradients_are_logged_now_and_then() -> None:
    """Those of the whole gradient of each network, before clipping; of SGD, what it moves by."""
    sgd = {"kind": "sgd", "lr": 0.001}
    found = models.find("gan")
    tiny = found.config.tiny()
    config = found.config.model_validate(
        {**tiny.model_dump(), "energy_optimiser": sgd, "sampler_optimiser": sgd}
    )
    data = small_data(DOMAINS[1])
    loop = make_loop(lambda seed: found.build(config, data.domain), data, dtype="64", ema=0)
    for step in range(NORMS_EVERY + 1):
        before = {n: p.detach().clone() for n, p in loop.networks.named_parameters()}
        loop.advance()
        [(_, figures)] = loop.flush_figures()
        assert ("gradient_energy" in figures) == (step % NORMS_EVERY == 0)
        if step % NORMS_EVERY == 0:
            for name in ("energy", "sampler"):
                moved = [
                    (p.detach() - before[n]).norm()
                    for n, p in loop.networks.named_parameters()
                    if n.startswith(name)
                ]
                expected = float(torch.stack(moved).norm()) / 0.001
                assert float(figures[f"gradient_{name}"]) == pytest.approx(expected, rel=1e-6)


# --- averaged weights -----------------------------------------------------------------------------


def test_the_average_is_of_parameters_by_the_stated_decay() -> None:
    case, data = model_case("gan")
    loop = make_loop(case, data, ema=0.5, ema_every=1)
    expected: dict[str, Tensor] = {}
    for step in range(1, 13):
        loop.advance()
        decay = min(0.5, (1 + step) / (10 + step))  # reached at the 8th update
        for name, p in loop.networks.named_parameters():
            now = p.detach().clone()
            before = expected.get(name, now)
            expected[name] = decay * before + (1 - decay) * now
    assert loop.ema is not None
    for name, p in loop.ema.module.named_parameters():
        torch.testing.assert_close(p, expected[name])


class _Spectral(Energy):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.Linear(64, 1)
        self.net = torch.nn.utils.parametrizations.spectral_norm(layer)

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Draw:  # type: ignore[override]
        from energan.core import Scored

        return Scored(self.net(x.flatten(1)).squeeze(-1))  # type: ignore[return-value]


def test_trap_2_statistics_of_averaged_weights_are_measured_and_vectors_copied() -> None:
    """Batch norm of the average is calibrated on its own weights; spectral vectors are copies."""
    case, data = model_case("ebgan")
    loop = make_loop(case, data, steps=40, ema=0.9, ema_every=1)
    loop.run()
    loop.estimate_statistics()
    assert loop.ema is not None
    raw = dict(loop.networks.named_buffers())
    averaged = dict(loop.ema.module.named_buffers())
    means = [k for k in raw if k.endswith(".mean")]
    assert means
    assert any(not torch.allclose(raw[k], averaged[k]) for k in means)
    x = loop.statistics_feed(0).x
    energy = loop.ema.module["energy"]
    with torch.no_grad():
        trained = energy(x, stream="real").energy
        evaluated = energy(x, stream="eval").energy
    assert float((evaluated.mean() - trained.mean()).abs()) < float(trained.std())

    def spectral(seed: int) -> Model:
        torch.manual_seed(seed)
        model = model_case("gan")[0](seed)
        return Model(_Spectral(), model.sampler, model.objective)

    _, gan_data = model_case("gan")
    watched = make_loop(spectral, gan_data, steps=20, ema=0.9, ema_every=1)
    watched.run()
    assert watched.ema is not None
    for name, buffer in watched.networks.named_buffers():
        assert torch.equal(dict(watched.ema.module.named_buffers())[name], buffer)


def test_trap_1_fakes_never_enter_the_statistics() -> None:
    case, data = model_case("ebgan")
    loop = make_loop(case, data, steps=5)
    loop.run()
    loop.estimate_statistics()
    before = {k: v.clone() for k, v in loop.energy.named_buffers()}
    x = torch.randn(32, *data.domain.shape) * 5
    loop.energy(x, stream="fake")
    loop.energy(x, stream="real")
    for name, value in loop.energy.named_buffers():
        assert torch.equal(value, before[name])
    with calibrating(loop.energy) as needed:
        assert needed
        loop.energy(x, stream="eval")
    assert any(not torch.equal(v, before[k]) for k, v in loop.energy.named_buffers())


# --- finite checks --------------------------------------------------------------------------------


def _poisoned(case: Case, at: int) -> Case:
    def build(seed: int) -> Model:
        model = case(seed)
        inner = model.objective.energy_loss

        def energy_loss(energy: Energy, batch: Batch, draw: Draw | None, context: Context) -> Loss:
            loss = inner(energy, batch, draw, context)
            if context.step == at:
                return Loss(loss.total * float("nan"), loss.parts)
            return loss

        model.objective.energy_loss = energy_loss  # type: ignore[method-assign]
        return model

    return build


def test_a_loss_that_is_not_finite_is_named_with_its_step() -> None:
    """A fault of public copies: a non-finite loss replaced by a constant."""
    case, data = model_case("ebgan")
    loop = make_loop(_poisoned(case, at=3), data)
    for _ in range(6):
        loop.advance()
    with pytest.raises(DivergenceError, match="loss_energy is not finite at step 4"):
        loop.flush_figures()


def test_a_schedule_of_one_member_is_a_row() -> None:
    case, data = model_case("ebgan")
    loop = make_loop(case, data)
    assert loop.context().hyper["margin"].shape == (1, 1)
    assert isinstance(loop.engine, Device)


# --- threads ------------------------------------------------------------------------------------


def test_trap_3_the_thread_count_is_set_and_the_environment_is_heeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two processes of two threads each on two cores ran ten to sixty times slower than alone."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert choose(EngineSettings()).threads == torch.get_num_threads() == 1
    assert choose(EngineSettings(threads=2)).threads == torch.get_num_threads() == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert choose(EngineSettings()).threads >= 1
    torch.set_num_threads(1)
