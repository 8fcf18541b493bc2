"""Messages speak to whoever reads them: of options to commands, of arguments to Python."""

import subprocess
import sys
from pathlib import Path

import pytest

from energan import errors
from energan.cli.main import main
from energan.errors import SettingError, for_python, messages_for_commands
from support import forks

CASES = {
    "--out x is a file; name a folder": "out x is a file; name a folder",
    "larger images (--data.size 32), or fewer by --model.energy-steps 2": (
        "larger images (data.size 32), or fewer by model.energy_steps 2"
    ),
    "--training.no-guard continues anyway": "training.guard False continues anyway",
    "--keep-best l1 does not apply; see --from": "output.keep_best l1 does not apply; see from_run",
    "resume it with `energan resume r --steps 9`, or choose another --out": (
        "resume it with `energan resume r --steps 9`, or choose another out"
    ),
    "follow it: energan sample RUN --chains 64; or --samples": (
        "follow it: energan sample RUN --chains 64; or samples"
    ),
    "the class 3--7 of a-b, x -- y": "the class 3--7 of a-b, x -- y",
}


@pytest.mark.parametrize("message", CASES)
def test_options_become_arguments(message: str) -> None:
    assert for_python(message) == CASES[message]
    assert for_python(CASES[message]) == CASES[message]


def test_an_error_reads_as_its_reader_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_for_commands", False)
    error = SettingError("--samples 1: at least 2")
    assert str(error) == "samples 1: at least 2"
    with messages_for_commands():
        assert str(error) == "--samples 1: at least 2"
    assert str(error) == "samples 1: at least 2"


def test_python_and_a_command_are_told_the_same_in_their_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "file"
    out.write_text("")
    call = f"energan.train('ebgan-digits', steps=1, out={str(out)!r})"
    script = f"import energan\ntry: {call}\nexcept energan.EnerganError as e: print(e)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    assert said == f"out {out} is a file; name a folder\n"
    monkeypatch.setattr(errors, "_for_commands", False)
    words, told = ["train", "ebgan-digits", "--steps", "1", "--out", str(out)], tmp_path / "told"
    assert forks.start(words, told).wait() == 2
    assert told.read_text() == f"energan: --out {out} is a file; name a folder\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("CUDA error: an illegal memory access\nmore"), "the GPU failed"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "the GPU failed"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "out of memory on the GPU"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory on the GPU"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory:"),
        (MemoryError(), "out of memory:"),
    ],
)
def test_what_the_machine_could_not_do_is_told_in_a_sentence(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def recipes(args: list[str]) -> int:
        raise error

    monkeypatch.setattr("energan.cli.recipes.recipes", recipes)
    assert main(["recipes"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"energan: {told}")
    assert said.count("\n") == 1


def test_an_error_of_another_kind_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def recipes(args: list[str]) -> int:
        raise RuntimeError("the memory of a colour")

    monkeypatch.setattr("energan.cli.recipes.recipes", recipes)
    with pytest.raises(RuntimeError, match="of a colour"):
        main(["recipes"])
