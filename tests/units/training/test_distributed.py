"""What ranks exchange, between two real processes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from contract.stand_ins import chain_model, points
from energan.core import (
    Context,
    DivergenceError,
    Domain,
    Model,
    OtherRankError,
    Randomness,
    SettingError,
)
from energan.data.batches import Feed
from energan.data.dataset import DataSet
from energan.models import igebm_points
from energan.objectives import pull_away
from energan.training import checkpoint
from energan.training.distributed import ALONE, Distributed, join
from support.helpers import (
    DOMAINS,
    assert_identical,
    make_loop,
    model_case,
    small_data,
    snapshot,
)


def together(work: Callable[[Distributed], None], folder: Path) -> None:
    """Run `work` in two processes that have met."""
    mp.start_processes(_meet, (work, str(folder / "store")), nprocs=2, start_method="fork")


def _meet(rank: int, work: Callable[[Distributed], None], store: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    work(Distributed(rank, 2))
    dist.destroy_process_group()


def test_averages_are_means_over_the_ranks(tmp_path: Path) -> None:
    def work(ranks: Distributed) -> None:
        mine = [torch.full((2, 3), float(ranks.rank)), torch.tensor(4.0 * ranks.rank)]
        ranks.average(mine)
        assert torch.equal(mine[0], torch.full((2, 3), 0.5))
        assert float(mine[1]) == 2.0

    together(work, tmp_path)


def test_the_pulling_away_term_sees_the_codes_of_all_and_its_gradient_averages_right(
    tmp_path: Path,
) -> None:
    codes = torch.randn(1, 6, 4, dtype=torch.double, generator=torch.Generator().manual_seed(1))

    def work(ranks: Distributed) -> None:
        whole = codes.clone().requires_grad_()
        (slope,) = torch.autograd.grad(pull_away(whole).sum(), whole)
        part = slice(3 * ranks.rank, 3 * ranks.rank + 3)
        own = codes[:, part].clone().requires_grad_()
        term = pull_away(ranks.gather(own))
        torch.testing.assert_close(term, pull_away(codes))
        (mine,) = torch.autograd.grad(term.sum(), own)
        # averaged over the ranks, each contributes half of what it computes
        torch.testing.assert_close(mine / 2, slope[:, part])

    together(work, tmp_path)


def test_a_word_to_stop_reaches_all(tmp_path: Path) -> None:
    def work(ranks: Distributed) -> None:
        assert ranks.agree(None) is None
        assert ranks.agree("SIGTERM" if ranks.rank else None) == "SIGTERM"

    together(work, tmp_path)


def test_the_firsts_work_is_done_once_and_its_failure_ends_all(tmp_path: Path) -> None:
    def work(ranks: Distributed) -> None:
        def fail(error: Exception) -> None:
            raise error

        done = ranks.first(lambda: ranks.rank)
        assert done == (0 if ranks.writes else None)
        assert ranks.broadcast("mine" if ranks.writes else "not told") == "mine"
        with pytest.raises(SettingError if ranks.writes else OtherRankError, match="no such"):
            ranks.first(lambda: fail(SettingError("no such thing")))
        with pytest.raises(DivergenceError):
            ranks.first(lambda: fail(DivergenceError("inf")))

    together(work, tmp_path)


def test_a_state_that_is_not_the_same_on_all_ranks_is_refused(tmp_path: Path) -> None:
    """Of chains that each rank keeps by itself; those of the package keep them all on each."""

    def work(ranks: Distributed) -> None:
        assert ranks.same("a")
        assert not ranks.same(ranks.rank)
        case, data = model_case("igebm_points")
        make_loop(case, data, steps=2, ranks=ranks).run()
        with pytest.raises(SettingError, match="state of the sampler differs between ranks"):
            make_loop(chain_model, points(), ranks=ranks).run()

    together(work, tmp_path)


@pytest.mark.parametrize("dynamics", ["hmc", "underdamped"])
def test_chains_of_two_ranks_go_on_from_the_first_ranks_checkpoint(
    dynamics: str, tmp_path: Path
) -> None:
    changes = {"dynamics": dynamics, "target_acceptance": 0.8 if dynamics == "hmc" else None}
    config = igebm_points.Config.tiny().model_copy(update=changes)
    domain = Domain((2,), None, None)

    def case(seed: int) -> Model:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return igebm_points.build(config, domain)

    def work(ranks: Distributed) -> None:
        whole, resumed = (
            make_loop(case, small_data(domain), steps=6, ranks=ranks) for _ in range(2)
        )
        while whole.step < 3:
            whole.advance()
        path = ranks.choose(lambda: checkpoint.save(tmp_path / "kept", whole))
        checkpoint.restore(path, resumed)
        whole.run()
        resumed.run()
        assert_identical(snapshot(whole), snapshot(resumed))
        whole.check_states()

    together(work, tmp_path)


def test_alone_nothing_is_exchanged() -> None:
    x = torch.ones(3)
    ALONE.average([x])
    assert ALONE.gather(x) is x
    assert ALONE.first(lambda: 5) == 5
    assert ALONE.agree("SIGINT") == "SIGINT"
    assert join(torch.device("cpu")) is ALONE


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_ranks_draws_are_the_parts_of_one_processs_draws(ranks: int) -> None:
    whole = Randomness([5]).at(7, "train")
    parts = [Randomness([5], share=(r, ranks)).at(7, "train", split=True) for r in range(ranks)]
    for draw in (
        lambda r, n: r.normal(n, 3),
        lambda r, n: r.uniform(-1, 1, n),
        lambda r, n: r.keep(0.5, n, 2),
    ):
        assert torch.equal(draw(whole, 4 * ranks), torch.cat([draw(p, 4) for p in parts]))
    alike = [p.at("sample").normal(3) for p in parts]
    assert all(torch.equal(a, alike[0]) for a in alike)  # where nothing is split


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_ranks_batches_are_the_parts_of_one_processs_batch(ranks: int) -> None:
    data: DataSet = small_data(DOMAINS[0], count=50)
    whole = Feed(data, [3], 4 * ranks)
    parts = [Feed(data, [3], 4, share=(r, ranks)) for r in range(ranks)]
    for step in (0, 1, 9):
        assert torch.equal(whole(step).x, torch.cat([p(step).x for p in parts]))


def test_a_cohort_does_not_train_in_several_processes() -> None:
    case, data = model_case("ebgan")
    loop = make_loop(case, data, [0, 1])
    with pytest.raises(SettingError, match="seeds train together in one process"):
        type(loop)(
            [case(0), case(1)], loop.feed, loop.statistics_feed, loop.settings, loop.engine, [0, 1],
            ranks=Distributed(0, 2),
        )  # fmt: skip


def test_a_context_gathers_nothing_by_itself() -> None:
    x = torch.randn(1, 2, 3)
    assert Context(0, {}, Randomness([0])).gather(x) is x
