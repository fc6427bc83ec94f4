"""A segmentation network: a source's trunk and a decoder."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from tmbench.identity import Seeds
from tmbench.sources.maps import trunk_of
from tmbench.sources.network import drawing, place_of
from tmbench.sources.recipe import SegmentationRecipe
from tmbench.sources.segmentation.decoders import Decoder, LightDecoder
from tmbench.sources.segmentation.trunks import trunk_maps

Built = tuple[str, bool, int]
"""What of a recipe decides on a decoder's layers: ``decoder``, ``fused`` and ``channels``."""


class Segmenter(nn.Module):
    """Gives a class for each position of its trunk's finest map.

    Attributes:
        trunk: a network of timm's interface; its own head, if it has one, is not used.
        decoder: the layers on its maps.
        built: what the decoder was built by; None for one that its trunk came with (torchvision's), which is kept
            whatever a recipe says.
        fresh: names of parts that did not come with the source.
    """

    def __init__(self, trunk: nn.Module, decoder: Decoder, built: Built | None, fresh: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.trunk = trunk
        self.decoder = decoder
        self.built = built
        self.fresh = fresh

    def maps(self, images: Tensor) -> tuple[Tensor, ...]:
        """What the decoder takes, from (n, 3, h, w)."""
        return trunk_maps(self.trunk, images, fused=self.built is not None and self.built[1])

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) → (n, C, h', w') logits, at the resolution of the finest map."""
        logits: Tensor = self.decoder(self.maps(images))
        return logits

    def get_classifier(self) -> tuple[nn.Module, ...]:
        """What knows the classes."""
        return self.decoder.classifiers()


def segmenter(network: nn.Module, recipe: SegmentationRecipe, classes: int, image_size: int, seeds: Seeds) -> Segmenter:
    """A segmentation network around ``network``, which stays as it is.

    A decoder that ``network`` has already is taken over, all but its last layer, if ``recipe`` asks for the same one
    or it is one of torchvision's; else the recipe's is put on the trunk. What is new is drawn on the CPU from
    ``seeds``.

    Args:
        network: a trunk of timm's interface, or a :class:`Segmenter`.
        recipe: for the decoder.
        classes: of the new last layer.
        image_size: height and width in pixels of the images to come.
        seeds: the random streams.

    Raises:
        ConfigError: for a network that gives no maps.
    """
    built = (recipe.decoder, recipe.fused, recipe.channels)
    place = place_of(network)
    if isinstance(network, Segmenter) and network.built in (None, built):
        model = deepcopy(network)
        with drawing(seeds.integer("head")):
            model.decoder.renew(classes)
        model.fresh = ("decoder.classifier",)
        return model
    trunk = deepcopy(trunk_of(network))
    trunk.reset_classifier(0)  # type: ignore[operator]
    with torch.no_grad():
        blank = torch.zeros(1, 3, image_size, image_size, device=place)
        maps = trunk_maps(trunk.eval(), blank, recipe.fused)
    with drawing(seeds.integer("head")):
        decoder = LightDecoder(recipe, [each.shape[1] for each in maps], classes)
    model = Segmenter(trunk, decoder, built, fresh=("decoder",))
    return model.to(place).to(memory_format=torch.channels_last).eval()
