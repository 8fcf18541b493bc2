"""A frozen network in an ONNX file, run by onnxruntime, as a module of torch.

It is one operator, `energan::onnx_network`: torch.export sees it as such, and `energan export
--format onnx` puts the file's own nodes in its place.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from energan.core import DataError, SettingError, describe
from energan.nets.feature_maps import as_map, default_layers, is_map, unknown_layer

INSTALL = "pip install 'energan[export]'"


class OnnxNetwork(nn.Module):
    """Values of an ONNX graph, for images (B, C, H, W) float32, on the CPU or, with onnxruntime's
    package for it, the GPU.

    layers: names of values in the graph that are maps (B, D, h, w), or features (B, D); if none is
    named, the outputs that are maps, or else what `default_layers` chooses of all values.
    Raises DataError for a file that is no such network, SettingError for one that does not take
    images of `shape`, or a layer that it has not.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], layers: Sequence[str] = ()) -> None:
        super().__init__()
        self.path = str(path)
        graph = read_graph(self.path)
        _forget_changed(path)
        known = [name for node in graph.graph.node for name in node.output if name]
        if unknown := [name for name in layers if name not in known]:
            raise SettingError(unknown_layer(unknown[0], known))
        outputs = [value.name for value in graph.graph.output]
        sizes = self._sizes(outputs, shape)
        if layers:
            sizes = self._sizes(layers, shape)
        else:
            layers = [name for name in outputs if is_map(sizes.get(name, ()))]
        if not layers:
            sizes = self._sizes(known, shape)
            layers = default_layers(sizes, shape)
        for name in layers:
            if name not in sizes:
                raise SettingError(f"model.layers: {name} is not a feature map: name another layer")
        self.layers = tuple(layers)
        self.sizes = [list(sizes[name]) for name in self.layers]

    def _sizes(
        self, names: Sequence[str], shape: tuple[int, int, int]
    ) -> dict[str, tuple[int, ...]]:
        """Of one image's map or features, by name; nothing of other values."""
        import numpy as np

        images = np.zeros((2, *shape), np.float32)
        try:
            found = _run(self.path, tuple(names), images)
        except Exception as error:  # onnxruntime has a class for each kind
            taken = session_of(self.path, ()).get_inputs()[0].shape
            raise SettingError(
                f"{self.path} does not take two images of {shape[0]}x{shape[1]}x{shape[2]} "
                f"(channels, height, width), and its input is {describe(str(taken))}: resize "
                "images to that size (--data.size), or export the network with a dynamic batch "
                "axis"
            ) from error
        return {
            name: value.shape[1:]
            for name, value in zip(names, found, strict=True)
            if value.ndim in (2, 4) and len(value) == 2 and value.dtype == np.float32
        }

    def forward(self, x: Tensor) -> list[Tensor]:
        found = torch.ops.energan.onnx_network(
            x.float(), self.path, "\n".join(self.layers), _flat(self.sizes)
        )
        return [as_map(one).to(x.dtype) for one in found]


def read_graph(path: str) -> Any:
    """The file's ModelProto. Raises SettingError if onnx is not installed, DataError if it is no
    ONNX file of a network with one input."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError:
        raise SettingError(
            f"features from an ONNX file need onnx and onnxruntime: {INSTALL}"
        ) from None
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's, onnx's own, the system's
        raise DataError(f"{path} cannot be read as an ONNX file: {describe(str(error))}") from None
    stored = {value.name for value in model.graph.initializer}
    if len([v for v in model.graph.input if v.name not in stored]) != 1:
        raise DataError(f"{path} takes more than one input: use a network that takes only images")
    return model


@lru_cache(maxsize=8)
def session_of(path: str, names: tuple[str, ...]) -> Any:
    """What runs the graph and gives these values; its own outputs for ()."""
    import onnx
    import onnxruntime

    model = read_graph(path)
    if names:
        model.graph.ClearField("output")
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=onnxruntime.get_available_providers()
    )


_read: dict[Path, tuple[int, int]] = {}
"""Modification times and sizes of files when sessions were made from them."""


def _forget_changed(path: Path) -> None:
    """Sessions are kept by the path: those of a file that was replaced are let go of."""
    stat = path.stat()
    now = stat.st_mtime_ns, stat.st_size
    if _read.setdefault(path, now) != now:
        session_of.cache_clear()
        _read[path] = now


def _run(path: str, names: tuple[str, ...], images: Any) -> list[Any]:
    session = session_of(path, names)
    found: list[Any] = session.run(list(names), {session.get_inputs()[0].name: images})
    return found


def _flat(sizes: Sequence[Sequence[int]]) -> list[int]:
    """(D,) and (D, h, w) one after the other, each after how many numbers it has."""
    return [number for size in sizes for number in (len(size), *size)]


@torch.library.custom_op("energan::onnx_network", mutates_args=())
def onnx_network(x: Tensor, path: str, names: str, sizes: list[int]) -> list[Tensor]:
    """The values `names`, one a line, of the graph at `path`, of images x."""
    found = _run(path, tuple(names.split("\n")), x.detach().cpu().numpy())
    return [torch.from_numpy(value).to(x.device) for value in found]


@onnx_network.register_fake
def _(x: Tensor, path: str, names: str, sizes: list[int]) -> list[Tensor]:
    made, at = [], 0
    while at < len(sizes):
        made.append(x.new_empty(x.shape[0], *sizes[at + 1 : at + 1 + sizes[at]]))
        at += 1 + sizes[at]
    return made


def _no_gradient(context: Any, *gradients: Any) -> Any:
    raise SettingError(
        "features from an ONNX file have no gradient, so chains cannot sample this energy"
    )


onnx_network.register_autograd(_no_gradient)
