"""Inception-v3: its form, its two sets of weights, and the files they come in."""

import hashlib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from energan.core import DataError
from energan.nets.inception import Inception, load_inception
from energan.nets.inception_blocks import BlockE, mean_of_three

SHAPES = {
    "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
    "Conv2d_1a_3x3.bn.running_var": (32,),
    "Conv2d_3b_1x1.conv.weight": (80, 64, 1, 1),
    "Conv2d_4a_3x3.conv.weight": (192, 80, 3, 3),
    "Mixed_5b.branch1x1.conv.weight": (64, 192, 1, 1),
    "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
    "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
    "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
    "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
    "Mixed_6d.branch7x7dbl_2.conv.weight": (160, 160, 7, 1),
    "Mixed_6e.branch7x7dbl_5.bn.weight": (192,),
    "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
    "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
    "Mixed_7c.branch3x3dbl_1.conv.weight": (448, 2048, 1, 1),
    "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
    "fc.weight": (1008, 2048),
    "fc.bias": (1008,),
}


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """As of the 2015-12-05 graph, drawn at random."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Inception()
    g = torch.Generator().manual_seed(1)
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=g)
        elif name.endswith(("running_mean", "bn.bias")):
            value.normal_(0, 0.1, generator=g)
    state["fc.bias"].normal_(0, 3, generator=g)
    return state


@pytest.mark.parametrize(
    ("classes", "variant", "count"), [(1000, "torchvision", 23_834_568), (1008, "fid", 23_850_960)]
)
def test_parameters_are_as_many_as_published(classes: int, variant: str, count: int) -> None:
    with torch.device("meta"):
        network = Inception(classes, variant)  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.parameters()) == count


def test_names_and_shapes_are_the_usual_ports() -> None:
    with torch.device("meta"):
        state = Inception().state_dict()
    assert {name: tuple(state[name].shape) for name in SHAPES} == SHAPES
    convolutions = [name for name in state if name.endswith("conv.weight")]
    assert len(convolutions) == 94
    assert len(state) == 94 * 6 + 2  # a convolution, batch norm's five, and fc's two


def test_padding_counts_only_in_torchvisions_average() -> None:
    x = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    corner = 1 + 2 + 4 + 5.0
    assert mean_of_three(x, "fid")[0, 0, 0, 0] == corner / 4
    assert mean_of_three(x, "torchvision")[0, 0, 0, 0] == pytest.approx(corner / 9)
    assert mean_of_three(x, "fid")[0, 0, 1, 1] == mean_of_three(x, "torchvision")[0, 0, 1, 1] == 5


@pytest.mark.parametrize(
    ("variant", "last", "pool"),
    [
        ("fid", True, lambda x: F.max_pool2d(x, 3, 1, 1)),
        ("fid", False, lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        ("torchvision", True, lambda x: F.avg_pool2d(x, 3, 1, 1)),
    ],
)
def test_the_last_block_pools_by_the_maximum_in_one_variant(variant, last, pool) -> None:  # type: ignore[no-untyped-def]
    with torch.random.fork_rng():
        block = BlockE(6, variant, last=last).eval()
    x = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x)[:, -192:], block.branch_pool(pool(x)))


def test_features_and_logits_of_images(weights: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        network = Inception()
    network.load_state_dict(weights, assign=True)
    network.requires_grad_(False).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    features, logits = network.features(images)
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    assert (features >= 0).all()  # a mean of ReLUs
    whole = F.interpolate(images, (299, 299), mode="bilinear", align_corners=False) * 2 - 1
    again, biased = network(whole)
    torch.testing.assert_close(features, again)
    torch.testing.assert_close(logits, features @ weights["fc.weight"].T, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(biased, logits + weights["fc.bias"], atol=1e-4, rtol=1e-4)
    network.variant = "torchvision"  # whose scores are taken with the bias
    torch.testing.assert_close(network.features(images)[1], network(whole)[1])


def test_only_images_in_colour_are_taken() -> None:
    with torch.device("meta"):
        network = Inception()
    for wrong in (torch.rand(2, 1, 32, 32), torch.rand(3, 32, 32), torch.ones(2, 3, 8, 8).byte()):
        with pytest.raises(DataError, match=r"float images \(N, 3, H, W\)"):
            network.features(wrong)


@pytest.mark.parametrize(("classes", "variant"), [(1008, "fid"), (1000, "torchvision")])
def test_weights_come_back_from_a_file(
    tmp_path: Path, weights: dict[str, Tensor], classes: int, variant: str
) -> None:
    state = dict(weights)
    state["fc.weight"], state["fc.bias"] = (state[f"fc.{n}"][:classes] for n in ("weight", "bias"))
    state["AuxLogits.conv0.conv.weight"] = torch.zeros(128, 768, 1, 1)
    path = tmp_path / "inception.safetensors"
    save_file({n: v.contiguous() for n, v in state.items()}, path)
    before = torch.random.get_rng_state()
    network, about = load_inception(path)
    assert torch.equal(torch.random.get_rng_state(), before)  # nothing was drawn
    assert network.variant == about["variant"] == variant
    assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_without_counters_and_in_half_precision(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    state = {n: v.half() for n, v in weights.items() if not n.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "half.safetensors")
    network, _ = load_inception(tmp_path / "half.safetensors")
    assert {value.device.type for value in network.state_dict().values()} == {"cpu"}
    assert network.fc.weight.dtype == torch.float32


def test_wrong_files_are_told_apart(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    def refused(changes: dict[str, Tensor | None], match: str) -> None:
        state = {n: v for n, v in (weights | changes).items() if v is not None}
        save_file(state, tmp_path / "x.safetensors")
        with pytest.raises(DataError, match=match) as caught:
            load_inception(tmp_path / "x.safetensors")
        assert "\n" not in str(caught.value)

    refused(
        {"fc.weight": None},
        r"has no fc\.weight, and .* Inception-v3 have 1008 .* or 1000 .*: use one of these",
    )
    refused({"fc.weight": torch.zeros(10, 2048)}, r"fc\.weight with 10 rows")
    refused({"fc.bias": None}, r"lacks fc\.bias$")
    refused({"fc.bias": None, "Mixed_7a.branch3x3_1.bn.bias": None}, r"lacks \S+ and 1 more$")
    refused({"layer1.weight": torch.zeros(1)}, r"it also has layer1\.weight$")
    refused(
        {"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 1, 3, 3)},
        r"Conv2d_1a_3x3\.conv\.weight is \(32, 1, 3, 3\) there and \(32, 3, 3, 3\)",
    )


def test_files_of_another_form(tmp_path: Path) -> None:
    pickled = tmp_path / "pt_inception.pth"
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, pickled)
    with pytest.raises(DataError, match=r"never read here; convert them: python -c .*save_file"):
        load_inception(pickled)
    with pytest.raises(DataError, match="does not exist"):
        load_inception(tmp_path / "absent.safetensors")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(DataError, match="cannot be read"):
        load_inception(torn)


def test_the_line_that_converts_does(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    import re
    import shlex
    import subprocess
    import sys

    torch.save(weights, tmp_path / "weights.pth")
    with pytest.raises(DataError) as caught:
        load_inception(tmp_path / "weights.pth")
    line = re.search(r"python (-c .*)", str(caught.value))
    assert line is not None
    words = shlex.split(line[1])
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True, timeout=60)
    assert load_inception(tmp_path / "weights.safetensors")[1]["variant"] == "fid"
