"""An ONNX file as a module of torch: what onnxruntime gives."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from energan.core import DataError, SettingError
from energan.nets.onnx_network import OnnxNetwork
from support.feature_networks import tiny_onnx

SHAPE = (1, 24, 20)


def by_onnxruntime(path: Path, x: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": x.numpy()})[0]
    return found


def test_it_gives_the_output_that_is_a_map() -> None:
    path = tiny_onnx()
    network, x = OnnxNetwork(path, SHAPE), torch.rand(3, *SHAPE)
    (found,) = network(x)
    assert network.layers == ("second",)
    np.testing.assert_allclose(found, by_onnxruntime(path, x), rtol=1e-6)
    other = torch.rand(2, 1, 40, 16)  # of any size, as the file says
    np.testing.assert_allclose(network(other)[0], by_onnxruntime(path, other), rtol=1e-6)


def test_values_inside_are_read_by_name_or_by_depth() -> None:
    path = tiny_onnx(outputs=("pooled",))
    named = OnnxNetwork(path, SHAPE, ("first", "pooled"))
    first, pooled = named(torch.rand(3, *SHAPE))
    assert (first.shape, pooled.shape) == ((3, 4, 24, 20), (3, 6, 1, 1))
    chosen = OnnxNetwork(path, (1, 48, 48))
    assert chosen.layers == ("first", "second")


def test_on_the_meta_device_it_has_shapes_alone() -> None:
    with torch.device("meta"):
        (found,) = OnnxNetwork(tiny_onnx(), SHAPE)(torch.zeros(5, *SHAPE))
    assert found.is_meta
    assert found.shape == (5, 6, 12, 10)


def test_it_has_no_gradient_and_says_so() -> None:
    x = torch.rand(2, *SHAPE, requires_grad=True)
    (found,) = OnnxNetwork(tiny_onnx(), SHAPE)(x)
    with pytest.raises(SettingError, match="no gradient"):
        found.sum().backward()


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="has no layer frist: choose from first"):
        OnnxNetwork(tiny_onnx(), SHAPE, ("frist",))
    with pytest.raises(SettingError, match="does not take two images of 3x24x20"):
        OnnxNetwork(tiny_onnx(), (3, 24, 20))
    with pytest.raises(SettingError, match="dynamic batch axis"):
        OnnxNetwork(tiny_onnx(batch=1), SHAPE)
    (tmp_path / "torn.onnx").write_bytes(tiny_onnx().read_bytes()[:100])
    with pytest.raises(DataError, match=r"torn\.onnx cannot be read as an ONNX file"):
        OnnxNetwork(tmp_path / "torn.onnx", SHAPE)


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path, x = tmp_path / "net.onnx", torch.rand(2, *SHAPE)
    for outputs in (("second",), ("first",)):
        path.write_bytes(tiny_onnx(outputs=outputs).read_bytes())
        (found,) = OnnxNetwork(path, SHAPE)(x)
        np.testing.assert_allclose(found, by_onnxruntime(path, x), rtol=1e-6)
