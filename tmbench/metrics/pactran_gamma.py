"""PACTran-Gamma: a PAC-Bayesian bound on the error, with Gamma rates of target classes for each source class."""

from typing import Annotated, Literal

import numpy as np

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.fits.likelihood import class_blocks
from tmbench.metrics.fits.variational import scored, share_out
from tmbench.metrics.parameters import Interval
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score


@metric(
    tasks=("classification", "segmentation", "detection"),
    needs=("posteriors", "labels"),
)
def pactran_gamma(
    sample: FeatureSet,
    *,
    variant: Literal["exact", "comparable"] = "exact",
    concentration: Annotated[float, Interval(1e-6)] = 1.0,
    iterations: Annotated[int, Interval(1)] = 10,
) -> Score:
    """A lower bound on log p(labels) / (n C) - 1, the posteriors s mixing rates r_cz with Gamma(a, 1) priors.

    sample.posteriors: (n, C_s); sample.labels: (n,) in 0..C-1. With a_c = ``concentration`` · n_c/n the bound is

        Σ_cz [log Γ(A_cz) - log Γ(a_c)] - Σ_iz q_iz log(q_iz / s_iz) - Σ_i [log l_i - 1],   l_i = Σ_z s_iz Σ_c A_cz,

    A_cz = a_c + Σ_{i in c} q_iz and q_iz ∝ s_iz exp(ψ(A_cz)), updated ``iterations`` times from q = s; as in the
    published code, A is that of the q before the last. The paper's cost is 1 less the bound over n C. Posteriors are
    raised by 1e-10 where their logarithm is taken, as published. Any real value. O(iterations · n C_s), without the
    published code's (n, C, C_s) array.

    Variants: 'exact' is the published code to rounding, but absent class ids are not counted in C. 'comparable' is
    1 + C · (score + 1) / H(y): the bound in nats a sample against the entropy of the labels; 0 for one class.

    Flags: degenerate when all posteriors are one row.

    Ding et al., PACTran: PAC-Bayesian metrics for estimating the transferability of pretrained models to
    classification tasks, ECCV 2022, Section 3.

    >>> from tmbench.metrics import score
    >>> posteriors = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7]]
    >>> round(float(score("pactran_gamma", labels=[0, 0, 1, 1], posteriors=posteriors)), 6)
    -1.211666
    """
    from scipy.special import gammaln, psi

    assert sample.posteriors is not None
    found = share_out(sample, concentration, iterations, psi)
    rates = found.counts.sum(axis=0)
    logarithms = sum(
        float(np.sum(np.log(sample.posteriors[rows] @ rates))) for _, rows in class_blocks(sample, len(rates))
    )
    bound = float(np.sum(gammaln(found.counts) - gammaln(found.prior))) - found.divergence - logarithms + sample.n
    return scored(sample, bound, variant, less=1.0)
