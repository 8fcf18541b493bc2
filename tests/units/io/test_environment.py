"""Variables that hold no number are told by their names, and not passed over."""

import pytest

from energan.core import SettingError
from energan.data.images.store import CACHE_ABOVE, cache_above
from energan.io.cores import threads
from energan.io.environment import whole_number
from energan.training.device import EngineSettings, choose
from energan.training.distributed import ALONE, asked_ranks, join

NONSENSE = ["x", "-1", "1.5", "²", "٣", "1e3", "0x4", "1 2", str(10**30), "1" * 5000]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_refused_with_the_name(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_NUMBER", text)
    with pytest.raises(
        SettingError, match=r"the environment variable SOME_NUMBER is .* from 1 to 9, "
    ):
        whole_number("SOME_NUMBER", 1, 9)


@pytest.mark.parametrize(("text", "found"), [("", None), (" ", None), ("9", 9), (" 007 ", 7)])
def test_numbers_and_nothing_are_taken(
    text: str, found: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_NUMBER", text)
    assert whole_number("SOME_NUMBER", 1, 9) == found


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"])
def test_a_launchers_variables_are_checked_before_any_is_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingError, match=rf"the environment variable {name} is 'x'"):
        join(choose(EngineSettings(device="cpu")).device)


def test_a_rank_lies_within_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(SettingError, match="RANK is '2': set it to an integer from 0 to 1"):
        join(choose(EngineSettings(device="cpu")).device)
    monkeypatch.setenv("WORLD_SIZE", "0")
    with pytest.raises(SettingError, match="WORLD_SIZE is '0'"):
        asked_ranks()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert join(choose(EngineSettings(device="cpu")).device) is ALONE


@pytest.mark.parametrize("text", ["x", "0", "²", str(10**30)])
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "LOCAL_WORLD_SIZE"])
def test_threads_that_are_no_number_are_refused(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingError, match=rf"{name} is .*from 1 to 1024"):
        threads()


def test_threads_by_depth_of_nesting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert threads() == 3


def test_where_a_cache_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_above() == CACHE_ABOVE
    monkeypatch.setenv("ENERGAN_CACHE_ABOVE", "0")
    assert cache_above() == 0
    monkeypatch.setenv("ENERGAN_CACHE_ABOVE", "1 GB")
    with pytest.raises(SettingError, match="ENERGAN_CACHE_ABOVE is '1 GB'"):
        cache_above()
