import numpy as np
import pytest

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import load
from tmbench.targets.options import RegressionTarget
from tmbench.targets.puppets import puppets
from tmbench.targets.regression import load as load_regression
from tmbench.targets.skeletons import AT, ENDS, PARTS, POINTS, Poses, covered, distance_to_limb, random_poses

STYLES = ("sticks", "clothed", "textured", "sketch", "silhouettes")


def shipped(start="puppets_"):
    folders = OptionFolders()
    names = [name for name in folders.names("target") if name.startswith(start)]
    return {
        name: RegressionTarget.model_validate(one) for name, one in describe_options("target", names, folders).items()
    }


def drawn(split="train", size=40, seed="unit", style="clothed", **options):
    return puppets(split, size, Seeds(seed), style=style, **options)


def pixels(data):
    return [data.image(i).tobytes() for i in range(len(data))]


def test_every_shipped_option_declares_the_points_and_its_style():
    targets = shipped()
    assert len({one.parameters["style"] for one in targets.values()}) >= 3
    assert {one.outputs for one in targets.values()} == {2, 10}
    for name, target in targets.items():
        assert target.points == POINTS
        assert target.family == f"puppets_{target.parameters['style']}"
        assert name.startswith(target.family)
    # All of one style are of the same images, so that source and target may share them.
    assert len({one.data_set() for one in targets.values()}) == len({one.family for one in targets.values()})


@pytest.mark.parametrize("style", STYLES)
def test_each_style_gives_images_with_points(style):
    options = {"function": "tmbench.targets.puppets:puppets", "parameters": {"style": style}, "points": POINTS}
    target = RegressionTarget(task="regression", image_size=48, sizes={"train": 70, "test": 70}, **options)
    seen = []
    for split in ("train", "test"):
        data = load_regression(target, split, keep_hidden=True)
        assert len(data) == 70
        assert data.image(69).shape == (48, 48, 3)
        values = data.values[np.isfinite(data.values)]
        assert 0 <= values.min() < values.max() <= 1
        assert (data.lengths > 0.4).all()
        assert (data.lengths <= 1).all()
        share = np.isnan(data.values[:, ::2]).mean(axis=0)
        assert (share > 0).all()
        assert (share < 0.4).all()
        np.testing.assert_array_equal(np.isnan(data.values[:, ::2]), np.isnan(data.values[:, 1::2]))
        seen.append(set(pixels(data)))
    assert not seen[0] & seen[1]


def test_the_same_seeds_give_the_same_figures_and_fewer_are_the_first_of_more():
    again, more, other = drawn(size=70), drawn(size=80), drawn(size=70, seed="other")
    np.testing.assert_array_equal(drawn(size=70).values, again.values)
    assert pixels(drawn(size=70)) == pixels(again) == pixels(more)[:70]
    np.testing.assert_array_equal(again.values, more.values[:70])
    assert not set(pixels(other)) & set(pixels(again))
    assert len(drawn(size=None, pool=33)) == 33


def test_draws_take_other_figures_of_the_pool_for_training_alone():
    target = shipped("puppets_sticks_left_hand_draws")["puppets_sticks_left_hand_draws"]
    few = {"sizes": {"train": 30, "validation": 20, "test": 20}, "draws": {"count": 3}}
    content = target.model_dump() | few
    content["parameters"] = {**content["parameters"], "pool": 60}
    members = list(RegressionTarget.model_validate(content).members().values())
    for split, kinds in (("train", 3), ("validation", 1), ("test", 1)):
        found = [load(one, split) for one in members]
        assert len({data.values.tobytes() for data in found}) == kinds
        assert all(len(data) + data.hidden == (30 if split == "train" else 20) for data in found)


def test_left_is_left_and_nothing_moves_without_bend():
    still = random_poses(50, 0.0, np.random.default_rng(0)).points
    for part in ("shoulder", "elbow", "hand", "hip", "knee", "foot"):
        assert (still[:, AT[f"left_{part}"], 0] > still[:, AT[f"right_{part}"], 0]).all()
    moved = random_poses(400, 1.0, np.random.default_rng(0))
    assert (moved.points[:, AT["left_shoulder"], 0] > moved.points[:, AT["right_shoulder"], 0]).all()
    assert (moved.points[:, AT["left_hand"], 0] < moved.points[:, AT["right_hand"], 0]).any()
    assert (np.abs(moved.points) < 1).all()
    # The pose is in the joints: hands reach over most of the image.
    assert (moved.points[:, AT["left_hand"]].std(axis=0) > 0.25).all()


def test_what_is_hidden_by_the_figure_itself_agrees_with_a_loop():
    poses = random_poses(60, 1.0, np.random.default_rng(3))
    radii = np.random.default_rng(0).uniform(0.05, 0.2, (len(PARTS), 2))
    found = covered(poses, radii)
    names = list(PARTS)
    extra = {"pelvis": ["left_thigh", "right_thigh"]}
    extra |= {f"{side}_{joint}": ["torso"] for side in ("left", "right") for joint in ("shoulder", "hip")}
    for n in range(60):
        for p, point in enumerate(POINTS):
            own = [part for part in names if point in PARTS[part] or part in extra.get(point, [])]
            nearest = max(poses.depth[n, names.index(part)] for part in own)
            over = False
            for k in range(len(names)):
                a, b = poses.points[n, ENDS[k][0]], poses.points[n, ENDS[k][1]]
                place = poses.points[n, p]
                squared = ((b - a) ** 2).sum()
                share = min(1.0, max(0.0, (place - a) @ (b - a) / squared)) if squared > 0 else 0.0
                reach = poses.scale[n] * (radii[k, 0] + share * (radii[k, 1] - radii[k, 0]))
                inside = np.linalg.norm(place - a - share * (b - a)) < reach
                over |= bool(inside and poses.depth[n, k] > nearest)
            assert found[n, p] == over
    assert 0.03 < found.mean() < 0.6


def test_a_nearer_arm_hides_the_head_and_a_farther_one_does_not():
    points = np.full((2, len(POINTS), 2), 5.0)
    points[:, AT["head"]] = 0.0
    points[:, AT["left_elbow"]], points[:, AT["left_wrist"]] = [-0.5, 0.0], [0.5, 0.0]
    depth = np.zeros((2, len(PARTS)))
    depth[:, list(PARTS).index("left_forearm")] = [1, -1]
    hidden = covered(Poses(points, depth, np.ones(2)), np.full((len(PARTS), 2), 0.05))
    assert hidden[:, AT["head"]].tolist() == [True, False]


def test_the_distance_to_a_disc_and_to_a_limb():
    x = np.array([[0.0, 3.0, 1.0]])
    y = np.array([[4.0, 0.0, 1.0]])
    start, end, radii = np.array([[0.0, 0.0]]), np.array([[2.0, 0.0]]), np.array([[1.0, 0.5]])
    np.testing.assert_allclose(distance_to_limb(x, y, start, start, radii)[0], [3, 2, np.sqrt(2) - 1])
    np.testing.assert_allclose(distance_to_limb(x, y, start, end, radii)[0], [3, 0.5, 0.25])


def test_points_lie_on_the_figure():
    data = puppets("train", 200, Seeds("unit"), style="silhouettes", noise=0.0, bars=0)
    dark, light = [], []
    for i in range(200):
        grey = data.image(i).mean(axis=2)
        for x, y in data.values[i].reshape(-1, 2)[[AT["head"], AT["pelvis"], AT["left_knee"], AT["right_elbow"]]]:
            if np.isfinite(x):
                dark.append(grey[int(y * 48), int(x * 48)])
        light.append(grey[0, 0])
    assert np.max(dark) < 0.35 * 255 < np.min(light)


def test_bars_hide_points():
    without, one, three = (np.isnan(drawn(size=128, bars=bars).values).mean() for bars in (0, 1, 3))
    assert 0.01 < without < one < three < 0.6


def test_an_unknown_style_is_named():
    with pytest.raises(ConfigError, match=r"no style is named 'stick'.*'sticks'"):
        drawn(style="stick")
