"""Small networks in files, whose features are used."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = tempfile.TemporaryDirectory(prefix="energan-networks-")


@cache
def tiny_onnx(
    channels: int = 1, outputs: tuple[str, ...] = ("second",), batch: str | int = "n"
) -> Path:
    """x (n, channels, h, w) -> first (n, 4, h, w), second (n, 6, h/2, w/2), pooled (n, 6)."""
    draw = np.random.default_rng(0)
    weights = {
        "w1": draw.normal(0, 0.5, (4, channels, 3, 3)).astype(np.float32),
        "w2": draw.normal(0, 0.3, (6, 4, 3, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["first"]),
        helper.make_node("Conv", ["first", "w2"], ["c2"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["second"]),
        helper.make_node("GlobalAveragePool", ["second"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["pooled"]),
    ]
    rank = {"pooled": 2}
    graph = helper.make_graph(
        nodes,
        "features",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, "h", "w"])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank.get(name, 4))
            for name in outputs
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = Path(FOLDER.name) / f"{channels}-{'-'.join(outputs)}-{batch}.onnx"
    onnx.save(model, path)
    return path
