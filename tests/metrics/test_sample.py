import numpy as np
import pytest

from tmbench.metrics import BadSample, Sample

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.standard_normal((30, 6))
LABELS = np.repeat([4, 9, 7], [15, 10, 5])


def test_labels_become_indices_and_the_ids_are_kept():
    sample = Sample(FEATURES, LABELS)
    assert sample.class_count == 3
    assert sample.class_ids.tolist() == [4, 7, 9]
    assert sample.labels.tolist() == [0] * 15 + [2] * 10 + [1] * 5
    assert sample.class_counts.tolist() == [15, 5, 10]
    assert sample.absent_class_ids.tolist() == [0, 1, 2, 3, 5, 6, 8]


def test_sums_and_means_by_class():
    sample = Sample(FEATURES.astype(np.float32), LABELS)
    for index, identifier in enumerate((4, 7, 9)):
        own = FEATURES.astype(np.float32)[identifier == LABELS].astype(float)
        np.testing.assert_allclose(sample.class_means[index], own.mean(0), rtol=1e-12)
        np.testing.assert_allclose(sample.class_sums(sample.features)[index], own.sum(0), rtol=1e-12)


def test_everything_handed_out_is_read_only_and_nothing_is_copied_in_vain():
    features = FEATURES.copy()
    sample = Sample(features, LABELS, posteriors=np.full((30, 4), 0.25))
    assert np.shares_memory(sample.features, features)
    assert np.shares_memory(sample.features64, features)
    shared = [
        sample.features,
        sample.features64,
        sample.centred_features,
        sample.labels,
        sample.class_ids,
        sample.class_counts,
        sample.class_means,
        *sample.class_rows,
        sample.posteriors,
        sample.centred.left,
        sample.centred.values,
        sample.uncentred.right,
    ]
    for array in shared:
        with pytest.raises(ValueError, match="read-only"):
            array[..., 0] = 1
    assert features.flags.writeable


def test_a_decomposition_is_computed_once():
    sample = Sample(FEATURES, LABELS)
    assert sample.centred is sample.centred
    assert sample.uncentred is sample.uncentred


@pytest.mark.parametrize("shape", [(30, 6), (6, 30)])
def test_the_decomposition_gives_back_the_matrix(shape):
    features = RANDOM.standard_normal(shape) + 5
    sample = Sample(features)
    for part, matrix in ((sample.uncentred, features), (sample.centred, features - features.mean(0))):
        np.testing.assert_allclose(part.left * part.values @ part.right.T, matrix, atol=1e-12)
    assert sample.centred.rank == min(shape[0] - 1, shape[1])


@pytest.mark.parametrize("value", [0.1, 1e6, -7.7e-9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_features_have_no_rank(value, dtype):
    sample = Sample(np.full((1001, 5), value, dtype))
    assert sample.centred.rank == 0
    assert sample.uncentred.rank == 1


def test_half_precision_keeps_its_tolerance():
    half = FEATURES.astype(np.float16)
    sample = Sample(half)
    assert sample.features.dtype == np.float32
    assert sample.rank_tolerance == pytest.approx(np.finfo(np.float16).eps * np.linalg.norm(half.astype(float)))


def test_principal_components_ignore_the_order_of_samples():
    order = RANDOM.permutation(30)
    straight = Sample(FEATURES).principal_components(count=4)
    shuffled = Sample(FEATURES[order]).principal_components(count=4)
    np.testing.assert_allclose(shuffled, straight[order], atol=1e-12)


def test_principal_components_beyond_the_rank_are_zero():
    coordinates = Sample(FEATURES[:4]).principal_components(count=6)
    assert coordinates.shape == (4, 6)
    assert np.all(coordinates[:, 3:] == 0)
    assert np.all(coordinates[:, :3].any(axis=0))


def test_softmax_of_extreme_logits():
    sample = Sample(logits=np.array([[1e4, 0.0, -np.inf], [-1e4, -1e4, -1e4]], np.float32))
    np.testing.assert_allclose(sample.posteriors, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])


def with_value(array, value):
    changed = np.array(array, float)
    changed[2, 1] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features": with_value(FEATURES, np.nan)}, "1 values that are NaN or infinite, the first at row 2, column 1"),
        ({"features": with_value(FEATURES, np.inf)}, "Look at the forward pass"),
        ({"features": FEATURES[:0]}, "nothing to score"),
        ({"features": FEATURES[:, :0]}, "nothing to score"),
        ({"features": FEATURES[0]}, "pooled to one row a sample"),
        ({"features": FEATURES.astype(str)}, "pass real numbers"),
        ({"features": FEATURES, "labels": LABELS[:-1]}, "30 features, 29 labels"),
        ({"labels": np.eye(3)[[0, 1, 2]]}, "not one-hot rows"),
        ({"labels": []}, "no labels"),
        ({"labels": [0.5, 1.0]}, "pass whole numbers"),
        ({"labels": [0.0, np.nan]}, "pass whole numbers"),
        ({"labels": ["cat", "dog"]}, "pass whole numbers"),
        ({"posteriors": FEATURES}, "Pass raw outputs of the head as logits="),
        ({"posteriors": np.full((3, 2), 0.4)}, r"rows sum to 0\.8\.\.0\.8"),
        ({"posteriors": np.full((3, 2), np.nan)}, "posteriors hold 6 values"),
        ({"logits": with_value(FEATURES, np.nan)}, "the logits of sample 2"),
        ({"logits": np.full((3, 2), -np.inf)}, "the logits of sample 0"),
        ({"logits": FEATURES, "posteriors": FEATURES}, "pass one of them"),
    ],
)
def test_bad_input_is_refused_in_words(arrays, message):
    with pytest.raises(BadSample, match=message):
        Sample(**arrays)
