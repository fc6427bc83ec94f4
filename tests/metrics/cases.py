"""Inputs of the golden values, regenerated from a seed, and samples with the faults that features have in practice.

A golden case is rebuilt by NumPy's PCG64 in a fixed order of calls; ``test_golden`` compares a checksum of the
arrays first, so that a change of the generator is told from a change of a metric.
"""

import hashlib

import numpy as np


def generator(seed):
    return np.random.Generator(np.random.PCG64(seed))


def checksum(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def blobs(seed, samples, d, classes, separation, sizes=None):
    """Gaussian classes around Gaussian means, sorted by class; the generator goes on to the posteriors."""
    random = generator(seed)
    if sizes is None:
        sizes = np.full(classes, samples // classes)
        sizes[: samples - sizes.sum()] += 1
    labels = np.repeat(np.arange(classes), sizes).astype(np.int64)
    means = separation * random.standard_normal((classes, d))
    return means[labels] + random.standard_normal((len(labels), d)), labels, random


def posteriors_for(random, labels, source_classes, strength=2.0):
    """Softmax of noise, raised at source class (label mod source_classes)."""
    logits = random.standard_normal((len(labels), source_classes))
    logits[np.arange(len(labels)), labels % source_classes] += strength
    logits -= logits.max(1, keepdims=True)
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(1, keepdims=True)


def golden_cases():
    """Name → (features, labels, posteriors), in the dtype the case is stored in."""
    cases = {}

    def plain(name, *arguments, source_classes, sizes=None):
        features, labels, random = blobs(*arguments, sizes=sizes)
        cases[name] = features, labels, posteriors_for(random, labels, source_classes)

    plain("base", 11, 500, 32, 5, 0.5, source_classes=20)
    plain("n_lt_d", 12, 100, 256, 10, 0.3, source_classes=30)
    cases["n_lt_d_f32"] = in_float32(cases["n_lt_d"])
    plain("many_classes", 14, 2000, 64, 100, 0.5, source_classes=50)
    plain("imbalanced_singleton", 15, 790, 48, 8, 0.5, source_classes=10, sizes=[400, 200, 100, 50, 25, 12, 2, 1])
    plain("missing_class", 16, 400, 24, 4, 0.5, source_classes=10)
    features, labels, posteriors = cases["missing_class"]
    cases["missing_class"] = features, np.where(labels >= 2, labels + 1, labels), posteriors
    plain("relu_dead", 17, 600, 128, 10, 0.5, source_classes=15)
    features, labels, posteriors = cases["relu_dead"]
    features = np.maximum(features, 0.0)
    features[:, :10] = 0.0
    cases["relu_dead"] = features, labels, posteriors
    cases["rank_deficient_f32"] = in_float32(rank_deficient())
    plain("one_class", 22, 400, 20, 1, 0.6, source_classes=6)
    return cases


def rank_deficient():
    """300 samples of 64 features that span 20 dimensions."""
    random = generator(18)
    span = random.standard_normal((20, 64))
    labels = np.repeat(np.arange(6), 50)
    means = 0.7 * random.standard_normal((6, 20))
    inner = means[labels] + random.standard_normal((300, 20))
    posteriors = posteriors_for(random, labels, 10)
    return inner @ span, labels.astype(np.int64), posteriors


def in_float32(case):
    features, labels, posteriors = case
    return features.astype(np.float32), labels, posteriors.astype(np.float32)


def awkward_cases():
    """Name → (features, labels, posteriors) with what real features do; every metric must survive each."""
    golden = golden_cases()
    cases = {
        "singleton": golden["imbalanced_singleton"],
        "absent class": golden["missing_class"],
        "dead units": golden["relu_dead"],
        "rank deficient": golden["rank_deficient_f32"],
        "n < d": golden["n_lt_d_f32"],
    }
    features, labels, posteriors = golden["base"]
    cases["large offset"] = features + 1e3, labels, posteriors
    cases["tiny scale"] = features * 1e-6, labels, posteriors
    cases["huge scale"] = features * 1e6, labels, posteriors
    cases["constant features"] = np.full_like(features, 0.1), labels, posteriors
    cases["zero features"] = np.zeros_like(features), labels, posteriors
    cases["equal rows"] = np.repeat(features[::100], 100, axis=0), labels, posteriors
    cases["one feature"] = features[:, :1], labels, posteriors
    cases["labels as features"] = np.eye(5)[labels], labels, np.eye(5)[labels]
    cases["two samples"] = features[[0, -1]], labels[[0, -1]], posteriors[[0, -1]]
    cases["every class once"] = features[::100], labels[::100], posteriors[::100]
    cases["dead source class"] = features, labels, without_column(posteriors)
    return cases


def without_column(posteriors):
    """The posteriors with one source class masked out."""
    masked = posteriors.copy()
    masked[:, 0] = 0
    return masked / masked.sum(1, keepdims=True)
