"""Handwritten digits: the 1,797 real 8 × 8 images that scikit-learn ships (UCI, Alpaydin and Kaynak 1998)."""

import numpy as np

from tmbench.identity import Seeds
from tmbench.targets.classification import BadData, LabelledImages

# Of each class's 174 to 183 images; train gets the rest. The folds never overlap, whatever sizes are asked for.
FOLDS = {"test": slice(0, 90), "validation": slice(90, 120), "train": slice(120, None)}


def digits(split: str, size: int, seeds: Seeds, image_size: int = 32, noise: float = 0.0) -> LabelledImages:
    """``size`` of the split's images, classes balanced, enlarged bilinearly to ``image_size``.

    Raises:
        BadData: when the split has fewer images than ``size``.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    chosen = []
    for label in range(10):
        of_class = seeds.generator("folds", label).permutation(np.flatnonzero(source.target == label))
        fold = of_class[FOLDS[split]]
        wanted = size // 10 + (label < size % 10)
        if wanted > len(fold):
            raise BadData(f"digits: split '{split}' has {len(fold)} images of {label}; {wanted} were asked for.")
        chosen.append(fold[:wanted])
    order = seeds.generator(f"order {split}").permutation(np.concatenate(chosen))
    grey = enlarge(source.images[order].astype(np.float32) / 16.0, image_size)
    if noise:
        grey = grey + seeds.generator(f"noise {split}").normal(0.0, noise, grey.shape)
    images = np.repeat((np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)[..., None], 3, axis=3)
    return LabelledImages(images, source.target[order].astype(np.int64), tuple("0123456789"))


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Bilinear interpolation of (n, h, h) to (n, size, size), pixel centres aligned."""
    old = images.shape[1]
    place = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    low = np.minimum(place.astype(int), old - 2)
    share = (place - low).astype(np.float32)
    rows = images[:, low] * (1 - share)[None, :, None] + images[:, low + 1] * share[None, :, None]
    return rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share
