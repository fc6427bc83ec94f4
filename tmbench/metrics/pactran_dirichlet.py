"""PACTran-Dirichlet: a PAC-Bayesian bound on the error, with a Dirichlet over target classes for each source class."""

from typing import Annotated, Any, Literal

import numpy as np

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.fits.variational import scored, share_out
from tmbench.metrics.parameters import Interval
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score


def _range(n: int, d: int, classes: int, *, variant: str = "exact", **_: Any) -> tuple[float, float]:
    return float("-inf"), 1.0 if variant == "comparable" else 0.0


@metric(
    tasks=("classification", "segmentation", "detection"),
    needs=("posteriors", "labels"),
    range=_range,
)
def pactran_dirichlet(
    sample: FeatureSet,
    *,
    variant: Literal["exact", "comparable"] = "exact",
    concentration: Annotated[float, Interval(1e-6)] = 1.0,
    iterations: Annotated[int, Interval(1)] = 10,
) -> Score:
    """A lower bound on log p(labels) / (n C), the posteriors s mixing unknown p(c|z) with Dirichlet(a) priors.

    sample.posteriors: (n, C_s); sample.labels: (n,) in 0..C-1. With a_c = ``concentration`` · n_c/n the bound is

        Σ_z [log B(A_z) - log B(a)] - Σ_iz q_iz log(q_iz / s_iz),

    B the multivariate beta function, A_cz = a_c + Σ_{i in c} q_iz and q_iz ∝ s_iz exp(ψ(A_cz) - ψ(Σ_c A_cz)), updated
    ``iterations`` times from q = s; as in the published code, A is that of the q before the last. The paper's cost is
    minus this over n C, so the score is on a scale of 1/C nats a sample. Posteriors are raised by 1e-10, as
    published. Range (-inf, 0]. O(iterations · n C_s), in two products of the rows with a vector each; no (n, C, C_s)
    array as in the published code, and no (n, C_s) copy.

    Variants: 'exact' is the published code to rounding, but absent class ids are not counted in C. 'comparable' is
    1 + C · score / H(y), at most 1: the bound in nats a sample against the entropy of the labels; about 0 for
    posteriors that know nothing, and below where the bound pays for its parameters; 0 for one class.

    Flags: degenerate when all posteriors are one row.

    Ding et al., PACTran: PAC-Bayesian metrics for estimating the transferability of pretrained models to
    classification tasks, ECCV 2022, Section 3.

    >>> from tmbench.metrics import score
    >>> posteriors = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7]]
    >>> round(float(score("pactran_dirichlet", labels=[0, 0, 1, 1], posteriors=posteriors)), 6)
    -0.33552
    """
    from scipy.special import gammaln, psi

    found = share_out(
        sample, concentration, iterations, lambda counts: psi(counts) - psi(counts.sum(axis=0, keepdims=True))
    )
    before = float(gammaln(found.prior.sum()) - gammaln(found.prior).sum())
    after = gammaln(found.counts.sum(axis=0)) - gammaln(found.counts).sum(axis=0)
    bound = float(np.sum(before - after)) - found.divergence
    return scored(sample, min(bound, 0.0), variant)  # the floor may carry it over the end
