"""Blow-ups of chains: figures of sound runs, and of runs that went wild (docs/guides/health.md)."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from energan.core import BlowUpError, DivergenceError
from energan.io.run_folder import RunFolder
from energan.training import divergence
from energan.training.distributed import ALONE
from energan.training.divergence import Guard, Window
from energan.training.hooks import Log
from energan.training.loop import Loop

Row = tuple[float, ...]


def rows(figures: list[Row]) -> list[dict[str, float]]:
    """(U real, U fake, weights' gradient, chains' gradient[, saturation, the data's])"""
    names = ("energy_real", "energy_fake", "gradient_energy", "chain_gradient",
             "chain_saturation", "data_saturation")  # fmt: skip
    return [dict(zip(names, row, strict=False)) for row in figures]


# As logged, event after event from the first, by sound runs; the last is repeated.
SOUND: dict[str, tuple[float, list[Row]]] = {
    "igebm-ring, λ 0.01": (0.01, [
        (2.82, 8.67, 3.38, 5.41), (3.31, 16.8, 3.66, 15), (-5.64, 7.8, 8.4, 21),
        (-7.61, 0.268, 7.17, 17.5), (-7.23, -1.69, 4.94, 12.5), (-5.79, 1.29, 5.41, 16.4)]),
    "igebm-ring on moons, a gap of 30 at once": (0.01, [
        (0.327, 3.57, 4.37, 1.77), (-0.1, 15, 5, 8), (-0.508, 29.5, 5.6, 16.5)]),
    "igebm-ring, rate 0.03, at the penalty's edge": (0.01, [
        (-1.64, 17.1, 0.71, 15.6), (-24.6, 23.5, 16.9, 41.7), (-25.7, 22.9, 12.2, 40.7),
        (-17.7, 17.5, 7.4, 30.8)]),
    "igebm-ring by MALA, λ 0.001": (0.001, [
        (11.2, 19, 8.31, 21.8), (-18.1, -14.3, 10.9, 18), (-11.5, -10.7, 9.34, 20),
        (-8.52, -7.72, 7.94, 37.2)]),
    "igebm-mnist": (0.1, [
        (-0.194, 0.0179, 0.934, 0.0587, 0.269, 0.816), (-0.351, -0.0511, 4.93, 0.15, 0.632, 0.818),
        (-0.173, -0.0174, 4.54, 0.168, 0.746, 0.818), (-0.0324, 0.0373, 5.31, 0.166, 0.823, 0.817),
        (-0.00291, 0.0175, 0.72, 0.112, 0.828, 0.814),
        (-0.006, -0.003, 0.264, 0.108, 0.807, 0.815)]),
    "igebm-mnist on digits": (0.1, [
        (0.0283, 0.0294, 0.171, 0.0201, 0.44, 0.58), (0.00165, 0.0017, 0.0561, 0.0216, 0.569, 0.58),
        (0.000364, 0.000589, 0.0297, 0.019, 0.575, 0.581)]),
    "a small network on the ring, λ 0.1": (0.1, [
        (0.056, 0.0637, 0.133, 0.0521), (-0.0486, -0.00636, 0.143, 0.26),
        (-0.118, 0.266, 0.652, 0.712),
        (-0.372, 0.573, 0.704, 1.84), (-0.402, 0.445, 0.589, 3.85), (-0.454, 0.479, 0.972, 9.64)]),
}  # fmt: skip
# The same of runs that went wild.
WILD: dict[str, list[Row]] = {
    "rate 0.01, no penalty": [
        (-0.489, -0.306, 0.112, 0.852), (-2.6, -2.1, 1.13, 4.05), (-3.68, -2.89, 0.958, 5.36),
        (-4.88, -4.01, 1.11, 6.93), (-8.78, -7.68, 2.64, 9.98), (-12.9, -11.1, 3.31, 17),
        (-27, -12.2, 7.41, 43.2), (-171, -6.53, 34.6, 121), (-585, 132, 83.9, 233)],
    "rate 0.1, no penalty": [
        (-1.28, -1.99, 0.112, 4.61), (0.734, 0.401, 1.55, 4.75), (2.85, 2.93, 1.06, 7.62),
        (6.75, 6.27, 11.2, 21.5), (3.88, 3.63, 19, 25.7), (440, 5480, 20.4, 485)],
}  # fmt: skip


def windows(figures: list[dict[str, float]], penalty: float | None, every: int) -> Iterator[Window]:
    events = [(every * i, f) for i, f in enumerate(figures, 1)]
    for i, (_, now) in enumerate(events):
        yield Window(now, events[:i], every, penalty)


def found(figures: list[dict[str, float]], penalty: float | None = None, every: int = 100) -> str:
    for seen in windows(figures, penalty, every):
        for name, rule in divergence.RULES.items():
            if rule(seen):
                return name
    return ""


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("every", [1, 20, 100, 1000])
def test_sound_runs_are_left_alone(name: str, every: int) -> None:
    penalty, figures = SOUND[name]
    noise = random.Random(0)
    told = rows(figures + figures[-1:] * 60)
    for f in told:
        for key in ("energy_real", "energy_fake", "gradient_energy", "chain_gradient"):
            f[key] *= noise.lognormvariate(0, 0.3)
    assert not found(told, penalty, every)


@pytest.mark.parametrize("name", WILD)
def test_wild_runs_are_caught_before_their_energies_are_garbage(name: str) -> None:
    figures = rows(WILD[name])
    assert found(figures, 0.0) == "exploded"
    assert not found(figures[: 6 if "0.01" in name else 5], 0.0)


# No system, but each figure on its own: it grows tenfold an event, all others stay.
@pytest.mark.parametrize(
    ("grows", "words"),
    [
        ("energy_fake", "energy gap"),
        ("both", "the energy |U|"),
        ("chain_gradient", "chains' gradient"),
        ("gradient_energy", "weights' gradient"),
    ],
)
@pytest.mark.parametrize("start", [1e-6, 0.1, 3.0])
def test_whatever_explodes_is_named_with_its_numbers(grows: str, words: str, start: float) -> None:
    figures = rows([(-start, start, start, start)] * 25)
    names = ("energy_fake", "energy_real") if grows == "both" else (grows,)
    for i in range(12):
        figures.append(figures[-1] | {n: abs(start) * 10.0**i for n in names})
    told = [f for seen in windows(figures, 1.0, 100) if (f := divergence.exploded(seen))]
    assert words in told[0].says
    assert told[0].since % 100 == 0
    assert "limit" in told[0].says


def test_a_single_outlier_before_does_not_hide_an_explosion() -> None:
    figures = rows([(-0.1, 0.1, 1, 1)] * 10 + [(0, 15, 1, 1)] + [(-0.1, 0.1, 1, 1)] * 3)
    assert not found(figures)
    assert found(figures + rows([(0, 101, 1, 1)])) == "exploded"


@pytest.mark.parametrize(
    ("chains", "data", "sick"),
    [(0.999, 0.815, True), (1.0, 0.02, True), (0.97, 0.02, True), (0.90, 0.02, False),
     (0.83, 0.815, False), (1.0, 0.995, False), (0.0, 0.815, False)],
)  # fmt: skip
def test_saturation_is_told_by_what_the_data_has(chains: float, data: float, sick: bool) -> None:
    well = rows([(-0.1, 0.1, 1, 0.1, 0.5 * data, data)] * 5)
    figures = well + rows([(-0.1, 0.1, 1, 0.1, chains, data)] * 2)
    assert not found(figures)
    figures += figures[-1:]
    assert found(figures) == ("saturated" if sick else "")
    if sick:
        *_, last = windows(figures, None, 100)
        assert (seen := divergence.saturated(last))
        assert seen.since == 500  # the last sound event


@pytest.mark.parametrize("every", [10, 100])
def test_chains_are_dead_once_their_gradient_is_gone_for_long(every: int) -> None:
    count = max(divergence.DEAD_EVENTS, divergence.DEAD_STEPS // every)
    figures = rows([(-0.1, 0.1, 1, 0.1)] * 30 + [(0, 0, 1, 1e-5)] * (count - 1))
    assert not found(figures, every=every)
    assert found(figures + figures[-1:], every=every) == "dead"
    assert not found(figures + rows([(0, 0, 1, 0.01)]), every=every)
    *_, last = windows(figures + figures[-1:], None, every)
    assert (seen := divergence.dead(last))
    assert seen.since == 30 * every


# --- the hook -------------------------------------------------------------------------------------


class Told:
    """A loop of which the guard sees the step and the settled figures."""

    ranks = ALONE

    def __init__(self) -> None:
        self.step = 0

    def flush_figures(self) -> list[Any]:
        return []

    def scheduled(self, name: str, step: int) -> float | None:
        return None


def watched(tmp_path: Path) -> tuple[Log, Guard, Any]:
    log = Log(RunFolder(tmp_path), 100)
    hook = Guard(log, 1000)
    log.listeners.append(hook)
    loop = Told()
    hook.start(cast(Loop, loop))
    return log, hook, loop


def tell(log: Log, hook: Guard, loop: Any, step: int, figures: dict[str, float]) -> None:
    loop.step = step
    log.latest = figures
    if step % log.every == 0:
        log.tell("step", step, figures)
    hook.step(loop)


SANE = dict.fromkeys(divergence.WATCHED[:4], 1 / 3)
MAD = SANE | {"energy_fake": 1e4}


def test_a_resume_sees_what_the_run_saw_and_a_rollback_forgets(tmp_path: Path) -> None:
    log, hook, loop = watched(tmp_path)
    noise = random.Random(1)
    for step in range(100, 1600, 100):
        tell(log, hook, loop, step, {n: noise.gauss(0, 1) for n in SANE})
    log.tell("score", 1500, {"held_out_energy": 1.0})
    _, again, _ = watched(tmp_path)
    assert again.history == hook.history
    assert len(again.history) == 15
    log.folder.append("rollback", step=1000, rate_scale=0.5)
    tell(log, hook, loop, 1100, SANE)
    _, again, _ = watched(tmp_path)
    assert again.history == hook.history
    assert [step for step, _ in again.history] == [*range(100, 1200, 100)]


def test_it_stops_with_where_to_go_back_to(tmp_path: Path) -> None:
    log, hook, loop = watched(tmp_path)
    for step in range(100, 600, 100):
        tell(log, hook, loop, step, SANE)
    with pytest.raises(BlowUpError, match=r"gap .* 1e\+04 .* at step 600") as caught:
        tell(log, hook, loop, 600, MAD)
    assert caught.value.since == 500
    assert isinstance(caught.value, DivergenceError)


def test_the_step_of_a_checkpoint_is_looked_at_by_itself(tmp_path: Path) -> None:
    log, hook, loop = watched(tmp_path)
    hook.checkpoint_every = 250
    tell(log, hook, loop, 200, SANE)
    tell(log, hook, loop, 230, MAD)  # nothing is logged or saved here
    with pytest.raises(BlowUpError, match="at step 250"):
        tell(log, hook, loop, 250, MAD)
    loop.step = 270
    with pytest.raises(BlowUpError, match="at step 270"):
        hook.finish(loop)


def test_models_without_chains_are_left_alone(tmp_path: Path) -> None:
    log, hook, loop = watched(tmp_path)
    del (plain := dict(MAD))["chain_gradient"]
    for step in range(100, 2100, 100):
        tell(log, hook, loop, step, {n: v * step**3 for n, v in plain.items()})
    assert hook.history == []


def test_a_loop_that_is_stopped_between_log_events_leaves_no_trace(tmp_path: Path) -> None:
    log, hook, loop = watched(tmp_path)
    tell(log, hook, loop, 100, SANE)
    log.tell("step", 130, SANE)
    _, again, _ = watched(tmp_path)
    assert again.history == hook.history == [(100, divergence._watched(SANE))]


def test_figures_that_are_missing_stop_nothing() -> None:
    # chains of data without bounds, steps without a look at the gradients, and the like
    for missing in set(divergence.WATCHED) - {"chain_gradient", "data_saturation"}:
        figures = rows([(-0.1, 0.1, 1, 0.1, 0.4, 0.8)] * 30)
        for f in figures:
            f.pop(missing, None)
        assert not found(figures)


@pytest.mark.parametrize(("accepted", "sick"), [(0.5, False), (0.06, False), (0.04, True)])
def test_chains_are_stuck_once_hardly_a_move_is_accepted(accepted: float, sick: bool) -> None:
    """As a ring whose walls grew too steep for MALA: 70 % of moves, then 2 %, and U ran away."""
    sound = [SANE | {"chain_acceptance": 0.7} for _ in range(30)]
    assert found(sound) == ""
    told = found([*sound, *(SANE | {"chain_acceptance": accepted} for _ in range(6))])
    assert ("stuck" in told) == sick
    once = found([*sound, SANE | {"chain_acceptance": 0.0}, *sound])
    assert once == ""


def test_a_buffer_whose_chains_all_start_anew_has_lost_them() -> None:
    """In the beginning all are young; later their age is K over the share of restarts."""
    growing = [SANE | {"chain_age": 40.0 * i} for i in range(1, 40)]
    assert found(growing) == ""
    assert found([*growing, *(SANE | {"chain_age": 41.0} for _ in range(6))]) == "stuck"
