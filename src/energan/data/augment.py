"""How images change from one time that training sees them to the next."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augment:
    """What changes about an image each time training sees it.

    random_crop: side of a square, or width and height, cut at a random place; elsewhere the middle
    is cut.
    mirror: whether every other image is flipped left to right.
    """

    random_crop: int | tuple[int, int] | None = None
    mirror: bool = False

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return self.random_crop is not None or self.mirror

    @property
    def window(self) -> tuple[int, int]:
        """Width and height of what is cut; 0 where nothing is."""
        crop = self.random_crop or 0
        return (crop, crop) if isinstance(crop, int) else crop

    def __call__(self, images: Tensor, draws: Tensor | None) -> Tensor:
        """Images (B, C, H, W) by draws (B, 3) from [0, 1); None for the middle, unflipped."""
        if images.dtype == torch.uint16:  # which torch can neither flip nor index everywhere
            return self(images.view(torch.int16), draws).view(torch.uint16)
        if self.random_crop is not None:
            width, height = self.window
            room = torch.tensor([images.shape[2] - height + 1, images.shape[3] - width + 1])
            if draws is None:
                up, aside = (int(r - 1) // 2 for r in room)
                images = images[..., up : up + height, aside : aside + width]
            else:
                top, left = (draws[:, :2] * room).long().unbind(1)
                windows = images.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, ., ., H, W)
                images = windows[torch.arange(len(images)), :, top, left]
        if self.mirror and draws is not None:
            flipped = (draws[:, 2] < 0.5).view(-1, 1, 1, 1)
            images = torch.where(flipped.to(images.device), images.flip(-1), images)
        return images


PLAIN = Augment()
