"""Articulated figures: where the joints of a random pose lie, which part of the body hides which of them."""

from dataclasses import dataclass

import numpy as np

SIDES = ("left", "right")
LIMB_POINTS = ("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "foot")

POINTS = ("head", "neck", "pelvis", *(f"{side}_{name}" for side in SIDES for name in LIMB_POINTS))
"""The 19 points of a figure. It faces the viewer: its left shoulder is on the right of its body in the image."""

AT = {name: row for row, name in enumerate(POINTS)}

PARTS: dict[str, tuple[str, str]] = {
    "torso": ("neck", "pelvis"),
    "neck": ("neck", "head"),
    "head": ("head", "head"),
    **{
        f"{side}_{part}": (f"{side}_{start}", f"{side}_{end}")
        for side in SIDES
        for part, start, end in (
            ("upper_arm", "shoulder", "elbow"),
            ("forearm", "elbow", "wrist"),
            ("palm", "wrist", "hand"),
            ("thigh", "hip", "knee"),
            ("shin", "knee", "ankle"),
            ("sole", "ankle", "foot"),
        )
    },
}
"""The parts of a body and the points between which each lies."""

ENDS = np.array([[AT[start], AT[end]] for start, end in PARTS.values()])

LENGTHS = {
    "torso": 0.62, "neck": 0.25, "upper_arm": 0.33, "forearm": 0.31, "palm": 0.13, "thigh": 0.40, "shin": 0.39,
    "sole": 0.15,
}  # fmt: skip
SHOULDER, HIP = 0.2, 0.13
"""Half the distances of the shoulders and of the hips."""


@dataclass(frozen=True)
class Poses:
    """n figures.

    Attributes:
        points: (n, 19, 2) x and y on axes from -1 to 1.
        depth: (n, parts) how near each part is; a nearer one hides a farther one.
        scale: (n,) the length of a figure's unit.
    """

    points: np.ndarray
    depth: np.ndarray
    scale: np.ndarray


def random_poses(n: int, bend: float, generator: np.random.Generator) -> Poses:
    """Figures of random joint angles, size and place, whole in the image.

    Args:
        n: how many.
        bend: the joints' angles reach so far, 1 being as far as a body's do.
        generator: the random stream.
    """
    points = np.zeros((n, len(POINTS), 2))

    def angle(low: float, high: float) -> np.ndarray:
        middle, half = (low + high) / 2, (high - low) / 2
        return np.deg2rad(middle + generator.uniform(-half, half, n) * bend)

    def bone(start: str, end: str, part: str, down: np.ndarray) -> None:
        # Bones that lean towards the viewer or away look shorter.
        length = LENGTHS[part] * generator.uniform(0.8, 1.0, n)
        points[:, AT[end]] = points[:, AT[start]] + length[:, None] * np.stack([np.sin(down), np.cos(down)], axis=1)

    lean = angle(-20, 20)
    bone("neck", "pelvis", "torso", lean)
    bone("neck", "head", "neck", lean + np.pi + angle(-25, 25))
    across = np.stack([np.cos(lean), -np.sin(lean)], axis=1) * generator.uniform(0.75, 1.0, (n, 1))
    for side, sign in zip(SIDES, (1, -1), strict=True):
        points[:, AT[f"{side}_shoulder"]] = points[:, AT["neck"]] + sign * SHOULDER * across
        points[:, AT[f"{side}_hip"]] = points[:, AT["pelvis"]] + sign * HIP * across
        arm = lean + sign * angle(-25, 150)
        bone(f"{side}_shoulder", f"{side}_elbow", "upper_arm", arm)
        arm = arm + sign * angle(-70, 110)
        bone(f"{side}_elbow", f"{side}_wrist", "forearm", arm)
        bone(f"{side}_wrist", f"{side}_hand", "palm", arm + angle(-40, 40))
        leg = lean + sign * angle(-15, 60)
        bone(f"{side}_hip", f"{side}_knee", "thigh", leg)
        leg = leg - sign * angle(-15, 70)
        bone(f"{side}_knee", f"{side}_ankle", "shin", leg)
        bone(f"{side}_ankle", f"{side}_foot", "sole", leg + sign * angle(40, 100))
    scale = generator.uniform(0.75, 1.0, n)
    low, high = points.min(axis=1), points.max(axis=1)
    half = (high - low) / 2
    scale = np.minimum(scale, 0.88 / half.max(axis=1))
    room = np.maximum(0.94 - half * scale[:, None], 0)
    place = generator.uniform(-1, 1, (n, 2)) * room
    points = (points - ((low + high) / 2)[:, None]) * scale[:, None, None] + place[:, None]
    return Poses(points, _depths(n, generator), scale)


def _depths(n: int, generator: np.random.Generator) -> np.ndarray:
    """(n, parts): arms lie before or behind the torso, legs behind it, in random order; a limb's outer parts nearer."""
    depth = np.zeros((n, len(PARTS)))
    names = list(PARTS)
    depth[:, names.index("neck")] = 0.01
    depth[:, names.index("head")] = 0.5
    for side in SIDES:
        arm = np.where(generator.random(n) < 0.7, 1.0, -1.0) + generator.uniform(-0.2, 0.2, n)
        leg = -0.5 + generator.uniform(-0.2, 0.2, n)
        for base, parts in ((arm, ("upper_arm", "forearm", "palm")), (leg, ("thigh", "shin", "sole"))):
            for step, part in enumerate(parts):
                depth[:, names.index(f"{side}_{part}")] = base + step * 1e-3
    return depth


def covered(poses: Poses, radii: np.ndarray) -> np.ndarray:
    """(n, 19) bool: the points over which a nearer part lies that does not end in them.

    Args:
        poses: the figures.
        radii: (parts, 2) of each part at its ends, in units of the figure.
    """
    own = np.zeros((len(POINTS), len(PARTS)), dtype=bool)
    for part, ends in enumerate(ENDS):
        own[ends, part] = True
    for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip"):
        own[AT[name], list(PARTS).index("torso")] = True
    own[AT["pelvis"], [list(PARTS).index(f"{side}_thigh") for side in SIDES]] = True
    nearest_own = np.where(own, poses.depth[:, None, :], -np.inf).max(axis=2)
    found = np.zeros(poses.points.shape[:2], dtype=bool)
    for part, (start, end) in enumerate(ENDS):
        inside = distance_to_limb(
            poses.points[..., 0],
            poses.points[..., 1],
            poses.points[:, start],
            poses.points[:, end],
            poses.scale[:, None] * radii[part],
        )
        found |= (inside < 0) & (poses.depth[:, part, None] > nearest_own)
    return found


def distance_to_limb(x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """The distance of places to n round-ended limbs, negative inside; of the shape of ``x`` and ``y`` together.

    Args:
        x: (n or 1, …) of the places.
        y: the same; what they have in common is computed once.
        start: (n, 2).
        end: (n, 2); of a disc equal to ``start``.
        radii: (n, 2) at the two ends.
    """
    dtype = x.dtype
    shape = (len(start), *(1,) * (x.ndim - 1))
    ax, ay = (start[:, i].astype(dtype).reshape(shape) for i in (0, 1))
    bx, by = ((end - start)[:, i].astype(dtype).reshape(shape) for i in (0, 1))
    first, last = (radii[:, i].astype(dtype).reshape(shape) for i in (0, 1))
    squared = bx * bx + by * by
    safe = np.where(squared > 0, squared, 1)
    dx, dy = x - ax, y - ay
    share = dx * (bx / safe) + dy * (by / safe)
    np.clip(share, 0, 1, out=share)
    across = dx - share * bx
    down = dy - share * by
    across *= across
    down *= down
    across += down
    np.sqrt(across, out=across)
    across -= first + share * (last - first)
    return np.asarray(across)
