"""Work that is cut at chosen moments and goes on from its saved state, as often as it takes."""

import json

from tmbench.sources.checkpoints import Saved


class Cut(BaseException):
    """The worker was told to stop."""


class CutAt:
    """Checkpoints in memory that stop the work at the moments, counted over all its lives, that ``when`` accepts."""

    def __init__(self, when):
        self.when = when
        self.moments = 0
        self.cuts = 0
        self.state = None

    def saved(self):
        if self.state is None:
            return None
        arrays, facts = self.state
        return Saved({name: array.copy() for name, array in arrays.items()}, json.loads(facts))

    def due(self):
        self.moments += 1
        return self.when(self.moments)

    def save(self, saved):
        self.state = saved.arrays, json.dumps(saved.facts, allow_nan=False)
        self.cuts += 1
        raise Cut


def to_the_end(work, checkpoints):
    """What ``work(checkpoints)`` gives, begun again after each cut."""
    while True:
        try:
            return work(checkpoints)
        except Cut:
            continue
