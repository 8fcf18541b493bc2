"""The blocks of Inception-v3 (Szegedy et al. 2015), named as in the usual ports' state dicts."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Variant = Literal["fid", "torchvision"]
"""See energan.nets.inception: "fid" leaves padding out of average pools."""
Kernel = int | tuple[int, int]


class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU. At stride 1 the size stays, unless `valid`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, *, valid: bool = False
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (0, 0) if valid or stride > 1 else (height // 2, width // 2)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu_()  # type: ignore[no-any-return]


def mean_of_three(x: Tensor, variant: Variant) -> Tensor:
    """The mean of 3×3 neighbours; those past the border are left out by "fid", else count as 0."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=variant == "torchvision")


class BlockA(nn.Module):
    """35×35."""

    def __init__(self, inputs: int, pooled: int, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.branch1x1 = Unit(inputs, 64, 1)
        self.branch5x5_1 = Unit(inputs, 48, 1)
        self.branch5x5_2 = Unit(48, 64, 5)
        self.branch3x3dbl_1 = Unit(inputs, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3)
        self.branch_pool = Unit(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        pool = self.branch_pool(mean_of_three(x, self.variant))
        return torch.cat([self.branch1x1(x), five, three, pool], 1)


class BlockB(nn.Module):
    """35×35 -> 17×17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(inputs, 384, 3, 2)
        self.branch3x3dbl_1 = Unit(inputs, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class BlockC(nn.Module):
    """17×17, with 7×7 convolutions taken apart."""

    def __init__(self, width: int, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.branch1x1 = Unit(768, 192, 1)
        self.branch7x7_1 = Unit(768, width, 1)
        self.branch7x7_2 = Unit(width, width, (1, 7))
        self.branch7x7_3 = Unit(width, 192, (7, 1))
        self.branch7x7dbl_1 = Unit(768, width, 1)
        self.branch7x7dbl_2 = Unit(width, width, (7, 1))
        self.branch7x7dbl_3 = Unit(width, width, (1, 7))
        self.branch7x7dbl_4 = Unit(width, width, (7, 1))
        self.branch7x7dbl_5 = Unit(width, 192, (1, 7))
        self.branch_pool = Unit(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        pool = self.branch_pool(mean_of_three(x, self.variant))
        return torch.cat([self.branch1x1(x), seven, double, pool], 1)


class BlockD(nn.Module):
    """17×17 -> 8×8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = Unit(768, 192, 1)
        self.branch3x3_2 = Unit(192, 320, 3, 2)
        self.branch7x7x3_1 = Unit(768, 192, 1)
        self.branch7x7x3_2 = Unit(192, 192, (1, 7))
        self.branch7x7x3_3 = Unit(192, 192, (7, 1))
        self.branch7x7x3_4 = Unit(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, 2)], 1)


class BlockE(nn.Module):
    """8×8. The last one of "fid" pools by the maximum."""

    def __init__(self, inputs: int, variant: Variant, *, last: bool) -> None:
        super().__init__()
        self.variant, self.by_maximum = variant, last and variant == "fid"
        self.branch1x1 = Unit(inputs, 320, 1)
        self.branch3x3_1 = Unit(inputs, 384, 1)
        self.branch3x3_2a = Unit(384, 384, (1, 3))
        self.branch3x3_2b = Unit(384, 384, (3, 1))
        self.branch3x3dbl_1 = Unit(inputs, 448, 1)
        self.branch3x3dbl_2 = Unit(448, 384, 3)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1))
        self.branch_pool = Unit(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        near = F.max_pool2d(x, 3, 1, 1) if self.by_maximum else mean_of_three(x, self.variant)
        branches = [
            self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(near),
        ]  # fmt: skip
        return torch.cat(branches, 1)
