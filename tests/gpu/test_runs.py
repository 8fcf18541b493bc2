"""Runs on a GPU and their use: resumed, sampled, scored, calibrated, exported."""

from pathlib import Path
from typing import Any

import pytest
import torch

import energan
from energan.core import SettingError
from energan.data import open_data
from energan.data.settings import DataSettings
from energan.experiment.resume import resume
from energan.experiment.settings import load
from energan.experiment.start import start
from energan.exporters.write import export
from energan.inference.chains import sample_chains
from energan.inference.run import Run
from energan.training.device import Device
from energan.training.loop import Hook
from support.helpers import tiny_settings, weight_files
from support.pretended_gpu import pretended

DATA: dict[str, Any] = {"source": "digits"}
RANGE = {"gan": {"range": "unit"}}
"""Of those whose tiny networks end in a sigmoid."""
NAMES = ["gan", "ebgan_conv", "igebm", "ladder", "inspect"]


def job_of(name: str, steps: int, **changes: Any) -> Any:
    own = tiny_settings(name).model_dump(mode="json")
    found = {
        "model": own, "data": DATA | RANGE.get(name, {}),
        "training": {"steps": steps, "batch_size": 16},
        "engine": {"device": "cuda", "threads": 1},
        "output": {"sample_every": 0, "checkpoint_every": 2, "log_every": 2, "tensorboard": False},
    }  # fmt: skip
    return load(None, name).changed(found | changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four steps of each, and the same with a stop in the middle."""
    root = tmp_path_factory.mktemp("runs")
    for name in NAMES:
        start([job_of(name, 4)], [root / name], progress=False)
        start([job_of(name, 4)], [root / f"{name}-resumed"], progress=False, hooks=[_Stop(2)])
        resume([root / f"{name}-resumed"], progress=False)
    return {name: root / name for name in NAMES}


class _Stop(Hook):
    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, loop: Any) -> None:
        if loop.step == self.at:
            loop.stop_signal = "SIGTERM"


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_ends_as_the_whole_one(runs: dict[str, Path], name: str) -> None:
    """Bit for bit where the device's kernels are deterministic, as those of the pretended one."""
    whole, parted = runs[name], runs[name].with_name(f"{name}-resumed")
    if pretended is not None:
        assert weight_files(whole, 4) == weight_files(parted, 4)
    a, b = (dict(Run(path).energy_network.named_parameters()) for path in (whole, parted))
    for key in a:
        assert torch.allclose(a[key], b[key], atol=1e-3), key


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_used_on_the_gpu(runs: dict[str, Path], name: str, tmp_path: Path) -> None:
    run, on_cpu = Run(runs[name], device="cuda"), Run(runs[name], device="cpu")
    x = open_data(run.job.settings.data).held_out.gather(torch.arange(40)).x  # type: ignore[union-attr]
    energy = run.energy(x)
    assert energy.device.type == "cpu"
    assert torch.allclose(energy, on_cpu.energy(x), rtol=1e-3, atol=1e-3)
    if run.makes_samples:
        assert run.sample(5).device.type == "cpu"
        # by its own seed a GPU draws other numbers, of as many as the CPU
        assert energan.evaluate(run, metrics=("sliced_wasserstein",), samples=50, resamples=10)
    assert run.calibrate(fpr=0.1, keep=False).threshold == pytest.approx(
        on_cpu.calibrate(fpr=0.1, keep=False).threshold, rel=1e-2, abs=1e-3
    )
    maps = run.heatmap(x[:3])
    assert maps.shape == (3, 8, 8)
    assert maps.device.type == "cpu"
    export(run, "safetensors", tmp_path / "out")
    made = sample_chains(run, 3, steps=4)
    assert made.x.isfinite().all()


def test_code_and_reconstruction_leave_the_gpu_part_by_part(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parts of many examples on the device at once would fill it."""
    run = Run(runs["ebgan_conv"], device="cuda")
    monkeypatch.setattr("energan.inference.conditions.AT_ONCE", 10)
    x, held, score = torch.rand(50, 1, 8, 8) * 2 - 1, [], run._score

    def watched(part: torch.Tensor) -> Any:
        held.append(torch.cuda.memory_allocated() if pretended is None else pretended.live())
        return score(part)

    monkeypatch.setattr(run, "_score", watched)
    assert run.reconstruct(x).shape == x.shape
    assert run.code(x).shape[0] == 50
    assert max(held[-4:]) == held[-4]  # while the first is computed no other is there


def test_a_training_gives_its_memory_back(tmp_path: Path) -> None:
    """At once, not when Python looks for cycles, which knows nothing of the device's memory."""
    import gc

    if pretended is None:
        pytest.skip("counted on a pretended GPU")
    gc.collect()
    before = pretended.live()
    gc.disable()
    try:
        start([job_of("ebgan_conv", 2)], [tmp_path / "run"], progress=False)
        start([job_of("gan", 2).changed({"seed": s}) for s in (0, 1)],
              [tmp_path / "a", tmp_path / "b"], progress=False)  # fmt: skip
        held = pretended.live() - before
    finally:
        gc.enable()
    assert held == 0


def test_a_stream_feeds_a_gpu(tmp_path: Path) -> None:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    cells = []
    for value in range(300):
        out = io.BytesIO()
        Image.new("L", (8, 8), value % 256).resize((8 + value // 256, 8)).save(out, "png")
        cells.append({"bytes": out.getvalue(), "path": None})
    pq.write_table(pa.table({"image": cells}), tmp_path / "train.parquet", row_group_size=20)
    settings = DataSettings(source=str(tmp_path / "train.parquet"), storage="stream", size=8)
    batch = open_data(settings).to("cuda").feed([0], 8)(0)
    assert batch.x.device.type == "cuda"
    job = job_of("ebgan_conv", 2, data=settings.model_dump(exclude_unset=True))
    start([job], [tmp_path / "run"], progress=False)
    assert Run(tmp_path / "run").sample(2).shape == (2, 1, 8, 8)


@pytest.mark.skipif(pretended is None, reason="limits the memory of a pretended GPU")
def test_a_batch_that_does_not_fit_is_told_with_one_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of("gan", 2, training={"steps": 2, "batch_size": 8192})
    job = job.changed({"output": {"checkpoint_every": 0}})
    monkeypatch.setattr(Device, "free_memory", lambda self: 1 << 40)  # else it is refused at once
    pretended.limit(pretended.live() + (4 << 20))
    try:
        with pytest.raises(SettingError) as told:
            start([job], [tmp_path / "large"])
        size = int(str(told.value).rpartition(" ")[2].rstrip(")"))
        assert str(told.value) == (
            f"out of memory on cuda with batches of 8192: batches of {size} fit "
            f"(--training.batch-size {size})"
        )
        fits = job.changed({"training": {"batch_size": size}})
        start([fits], [tmp_path / "fits"], progress=False)
        with pytest.raises(torch.OutOfMemoryError):
            start([job], [tmp_path / "again"], progress=False)
    finally:
        pretended.limit(0)


def test_an_extractor_of_ones_own_may_compute_on_the_gpu(runs: dict[str, Path]) -> None:
    run = Run(runs["gan"], device="cuda")
    scores = energan.evaluate(
        run, metrics=("frechet_distance",), samples=40, resamples=10,
        extractor=f"{__name__}:features_on_the_gpu",
    )  # fmt: skip
    assert scores["frechet_distance"].value > 0


def features_on_the_gpu(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = images.to("cuda").flatten(1)
    return pixels[:, 16:24], pixels[:, :10]
