"""Textures: noise filtered by a spectrum of its own for each class, at any phase, light and colour."""

from dataclasses import dataclass

import numpy as np

from tmbench.identity import Seeds
from tmbench.targets.canvas import in_parts, to_uint8
from tmbench.targets.classification import LabelledImages, balanced_labels
from tmbench.targets.shapes import draw_outlines, random_outlines


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
    spectra = Spectra.drawn(seeds.generator("spectra"), classes, lobes)
    generator = seeds.generator(split)
    labels = balanced_labels(size, classes, generator)

    def draw(part: np.ndarray) -> np.ndarray:
        grey = spectra.fields(part, generator, image_size, turn)
        return to_uint8(coloured(grey, generator), generator, noise)

    return LabelledImages(in_parts(labels, draw), labels, _names(classes))


def fabrics(
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
    """Of which texture is the piece? A shape cut from the class's texture lies on one of any other class.

    Neither the shape nor its ground tells the class. Arguments as in :func:`textures`.
    """
    spectra = Spectra.drawn(seeds.generator("spectra"), classes, lobes)
    outlines = random_outlines(seeds.generator("shapes"), 12, 4)
    generator = seeds.generator(split)
    labels = balanced_labels(size, classes, generator)

    def draw(part: np.ndarray) -> np.ndarray:
        n = len(part)
        other = (part + generator.integers(1, classes, n)) % classes
        front = coloured(spectra.fields(part, generator, image_size, turn), generator)
        ground = coloured(spectra.fields(other, generator, image_size, turn), generator)
        mask = draw_outlines(
            outlines[generator.integers(len(outlines), size=n)],
            generator.uniform(-0.15, 0.15, (n, 2)),
            generator.uniform(0.8, 1.0, n),
            generator.uniform(0, 2 * np.pi, n),
            image_size,
        )[..., None]
        return to_uint8(front * mask + ground * (1 - mask), generator, noise)

    return LabelledImages(in_parts(labels, draw), labels, _names(classes))


@dataclass(frozen=True)
class Spectra:
    """What makes each class's texture: arrays (classes, lobes), and ``bend`` (classes,)."""

    frequency: np.ndarray
    direction: np.ndarray
    sharpness: np.ndarray
    bend: np.ndarray

    @classmethod
    def drawn(cls, generator: np.random.Generator, classes: int, lobes: int) -> "Spectra":
        """Random spectra: cycles a pixel, radians, the peaks' width, which of three bends."""
        return cls(
            generator.uniform(0.06, 0.32, (classes, lobes)),
            generator.uniform(0.0, np.pi, (classes, lobes)),
            generator.uniform(0.02, 0.07, (classes, lobes)),
            generator.integers(3, size=classes),
        )

    def fields(self, labels: np.ndarray, generator: np.random.Generator, size: int, turn: float) -> np.ndarray:
        """(n, size, size) grey values of about unit variance, one field a label, turned by up to ``turn`` degrees."""
        n = len(labels)
        zoom = generator.uniform(0.9, 1.1, (n, 1))
        angle = self.direction[labels] + np.deg2rad(generator.uniform(-turn, turn, (n, 1)))
        u = (self.frequency[labels] * zoom * np.cos(angle))[:, :, None, None]
        v = (self.frequency[labels] * zoom * np.sin(angle))[:, :, None, None]
        fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
        width = 2 * self.sharpness[labels][:, :, None, None] ** 2
        # Both signs of the peak, for only half of the spectrum of a real image is kept.
        peaks = np.exp(-((fx - u) ** 2 + (fy - v) ** 2) / width) + np.exp(-((fx + u) ** 2 + (fy + v) ** 2) / width)
        white = np.fft.rfft2(generator.standard_normal((n, size, size)))
        grey = np.fft.irfft2(white * peaks.sum(axis=1), s=(size, size))
        grey -= grey.mean(axis=(1, 2), keepdims=True)
        grey /= grey.std(axis=(1, 2), keepdims=True)
        kinds = np.stack([grey, np.sign(grey), np.abs(grey) * 2 - 1.6])
        return kinds[self.bend[labels], np.arange(n)]


def coloured(grey: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(n, h, w, 3) float32: the grey values as swings about a random colour, of a random sign."""
    n = len(grey)
    middle = generator.uniform(0.35, 0.65, (n, 1, 1, 3))
    swing = generator.uniform(0.08, 0.2, (n, 1, 1, 1)) * generator.uniform(0.7, 1.3, (n, 1, 1, 3))
    sign = generator.choice([-1.0, 1.0], (n, 1, 1, 1))
    return (middle + sign * swing * grey[..., None]).astype(np.float32)


def _names(classes: int) -> tuple[str, ...]:
    return tuple(f"texture {i}" for i in range(classes))
