"""A network as a file that works without energan, and the check that it does.

- **safetensors**: the weights by name, for a network of the reader's own;
- **onnx**: the network itself, for onnxruntime, browsers, phones and other languages;
- **torch**: the network as TorchScript, for `torch.jit.load` in Python and C++.

Why TorchScript, which torch calls deprecated: `torch.export.load` (torch 2.13) unpickles without
restraint whatever a `.pt2` archive marks as pickled, so one from a stranger may run any code. The
loader of TorchScript is written in C++, knows tensors and the archive's own types, and refuses all
else. From Python 3.14 on torch promises nothing about it; the check tells whether it still works.
"""

import io
import json
import logging
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from energan.core import SettingError
from energan.exporters.onnx_parts import translations
from energan.nets.onnx_network import OnnxNetwork
from energan.version import __version__

Outputs = tuple[Tensor, ...]
BATCHES = (1, 5)
"""Batch sizes that are compared; neither is RECORDED, so a size that got fixed shows."""
RECORDED = 2
"""The batch size a network is recorded with; 1 would be taken for a constant."""


@dataclass(frozen=True)
class ExportedNetwork:
    """One network to write, on the CPU and in evaluation mode.

    module: called with `inputs`, in order, it gives `outputs`: a tensor, or a tuple of several.
        Both name the shape of one event.
    weights: what a safetensors file holds, by name.
    draw: random inputs for a batch of that size, always the same.
    about: where the network comes from, for the file; JSON values.
    """

    name: str
    module: nn.Module
    weights: dict[str, Tensor]
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    draw: Callable[[int], tuple[Tensor, ...]]
    about: dict[str, Any]


@dataclass(frozen=True)
class Check:
    """How a file was compared with the network it was written from.

    by: what loaded it. error: the largest difference, relative to the largest output.
    """

    by: str
    error: float


@dataclass(frozen=True)
class FileFormat:
    """A kind of file: its suffix, the packages that writing it needs, how to write and check one.

    check gives None if nothing that is installed can load the file.
    """

    suffix: str
    needs: tuple[str, ...]
    write: Callable[[ExportedNetwork, Path], None]
    check: Callable[[ExportedNetwork, Path], Check | None]


def relative_error(given: Tensor, expected: Tensor) -> float:
    """max |given − expected| / max |expected|; infinite if shapes differ or one is not finite."""
    if given.shape != expected.shape or not given.isfinite().all() or not expected.isfinite().all():
        return math.inf
    worst = float((given.double() - expected.double()).abs().max())
    largest = float(expected.double().abs().max())
    return worst / largest if largest else math.inf if worst else 0.0


def _largest_error(part: ExportedNetwork, loaded: Callable[..., Tensor | Outputs]) -> float:
    """Of `loaded` against the module, over BATCHES and all outputs."""
    errors = []
    for count in BATCHES:
        given = part.draw(count)
        with torch.no_grad():
            pairs = zip(_several(loaded(*given)), _several(part.module(*given)), strict=True)
            errors += [relative_error(one, other) for one, other in pairs]
    return max(errors)


def _several(outputs: Tensor | Outputs) -> Outputs:
    return (outputs,) if isinstance(outputs, Tensor) else outputs


def _texts(about: dict[str, Any]) -> dict[str, str]:
    """For the formats whose entries are texts: everything else as JSON."""
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}


# --- safetensors ----------------------------------------------------------------------------------


def _write_safetensors(part: ExportedNetwork, path: Path) -> None:
    # clones: safetensors refuses tensors that share memory
    weights = {name: value.contiguous().clone() for name, value in part.weights.items()}
    path.write_bytes(save(weights, metadata=_texts(part.about)))


def _check_safetensors(part: ExportedNetwork, path: Path) -> Check:
    loaded = load_file(path)
    same = loaded.keys() == part.weights.keys() and all(
        torch.equal(loaded[name], value) for name, value in part.weights.items()
    )
    return Check("all weights read back", 0.0 if same else math.inf)


# --- ONNX -----------------------------------------------------------------------------------------


def _write_onnx(part: ExportedNetwork, path: Path) -> None:
    import torch.onnx

    batch = {0: torch.export.Dim("batch")}
    with _without_chatter(), torch.no_grad():  # gradients by hand are of no file format
        program = torch.onnx.export(
            part.module,
            part.draw(RECORDED),
            dynamo=True,
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            dynamic_shapes=tuple(batch for _ in part.inputs),
            external_data=False,
            custom_translation_table=translations(),
            verbose=False,
        )
        assert program is not None
        program.model.producer_name, program.model.producer_version = "energan", __version__
        program.model.metadata_props.update(_texts(part.about))
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # source lines, with the paths of this machine
        program.save(path)


def _check_onnx(part: ExportedNetwork, path: Path) -> Check | None:
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; they are raised too
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def loaded(*given: Tensor) -> Outputs:
        feed = {name: value.numpy() for name, value in zip(part.inputs, given, strict=True)}
        return tuple(map(torch.from_numpy, session.run(list(part.outputs), feed)))

    return Check(f"onnxruntime {onnxruntime.__version__}", _largest_error(part, loaded))


@contextmanager
def _without_chatter() -> Iterator[None]:
    """The exporter warns of torch's own old calls, and that two inputs share their batch's name;
    it logs each package that it misses."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used")
            yield
    finally:
        logger.setLevel(level)


# --- TorchScript ----------------------------------------------------------------------------------


def _write_torchscript(part: ExportedNetwork, path: Path) -> None:
    if any(isinstance(layer, OnnxNetwork) for layer in part.module.modules()):
        raise SettingError(
            "an energy on features of an ONNX file can only be exported to ONNX: use --format onnx"
        )
    with warnings.catch_warnings(), torch.no_grad():  # gradients by hand are of no file format
        warnings.filterwarnings("ignore", r"`torch\.jit", DeprecationWarning)
        # of what depends on the batch: the check tells whether it does
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced = torch.jit.trace(part.module, part.draw(RECORDED), check_trace=False)
        entry = {"energan.json": json.dumps(part.about)}
        whole = io.BytesIO()  # torch's own writer ends the process on a full disk
        torch.jit.save(traced, whole, _extra_files=entry)
    with zipfile.ZipFile(whole) as read, zipfile.ZipFile(path, "w") as written:
        for entry_info in read.infolist():
            if not entry_info.filename.endswith(".debug_pkl"):  # paths of this machine
                written.writestr(entry_info, read.read(entry_info))


def _check_torchscript(part: ExportedNetwork, path: Path) -> Check:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit", DeprecationWarning)
        loaded = torch.jit.load(path)
    with torch.no_grad():
        return Check(f"torch {torch.__version__}", _largest_error(part, loaded))


FORMATS = {
    "safetensors": FileFormat("safetensors", (), _write_safetensors, _check_safetensors),
    "onnx": FileFormat("onnx", ("onnx", "onnxscript"), _write_onnx, _check_onnx),
    "torch": FileFormat("pt", (), _write_torchscript, _check_torchscript),
}
