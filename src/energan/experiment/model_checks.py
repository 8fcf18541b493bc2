"""What a model must do to train, resume and be evaluated rightly, asked of small loops.

The contract tests ask it of every model of the package, `energan check` of one's own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from energan.core import Batch, Config, SettingError, describe
from energan.data import DataSet, open_data
from energan.experiment.build import build, loop_of
from energan.experiment.margin import with_any_margin
from energan.experiment.settings import Job, load
from energan.training import checkpoint
from energan.training.cohort_check import check_member
from energan.training.device import Device
from energan.training.loop import Loop

MakeLoop = Callable[[Sequence[int]], Loop]
"""Seeds -> a new loop of the model with STEPS steps; several seeds train together."""
Check = Callable[[MakeLoop], str]
"""Returns a remark, or "". Raises SettingError if something is wrong."""
STEPS, RESUMED_AT, SAMPLES = 10, 4, 5
SOURCES: tuple[dict[str, str], ...] = (
    {"source": "ring"}, {"source": "digits"}, {"source": "digits", "range": "unit"},
)  # fmt: skip
"""Data that a model is checked on: the first that it takes."""


def check_training(make: MakeLoop) -> str:
    """it trains: losses stay finite and both networks move"""
    loop = make([0])
    before = _parameters(loop)
    loop.run()
    for step, figures in loop.flush_figures():
        for name, values in figures.items():
            _ask(bool(values.isfinite().all()), f"{name} is not finite at step {step}")
    after = _parameters(loop)
    still = [name for name in before if torch.equal(before[name], after[name])]
    for network in ("energy", "sampler"):
        own = {name for name in before if name.startswith(f"{network}.")}
        _ask(not own or not own <= {*still}, f"no weight of the {network} changed in {STEPS} steps")
    return f"never changed: {', '.join(still)}" if still else ""


def check_shapes(make: MakeLoop) -> str:
    """what it gives has the shapes of the contracts"""
    loop = make([0])
    batch = loop.feed(0, 0, 1)
    scored = loop.energy(batch.x, batch.condition, stream="real")
    for name, value in {"code": scored.code, "logits": scored.logits}.items():
        fits = value is None or (value.dim() == 2 and len(value) == len(batch.x))
        _ask(fits, f"Scored.{name} must be ({len(batch.x)}, numbers): it is {_shape(value)}")
    fits = scored.reconstruction is None or scored.reconstruction.shape == batch.x.shape
    _ask(
        fits,
        f"Scored.reconstruction must have the shape of x, and has {_shape(scored.reconstruction)}",
    )
    promised = _types(loop.sampler.empty_state())
    _ask(promised in ({}, _types(loop.state)), "empty_state must have the shapes of init's state")
    loop.estimate_statistics()
    made, wanted = _samples(loop, batch), (SAMPLES, *batch.x.shape[1:])
    _ask(
        made is None or made.shape == wanted,
        f"sample must return {wanted}, and returned {_shape(made)}",
    )
    return "" if made is not None else "it makes no samples"


def check_seeds(make: MakeLoop) -> str:
    """the same seed trains the same, another seed another run"""
    first, second, other = make([0]), make([0]), make([1])
    for loop in (first, second, other):
        loop.advance()
    _ask_same(first, second, "two runs with the same seed differ after one step")
    _ask(not _same(first, other), "two seeds give the same run")
    return ""


def check_resume(make: MakeLoop) -> str:
    """a resumed run equals one that never stopped, bit for bit"""
    whole, interrupted, resumed = make([0]), make([0]), make([0])
    whole.run()
    for _ in range(RESUMED_AT):
        interrupted.advance()
    resumed.advance()  # what a loop that had gone elsewhere carries is forgotten
    with TemporaryDirectory() as folder:
        checkpoint.restore(checkpoint.save(Path(folder), interrupted), resumed)
    resumed.run()
    _ask_same(whole, resumed, "a resumed run differs from an uninterrupted one")
    return ""


def check_looking(make: MakeLoop) -> str:
    """samples and checkpoints on the way change nothing"""
    plain, watched = make([0]), make([0])
    for _ in range(STEPS // 2):
        plain.advance()
        watched.advance()
        watched.estimate_statistics()
        _samples(watched, watched.feed(0, 0, 1))
    _ask_same(plain, watched, "a run that is sampled during training trains differently")
    return ""


def check_evaluation(make: MakeLoop) -> str:
    """energies in stream "eval" are near those of training"""
    loop = make([0])
    loop.run()
    loop.estimate_statistics()
    batch = loop.statistics_feed(0)
    with torch.no_grad():
        trained = loop.energy(batch.x, batch.condition, stream="real").energy
        scored = loop.energy(batch.x, batch.condition, stream="eval")
    # an energy may be of cells in training, and pooled from them in evaluation
    evaluated = scored.map if trained.dim() > 1 and scored.map is not None else scored.energy
    here, there = float(trained.mean()), float(evaluated.mean())
    spread = float(trained.std() + 0.1 * trained.abs().mean())
    wrong = f'the data has mean energy {here:.4g} in training and {there:.4g} in stream "eval"'
    _ask(abs(here - there) <= spread, wrong)
    return ""


def check_cohort(make: MakeLoop) -> str:
    """several seeds train as one program as they do alone, or are refused"""
    try:
        together = make([0, 1])
        check_member(together, make([1]))
    except SettingError as error:
        return f"seeds train one by one: {error}"
    return ""


CHECKS: tuple[Check, ...] = (
    check_training, check_shapes, check_seeds, check_resume, check_looking, check_evaluation,
    check_cohort,
)  # fmt: skip


def check_model(name: str, source: str | None = None) -> Iterator[tuple[str, str, str]]:
    """(what is asked, what is wrong, a remark) of each check of a model; "" for nothing.

    The model is at its settings `Config.tiny()`, if it has them. source: of data; the first of
    SOURCES that it takes if not given. Raises SettingError if it takes none.
    """
    make = _loops(name, SOURCES if source is None else ({"source": source},))
    for check in CHECKS:
        wrong = remark = ""
        try:
            remark = check(make)
        except SettingError as error:
            wrong = str(error)
        except Exception as error:  # of code of one's own: whatever it runs into
            wrong = f"{type(error).__name__}: {describe(error)}"
        yield (check.__doc__ or "").strip(), wrong, remark


def _loops(name: str, sources: Sequence[dict[str, str]]) -> MakeLoop:
    refused: SettingError | None = None
    for given in sources:
        job = _tiny(load(None, name).changed({"data": given}))
        data = open_data(job.settings.data)
        make = _loops_on(job, data)
        try:
            make([0])
        except SettingError as error:
            refused = refused or error
        else:
            return make
    assert refused is not None
    raise SettingError(f"{refused}; give data that the model takes with --data")


def _tiny(job: Job) -> Job:
    """The job with the model's small settings, for STEPS steps."""
    training = {"steps": STEPS, "batch_size": 8, "ema_every": 2}
    job = job.changed({"training": training})
    tiny = getattr(type(job.settings.model), "tiny", None)
    if tiny is not None:
        small: Config = tiny()
        job = replace(job, settings=job.settings.model_copy(update={"model": small}))
    return with_any_margin(job)


def _loops_on(job: Job, data: DataSet) -> MakeLoop:
    engine = Device(torch.device("cpu"), "32", torch.get_num_threads())

    def make(seeds: Sequence[int]) -> Loop:
        built = [build(job, data.domain, seed) for seed in seeds]
        return loop_of(built, job.settings.training, data, engine, seeds)

    return make


def _samples(loop: Loop, batch: Batch) -> Tensor | None:
    condition = None if batch.condition is None else batch.condition[:SAMPLES]
    made = loop.sampler.sample(loop.energy, SAMPLES, condition, loop.state, loop.context("samples"))
    return None if made is None else made.x


def _parameters(loop: Loop) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in loop.networks.named_parameters()}


def _carried(loop: Loop) -> dict[str, Tensor]:
    """Whatever a loop carries from step to step."""
    averages: dict[str, Tensor] = (
        {} if loop.ema is None else dict(loop.averaged().named_parameters())
    )
    optimisers = {name: own.state() for name, own in loop.optimisers.items()}
    groups: dict[str, dict[str, Tensor]] = {
        "averaged": averages, **optimisers, "state": loop.state, "objective": loop.objective_state
    }  # fmt: skip
    of_groups = {f"{of} {name}": v for of, group in groups.items() for name, v in group.items()}
    return {**_parameters(loop), **of_groups}


def _same(a: Loop, b: Loop) -> bool:
    own, other = _carried(a), _carried(b)
    return own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)


def _ask_same(a: Loop, b: Loop, wrong: str) -> None:
    _ask(_same(a, b), f"{wrong}: draw from context.generator, and keep nothing except the state")


def _ask(fits: bool, wrong: str) -> None:
    if not fits:
        raise SettingError(wrong)


def _shape(value: Tensor | None) -> object:
    return None if value is None else tuple(value.shape)


def _types(state: dict[str, Tensor]) -> dict[str, object]:
    return {name: (value.shape, value.dtype) for name, value in state.items()}
