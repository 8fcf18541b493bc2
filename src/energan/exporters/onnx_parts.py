"""The nodes of a user's ONNX file in the place of the operator that runs it."""

from collections.abc import Callable
from typing import Any

import torch

from energan.core import EnerganError
from energan.nets.onnx_network import read_graph


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What torch.onnx.export writes for operators of energan's own."""
    return {torch.ops.energan.onnx_network.default: _inlined}


def _inlined(x: Any, path: str, names: str, sizes: Any) -> list[Any]:
    """The file's nodes, on the values x, recorded one after the other; the values `names`.

    Raises EnerganError if the file is of an operator set that the exporter does not write.
    """
    import onnx.inliner
    import onnx.version_converter
    from onnxscript import evaluator, ir

    recorder: Any = evaluator.default()
    wanted = recorder.opset.version
    proto = onnx.inliner.inline_local_functions(read_graph(path))
    own = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), wanted)
    if own > wanted:
        raise EnerganError(
            f"{path} has operator set {own} and energan writes {wanted}: export the feature "
            f"network with opset_version {wanted} or lower"
        )
    if own < wanted:
        proto = onnx.version_converter.convert_version(proto, wanted)
    graph = ir.from_proto(proto).graph
    images = next(v for v in graph.inputs if v.name not in graph.initializers)
    ir.convenience.replace_all_uses_with(images, x)
    for value in list(graph.initializers.values()):
        assert value.const_value is not None
        content = ir.AttrTensor("value", value.const_value)
        constant = ir.Node("", "Constant", [], attributes=[content])
        ir.convenience.replace_all_uses_with(value, constant.outputs[0])
        recorder.nodes.append(constant)
    found = {value.name: value for node in graph for value in node.outputs}
    nodes = list(graph)
    for node in nodes:
        graph.remove(node)
        for value in node.outputs:
            value.name = None  # the exporter gives each a name of its own
        recorder.nodes.append(node)
    return [found[name] for name in names.split("\n")]
