"""Which GPU is whose: processes side by side, and devices that are not there."""

import pytest
import torch

from energan.core import SettingError
from energan.core.accelerators import accelerator_memory, accelerators_of, variables_of_place
from energan.training.device import EngineSettings, choose


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of them, as far as torch is asked."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))


def seen(device: str, places: int) -> list[str | None]:
    there = torch.device(device)
    return [
        variables_of_place(there, place + 1).get("CUDA_VISIBLE_DEVICES") for place in range(places)
    ]


@pytest.mark.usefixtures("gpus")
def test_processes_take_the_gpus_in_turn_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert seen("cuda", 6) == ["0", "1", "2", "3", "0", "1"]
    assert seen("cuda:1", 2) == [None, None]  # it would be their only one, under the name cuda:0
    assert seen("cpu", 2) == [None, None]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,3,1")
    assert seen("cuda", 5) == ["7", "5", "3", "1", "7"]
    assert [accelerators_of(torch.device(name)) for name in ("cpu", "cuda", "cuda:1")] == [0, 4, 1]


def test_the_cpu_has_no_memory_of_its_own() -> None:
    assert accelerator_memory(torch.device("cpu")) is None


@pytest.mark.usefixtures("gpus")
def test_a_rank_takes_its_gpu_even_where_it_sees_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose(EngineSettings(device="cuda"), switches=False).device == torch.device("cuda:1")
    assert choose(EngineSettings(device="cuda:3"), switches=False).device == torch.device("cuda:3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # SLURM: one visible GPU a task
    assert choose(EngineSettings(device="cuda"), switches=False).device == torch.device("cuda:0")


@pytest.mark.usefixtures("gpus")
def test_ranks_do_not_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL would fail."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose(EngineSettings(device="cuda"), switches=False).device == torch.device("cuda:1")
    with pytest.raises(SettingError, match=r"2 processes here, .*: use cuda$"):
        choose(EngineSettings(device="cuda:0"), switches=False)


@pytest.mark.usefixtures("gpus")
def test_a_gpu_chosen_has_no_tf32_and_training_asks_for_deterministic_convolutions() -> None:
    kept = torch.backends.cudnn.deterministic, torch.get_num_threads()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    try:
        choose(EngineSettings(device="cuda"), switches=False)
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        choose(EngineSettings(device="cuda", threads=1))
        assert torch.backends.cudnn.deterministic
    finally:
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.deterministic = kept[0]
        torch.set_num_threads(kept[1])


@pytest.mark.parametrize(
    ("built", "words"),
    [
        (False, "this build of torch has no cuda .*; use cpu"),
        (True, r"CUDA cannot start: The NVIDIA driver .* \(found version 11040\)[^.]*; use cpu"),
    ],
)
def test_it_is_said_why_a_gpu_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, built: bool, words: str
) -> None:
    def init() -> None:
        raise RuntimeError(
            "The NVIDIA driver on your system is too old (found version 11040)\nPlease update it."
        )

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(SettingError, match=words):
        choose(EngineSettings(device="cuda"), switches=False)


@pytest.mark.usefixtures("gpus")
def test_a_gpu_that_is_not_among_them_is_told() -> None:
    with pytest.raises(SettingError, match=r"cuda:4 does not exist; .* cuda:0 to :3$"):
        choose(EngineSettings(device="cuda:4"), switches=False)
