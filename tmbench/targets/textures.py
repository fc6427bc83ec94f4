"""Textures: noise filtered by a spectrum of its own for each class, at any phase, light and colour."""

import numpy as np

from tmbench.identity import Seeds
from tmbench.targets.canvas import to_uint8
from tmbench.targets.classification import LabelledImages, balanced_labels


def textures(
    split: str,
    size: int,
    seeds: Seeds,
    *,
    classes: int,
    lobes: int = 2,
    image_size: int = 32,
    turn: float = 20.0,
    noise: float = 0.1,
) -> LabelledImages:
    """Which texture is it? A class is a spectrum of ``lobes`` directed peaks and a way to bend the grey values.

    Args:
        split: which images; the spectra are the same in all splits.
        size: how many.
        seeds: the random streams.
        classes: how many spectra are drawn.
        lobes: peaks of a spectrum.
        image_size: height and width in pixels.
        turn: largest rotation of the whole spectrum in degrees.
        noise: standard deviation of the pixels' noise.
    """
    prototypes = seeds.generator("spectra")
    frequency = prototypes.uniform(0.06, 0.32, (classes, lobes))
    direction = prototypes.uniform(0.0, np.pi, (classes, lobes))
    sharpness = prototypes.uniform(0.02, 0.07, (classes, lobes))
    bend = prototypes.integers(3, size=classes)
    generator = seeds.generator(split)
    labels = balanced_labels(size, classes, generator)
    zoom = generator.uniform(0.9, 1.1, (size, 1))
    angle = direction[labels] + np.deg2rad(generator.uniform(-turn, turn, (size, 1)))
    u = (frequency[labels] * zoom * np.cos(angle))[:, :, None, None]
    v = (frequency[labels] * zoom * np.sin(angle))[:, :, None, None]
    fy, fx = np.fft.fftfreq(image_size)[:, None], np.fft.rfftfreq(image_size)[None, :]
    width = 2 * sharpness[labels][:, :, None, None] ** 2
    # Both signs of the peak, for only half of the spectrum of a real image is kept.
    filters = np.exp(-((fx - u) ** 2 + (fy - v) ** 2) / width) + np.exp(-((fx + u) ** 2 + (fy + v) ** 2) / width)
    white = np.fft.rfft2(generator.standard_normal((size, image_size, image_size)))
    grey = np.fft.irfft2(white * filters.sum(axis=1), s=(image_size, image_size))
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    grey /= grey.std(axis=(1, 2), keepdims=True)
    kinds = np.stack([grey, np.sign(grey), np.abs(grey) * 2 - 1.6])
    grey = kinds[bend[labels], np.arange(size)]
    middle = generator.uniform(0.35, 0.65, (size, 1, 1, 3))
    swing = generator.uniform(0.08, 0.2, (size, 1, 1, 1)) * generator.uniform(0.7, 1.3, (size, 1, 1, 3))
    sign = generator.choice([-1.0, 1.0], (size, 1, 1, 1))
    canvas = (middle + sign * swing * grey[..., None]).astype(np.float32)
    return LabelledImages(to_uint8(canvas, generator, noise), labels, tuple(f"texture {i}" for i in range(classes)))
