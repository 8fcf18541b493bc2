"""Exported files, loaded by others than energan, against the run that they were written from."""

import hashlib
import io
import json
import math
import os
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor, nn

import energan
from contract.stand_ins import Chains, Quadratic
from energan import models
from energan.core import (
    Domain,
    EnerganError,
    Energy,
    PerSample,
    Scored,
    SettingError,
    Stream,
    calibrating,
)
from energan.experiment import settings as job_settings
from energan.experiment.start import start
from energan.exporters.files import ExportedFile
from energan.exporters.formats import relative_error
from energan.exporters.modules import no_generator
from energan.exporters.write import export
from energan.inference.run import Run
from energan.models import cebgan_conv, pix2pix
from energan.nets.conv import UpConv
from energan.nets.dense import BatchNorm, Dense, Dropout, Sequential, Unflatten
from energan.samplers.generator import Generator, latent

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("onnx_operators_listed_once")]

Call = Callable[..., Tensor]
PARTS = ("generator", "energy")
SUFFIX = {"onnx": "onnx", "torch": "pt", "safetensors": "safetensors"}


# --- loading, with nothing of energan.exporters ---------------------------------------------------


def by_onnxruntime(path: Path) -> Call:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    assert names[0] == ("z" if path.stem == "generator" else "x")
    assert names[1:] in ([], ["labels"], ["condition"])
    (output,) = (entry.name for entry in session.get_outputs())
    assert output == ("x" if path.stem == "generator" else "energy")

    def call(*given: Tensor) -> Tensor:
        feed = {name: value.numpy() for name, value in zip(names, given, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return call


def by_torch(path: Path) -> Call:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(path)  # type: ignore[no-any-return]


def by_a_fresh_model(path: Path) -> Call:
    """The weights in networks built from what the file says of itself, as the docs show."""
    with safe_open(path, "pt") as file:
        about = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    found = models.find(about["model"])
    config = found.config(**json.loads(about["settings"])["model"])
    shape = json.loads(about["output" if path.stem == "generator" else "inputs"])["x"]
    low, high = json.loads(about["range"]) or (None, None)
    domain = Domain(tuple(shape), low, high, json.loads(about["classes"]))
    model = found.build(config, domain)
    if path.stem == "generator":
        model.sampler.load_state_dict(weights)
        assert isinstance(model.sampler, Generator)
        network = model.sampler.network
        return lambda *given: network(*given, "eval")
    model.energy.load_state_dict(weights)
    return lambda *given: model.energy(*given, stream="eval").energy


LABELLED = {"cgan", "cebgan", "cdcgan", "cebgan_conv"}
"""Models that take labels, whose files do too."""
LOADERS = {"onnx": by_onnxruntime, "torch": by_torch, "safetensors": by_a_fresh_model}


# --- runs -----------------------------------------------------------------------------------------


def train_tiny(name: str, out: Path) -> Run:
    """A real run of the model at its tiny settings, on the first data that it accepts."""
    job = job_settings.load(None, name)
    tiny = type(job.settings.model).tiny().model_dump(mode="json")
    small = {
        "model": tiny,
        "training": {"steps": 4, "batch_size": 16, "ema_every": 2},
        "output": {"sample_every": 0, "tensorboard": False},
        "engine": {"threads": 1},
    }
    for data in ({"range": "signed"}, {"range": "unit"}, {"source": "ring"}):
        try:
            changed = job.changed({**small, "data": {"source": "digits", **data}})
            (folder,) = start([changed], [out / name], progress=False)
        except SettingError:
            continue
        return Run(folder.path)
    raise AssertionError(f"{name} trains on neither digits nor a ring")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    made: dict[str, Run] = {}
    out = tmp_path_factory.mktemp("runs")

    def run_of(name: str) -> Run:
        if name not in made:
            made[name] = train_tiny(name, out)
        return made[name]

    return run_of


@pytest.fixture(scope="module")
def exported(
    runs: Callable[[str], Run], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], list[ExportedFile]]:
    """Both parts of a model's run in one format, written once: ONNX takes seconds."""
    made: dict[tuple[str, str], list[ExportedFile]] = {}

    def of(name: str, format: str) -> list[ExportedFile]:
        if (name, format) not in made:
            made[name, format] = export(runs(name), format, tmp_path_factory.mktemp("export"))
        return made[name, format]

    return of


@pytest.fixture
def run(runs: Callable[[str], Run]) -> Run:
    return runs("ebgan")


def z_of(run: Run, count: int, seed: int) -> Tensor:
    """The latents that Run.sample draws for up to one chunk."""
    assert isinstance(run.sampler, Generator)
    randomness = PerSample(seed, run.domain.shape).at("sample", 0)
    return latent(randomness, run.sampler.prior, count, run.sampler.latent_size)


def labels_of(run: Run, count: int, seed: int) -> tuple[Tensor, ...]:
    """Labels int64 (count,) for a run that takes them."""
    if run.classes is None:
        return ()
    return (torch.randint(run.classes, (count,), generator=torch.Generator().manual_seed(seed)),)


def events_of(domain: Domain, count: int, seed: int) -> Tensor:
    x = torch.randn(count, *domain.shape, generator=torch.Generator().manual_seed(seed))
    return x if domain.low is None else x.clamp(domain.low, domain.high)


TRAINED = [
    name for name in models.names() if name not in ("pix2pix", "tagging", "inspect_features")
]
"""Models that train on digits or a ring, and need nothing beside."""


AS_LABELLED = {"gan": "cgan", "dcgan": "cdcgan", "ebgan_conv": "cebgan_conv"}
"""Models with the layers of one that takes labels beside, of which ONNX is written: it takes
seconds."""


@pytest.mark.parametrize(
    ("name", "format"),
    [
        (name, format)
        for name in TRAINED
        for format in LOADERS
        if format != "onnx" or name not in AS_LABELLED
    ],
)
def test_files_give_what_the_run_gives(
    name: str,
    format: str,
    runs: Callable[[str], Run],
    exported: Callable[[str, str], list[ExportedFile]],
) -> None:
    run = runs(name)
    made = {one.part: one for one in exported(name, format)}
    load = LOADERS[format]
    energy = load(made["energy"].path)
    generator = load(made["generator"].path) if "generator" in made else None
    assert (run.classes is not None) == (name in LABELLED)

    @settings(max_examples=6, deadline=None)
    @given(st.integers(1, 9), st.integers(0, 10_000))
    def compare(count: int, seed: int) -> None:
        y = labels_of(run, count, seed)
        with torch.no_grad():
            x = events_of(run.domain, count, seed)
            torch.testing.assert_close(energy(x, *y), run.energy(x, *y), rtol=1e-4, atol=1e-5)
            if generator is not None:
                assert isinstance(run.sampler, Generator)
                x = generator(z_of(run, count, seed), *y)
                torch.testing.assert_close(x, run.sample(count, seed, *y), rtol=1e-4, atol=1e-5)

    compare()
    assert (generator is None) == (no_generator(run) is not None)


def test_exporting_changes_nothing_in_the_run(run: Run, tmp_path: Path) -> None:
    before = run.sample(5)
    convolution = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    run.energy_network.extra = convolution
    try:
        export(run, "torch", tmp_path)
        assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
        assert not convolution.weight.is_contiguous()
    finally:
        del run.energy_network.extra
    assert torch.equal(run.sample(5), before)


# --- what the models to come will bring -----------------------------------------------------------


class PatchEnergy(Energy):
    """An energy for each patch, from an auto-encoder with pooling and nearest up-sampling."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Sequential(
            nn.Conv2d(3, 6, 4, stride=2, padding=1), nn.LeakyReLU(0.2), Dropout(0.5),
            nn.Conv2d(6, 8, 3, padding=1, bias=False), BatchNorm(8), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.decoder = Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(8, 6, 3, padding=1), BatchNorm(6), nn.ReLU(),
            nn.ConvTranspose2d(6, 3, 4, stride=2, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        difference = self.decoder(self.encoder(x, stream), stream) - x
        return Scored(nn.functional.avg_pool2d(difference.square().mean(1), 4))  # (B, 2, 3)


def conv_generator() -> Sequential:
    return Sequential(
        Dense(5, 8 * 2 * 3, bias=False), Unflatten((8, 2, 3)), BatchNorm(8), nn.ReLU(),
        UpConv(8, 6, bias=False), BatchNorm(6, scale=False), nn.ReLU(),
        nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(6, 3, 3, padding=1), nn.Tanh(),
    )  # fmt: skip


def stand_in(path: Path, energy: Energy, sampler: nn.Module, domain: Domain) -> Run:
    """What export asks of a run."""
    data = {"name": "noise", "fingerprint": "0"}
    energy.requires_grad_(False).eval()
    made: Any = SimpleNamespace(
        path=path, step=3, weights="raw", domain=domain,
        classes=domain.classes, given=domain.condition_shape,
        classifies=False, makes_samples=True,
        config={"hash": "0123", "resolved": {"data": data}},
        job=SimpleNamespace(model="stand_in", settings=job_settings.load(None, "gan").settings),
        energy_network=energy, judge=energy,
        sampler=sampler.requires_grad_(False).eval(),
    )  # fmt: skip
    return made  # type: ignore[no-any-return]


@pytest.fixture
def patches(tmp_path: Path) -> Run:
    domain = Domain((3, 8, 12), -1.0, 1.0)
    energy, sampler = PatchEnergy(), Generator(conv_generator(), 5, "uniform")
    with torch.no_grad(), calibrating(energy), calibrating(sampler):
        energy(torch.randn(32, 3, 8, 12), stream="eval")
        sampler.network(3 * torch.randn(32, 5) + 1, "eval")
    return stand_in(tmp_path, energy, sampler.to(memory_format=torch.channels_last), domain)  # type: ignore[call-overload]


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_convolutions_and_patch_energies(format: str, patches: Run) -> None:
    generator, energy = export(patches, format)
    assert generator.path.parent == patches.path / "export"
    z, x = torch.rand(7, 5), torch.rand(7, 3, 8, 12)
    assert isinstance(patches.sampler, Generator)
    with torch.no_grad():
        cells = patches.energy_network(x, stream="eval").energy
        assert cells.shape == (7, 2, 3)
        expected = [patches.sampler.network(z, "eval"), cells.mean((1, 2))]
        given = [LOADERS[format](generator.path)(z), LOADERS[format](energy.path)(x)]
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_other_decoders(format: str, tmp_path: Path) -> None:
    """Unpooling by switches, with a label beside the code: what ONNX has no name for."""
    config = cebgan_conv.Config(generator=(8,), encoder=(4, 6), latent=5, decoder_kind="unpool")
    domain = Domain((1, 8, 8), -1.0, 1.0, classes=3)
    model = cebgan_conv.build(config, domain)
    run = stand_in(tmp_path, model.energy, model.sampler, domain)
    (energy,) = export(run, format, part="energy")
    assert energy.check is not None
    assert energy.check.error <= 1e-4


class OfFeatures(nn.Module):
    """(z, features) -> tag vectors, as a conditional generator of vectors has them."""

    takes_condition = True

    def __init__(self) -> None:
        super().__init__()
        self.network = Sequential(Dense(3 + 7, 6), nn.ReLU(), Dense(6, 4))

    def forward(self, z: Tensor, features: Tensor, stream: Stream) -> Tensor:
        return self.network(torch.cat([z, features], -1), stream)  # type: ignore[no-any-return]


class Match(Energy):
    """How far x is from a projection of the condition."""

    def __init__(self) -> None:
        super().__init__()
        self.project = Dense(7, 4)

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        assert condition is not None
        return Scored((x - self.project(condition)).norm(dim=-1))


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_conditions_that_events_come_with_are_a_second_input(format: str, tmp_path: Path) -> None:
    domain = Domain((4,), condition_shape=(7,))
    run = stand_in(tmp_path, Match(), Generator(OfFeatures(), 3), domain)
    generator, energy = export(run, format)
    z, features, x = torch.randn(6, 3), torch.randn(6, 7), torch.randn(6, 4)
    load = LOADERS[format]
    made = [load(generator.path)(z, features), load(energy.path)(x, features)]
    with torch.no_grad():
        expected = [
            run.sampler.network(z, features, "eval"),  # type: ignore[operator, union-attr]
            run.energy_network(x, features, stream="eval").energy,
        ]
    torch.testing.assert_close(made, expected)
    told = json.loads((generator.path.parent / "export.json").read_text())["files"]
    assert told[generator.path.name]["inputs"] == {"z": [3], "condition": [7]}


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_of_image_to_image_the_energy_is_exported(format: str, tmp_path: Path) -> None:
    domain = Domain((1, 16, 16), -1.0, 1.0, condition_shape=(2, 16, 16))
    model = pix2pix.build(pix2pix.Config.tiny(), domain)
    run = stand_in(tmp_path, model.energy, model.sampler, domain)
    assert "Translator" in (no_generator(run) or "")
    (energy,) = export(run, format)
    x, source = torch.rand(5, 1, 16, 16), torch.rand(5, 2, 16, 16)
    with torch.no_grad():
        expected = run.energy_network(x, source, stream="eval").energy.mean((1, 2))
    torch.testing.assert_close(
        LOADERS[format](energy.path)(x, source), expected, rtol=1e-4, atol=1e-5
    )


def test_a_run_of_chains_has_an_energy_only(tmp_path: Path) -> None:
    run = stand_in(tmp_path, Quadratic(), Chains(), Domain((4,)))
    assert [one.part for one in export(run, "torch")] == ["energy"]
    reason = no_generator(run)
    assert reason is not None
    assert "Chains" in reason
    with pytest.raises(SettingError, match="only its energy can be exported"):
        export(run, "torch", part="generator", force=True)


def test_a_sampler_that_does_more_than_one_pass_is_no_generator(tmp_path: Path) -> None:
    class Mended(Generator):
        def sample(self, *args: Any, **options: Any) -> Any:
            return None

    run = stand_in(tmp_path, Quadratic(), Mended(Dense(2, 4), 2), Domain((4,)))
    assert "Mended" in (no_generator(run) or "")


# --- what files say of themselves -----------------------------------------------------------------


def said_by(path: Path) -> dict[str, str]:
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return dict(file.metadata())
    if path.suffix == ".onnx":
        import onnx

        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        return {entry.key: entry.value for entry in model.metadata_props}
    with zipfile.ZipFile(path) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("extra/energan.json"))
        about = json.loads(archive.read(name))
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}


@pytest.mark.parametrize("format", LOADERS)
def test_provenance_is_in_the_file_and_in_the_manifest(
    format: str, run: Run, exported: Callable[[str, str], list[ExportedFile]]
) -> None:
    made = exported("ebgan", format)
    folder = made[0].path.parent
    assert [one.path.name for one in made] == [f"{p}.{SUFFIX[format]}" for p in PARTS]
    listed = json.loads((folder / "export.json").read_text())["files"]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*listed, "export.json"])
    for one in made:
        content = one.path.read_bytes()
        entry = listed[one.path.name]
        assert entry["sha256"] == one.sha256 == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == one.bytes == len(content)
        assert one.check is not None
        assert entry["check"]["error"] == one.check.error <= 1e-4
        about = said_by(one.path)
        assert about["energan"] == energan.__version__
        assert about["run"] == entry["run"] == run.config["hash"]
        assert about["model"] == entry["model"] == "ebgan"
        assert (about["step"], about["weights"]) == ("4", "ema")
        assert json.loads(about["range"]) == entry["range"] == [-1.0, 1.0]
        told = json.loads(about["settings"])
        assert told["model"] == run.job.settings.model.model_dump(mode="json")
        assert "source" not in told["data"]  # it may be a path, and files travel
        assert os.fsencode(Path(energan.__file__).parent) not in content
        assert one.path.stat().st_mode & 0o777 == 0o666 & ~umask()
    shapes = [listed[one.path.name] for one in made]
    assert (shapes[0]["inputs"], shapes[0]["output"]) == ({"z": [4]}, {"x": [1, 8, 8]})
    assert (shapes[1]["inputs"], shapes[1]["output"]) == ({"x": [1, 8, 8]}, {"energy": []})
    assert shapes[0]["prior"] == "normal"


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_manifest_keeps_what_was_exported_before(run: Run, tmp_path: Path) -> None:
    export(run, "safetensors", tmp_path, part="energy")
    export(Run(run.path, weights="raw"), "torch", tmp_path, part="energy")
    listed = json.loads((tmp_path / "export.json").read_text())["files"]
    kept = {name: entry["weights"] for name, entry in listed.items()}
    assert kept == {"energy.safetensors": "ema", "energy.pt": "raw"}
    (tmp_path / "energy.pt").unlink()
    export(run, "safetensors", tmp_path, part="generator")
    listed = json.loads((tmp_path / "export.json").read_text())["files"]
    assert listed.keys() == {"energy.safetensors", "generator.safetensors"}


def test_the_chosen_weights_and_checkpoint_are_exported(run: Run, tmp_path: Path) -> None:
    sums = set()
    for i, chosen in enumerate([{}, {"weights": "raw"}, {"checkpoint": 0}]):
        loaded = Run(run.path, **chosen)  # type: ignore[arg-type]
        (one,) = export(loaded, "torch", tmp_path / str(i), part="generator")
        assert isinstance(run.sampler, Generator)
        x = by_torch(one.path)(z_of(run, 3, 0))
        torch.testing.assert_close(x, loaded.sample(3))
        sums.add(x.sum().item())
    assert len(sums) == 3


def test_says(tmp_path: Path) -> None:
    from energan.exporters.formats import Check

    path = Path("x/energy.onnx")
    exact = ExportedFile(path, "energy", "onnx", 12_345_678, "0", Check("onnxruntime 1", 0.0))
    assert str(exact) == "x/energy.onnx: 12.3 MB, equals the run (onnxruntime 1)"
    near = ExportedFile(path, "energy", "onnx", 12_345, "0", Check("onnxruntime 1", 2.34e-7))
    assert str(near) == (
        "x/energy.onnx: 12.3 kB, as the run, relative error 2.3e-07 (onnxruntime 1)"
    )


# --- refusals -------------------------------------------------------------------------------------


def test_unknown_words_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"format onxx: .* did you mean onnx\?"):
        export(run, "onxx", tmp_path)
    with pytest.raises(SettingError, match="use safetensors, onnx, torch or verdict"):
        export(run, "", tmp_path)
    with pytest.raises(SettingError, match=r"part generators: .* did you mean generator\?"):
        export(run, "onnx", tmp_path, part="generators")
    assert not any(tmp_path.iterdir())


def test_a_missing_package_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SettingError, match=r"need onnxscript: pip install 'energan\[export\]'"):
        export(run, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export(run, "torch", tmp_path / "out", part="energy")


def test_without_onnxruntime_the_file_is_written_and_said_to_be_unchecked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (one,) = export(run, "onnx", tmp_path, part="energy")
    assert one.check is None
    assert "not checked: onnxruntime is not installed (pip install 'energan[export]')" in str(one)
    assert (
        json.loads((tmp_path / "export.json").read_text())["files"]["energy.onnx"]["check"] is None
    )


def test_nothing_is_overwritten_unasked(run: Run, tmp_path: Path) -> None:
    (tmp_path / "energy.pt").write_text("mine")
    with pytest.raises(SettingError, match=r"energy\.pt would be overwritten"):
        export(run, "torch", tmp_path)
    assert (tmp_path / "energy.pt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["energy.pt"]
    export(run, "torch", tmp_path, force=True)
    x = events_of(run.domain, 3, 0)
    torch.testing.assert_close(by_torch(tmp_path / "energy.pt")(x), run.energy(x))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}', "\ud800"])
def test_a_manifest_that_is_none_of_ours_is_left_alone(text: str, run: Run, tmp_path: Path) -> None:
    manifest = tmp_path / "export.json"
    manifest.write_bytes(text.encode("utf8", "surrogatepass"))
    with pytest.raises(SettingError, match=r"export\.json is not a list of exports"):
        export(run, "safetensors", tmp_path)
    export(run, "safetensors", tmp_path, force=True)
    assert len(json.loads(manifest.read_text())["files"]) == 2


def test_out_may_not_be_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="is a file; name a folder"):
        export(run, "torch", tmp_path / "file")


class Moody(Energy):
    """Its formula depends on the batch, which no recording of one batch can know."""

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return Scored(x.sum(-1) * (2.0 if len(x) > 4 else 1.0))


class Broken(Energy):
    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return Scored(torch.from_numpy(np.sort(x.numpy(), 0)).sum(-1).nonexistent())  # type: ignore[operator]


@pytest.mark.parametrize(
    ("energy", "format", "why"),
    [
        (Moody(), "torch", ": the file differs from the run"),
        (Moody(), "onnx", " cannot be written: "),
        (Broken(), "torch", " cannot be written: "),
        (Broken(), "onnx", " cannot be written: "),
    ],
)
def test_a_file_that_is_not_like_the_run_is_not_kept(
    energy: Energy, format: str, why: str, tmp_path: Path
) -> None:
    run = stand_in(tmp_path, energy, Chains(), Domain((4,)))
    path = tmp_path / "export" / f"energy.{SUFFIX[format]}"
    path.parent.mkdir()
    path.write_text("the one before")
    with pytest.raises(EnerganError, match=f"the energy of stand_in as {format}{why}") as told:
        export(run, format, force=True)
    assert "\n" not in str(told.value)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_text() == "the one before"


def test_relative_error() -> None:
    one = torch.tensor([1.0, -4.0])
    assert relative_error(one, one) == 0
    assert relative_error(0 * one, 0 * one) == 0
    assert relative_error(one + torch.tensor([0.0, 0.1]), one) == pytest.approx(0.025, rel=1e-5)
    assert relative_error(one[:1], one) == math.inf
    assert relative_error(one, 0 * one) == math.inf
    assert relative_error(torch.tensor([1.0, math.nan]), one) == math.inf


def test_the_loader_of_torchscript_refuses_pickled_code(run: Run, tmp_path: Path) -> None:
    """Why `torch` is TorchScript: an altered file may not run what its pickles name."""

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "went off"),))

    (one,) = export(run, "torch", tmp_path, part="energy")
    altered = io.BytesIO()
    with zipfile.ZipFile(one.path) as read, zipfile.ZipFile(altered, "w") as written:
        for entry in read.infolist():
            bomb = entry.filename.endswith("/data.pkl")
            content = pickle.dumps(Bomb(), protocol=2) if bomb else read.read(entry)
            written.writestr(entry.filename, content)
    (tmp_path / "altered.pt").write_bytes(altered.getvalue())
    with pytest.raises(RuntimeError, match="mkdir"):
        by_torch(tmp_path / "altered.pt")
    assert not (tmp_path / "went off").exists()
