"""How many threads numeric libraries take: one a worker, because workers fill the cores."""

import os

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class one_thread:
    """Keep numeric libraries at one thread: two torch threads on a busy two-core machine were eight times slower.

    One thread also makes sums come out in one order, hence results equal bit for bit.
    """

    def __enter__(self) -> None:
        from threadpoolctl import threadpool_limits

        for name in THREAD_VARIABLES:
            os.environ[name] = "1"
        self._limits = threadpool_limits(1)

    def __exit__(self, *error: object) -> None:
        self._limits.restore_original_limits()
