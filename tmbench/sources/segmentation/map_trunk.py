"""A network that gives maps by name, such as those within torchvision's segmentation networks, as a trunk."""

from typing import Any

import numpy as np
from torch import Tensor, nn


class MapTrunk(nn.Module):
    """Such a network with timm's interface around it, so that it serves without a decoder too.

    Attributes:
        body: (n, 3, h, w) → maps by name, the last of them the coarsest.
        num_features: channels of that one.
    """

    def __init__(self, body: nn.Module, num_features: int) -> None:
        super().__init__()
        self.body = body
        self.num_features = self.head_hidden_size = num_features
        self.num_classes = 0
        self.head: nn.Module = nn.Identity()

    def maps(self, images: Tensor) -> tuple[Tensor, ...]:
        """All maps, in the body's order."""
        return tuple(self.body(images).values())

    def forward_features(self, images: Tensor) -> Tensor:
        """The coarsest map."""
        return self.maps(images)[-1]

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """(n, C) logits, or (n, d) what the head sees: the mean over all positions."""
        pooled = features.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) → (n, C) logits, or what a head would see as long as there is none."""
        return self.forward_head(self.forward_features(images))

    def get_classifier(self) -> nn.Module:
        """The head; ``Identity`` where there is none."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Take a new head of so many outputs; none for 0."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which parameters belong together, in timm's form.

        Each child of the body is a group; with ``coarse``, of a MobileNet (whose children are its single blocks) all
        up to the next one that halves the resolution.
        """
        children = {name: child for name, child in self.body.named_children() if list(child.parameters())}
        strided = [bool(getattr(child, "_is_cn", False)) for child in children.values()]
        stages = np.cumsum(strided) if coarse and any(strided) else np.arange(len(children))
        stem = [name for name in children if name in ("conv1", "bn1")] or list(children)[:1]
        blocks = [
            (rf"^body\.{name}\.", (int(stage),))
            for name, stage in zip(children, stages, strict=True)
            if name not in stem
        ]
        return {"stem": rf"^body\.(?:{'|'.join(stem)})\.", "blocks": blocks}
