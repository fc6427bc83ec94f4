"""Typed schemas of the option groups, and of the settings of the machine.

The groups that describe work (source, target, level, recipe, metric) have their schema beside the code that does
the work; here stand the rest and the table of all.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tmbench.features.options import Level
from tmbench.metrics.options import MetricOption
from tmbench.sources.options import Source
from tmbench.sources.recipe import Recipe
from tmbench.targets.options import Target


class Option(BaseModel):
    """A value that an option file describes: no unknown keys, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MeasureOption(Option):
    """An evaluation measure: a function of (truth (S, n), scores (S, n)) that gives (S,)."""

    function: str
    title: str = ""


class PoolOption(Option):
    """Which subsets of a query's candidates form the pools."""

    rule: Literal["all", "leave_out", "size"]
    count: int = Field(default=0, ge=0)
    title: str = ""


class Cluster(Option):
    """Where units run.

    ``workers`` 0 means one process a core. ``flush_seconds`` bounds the work that a killed worker loses beside the
    unit in progress.
    """

    kind: Literal["debug", "local"]
    workers: int = Field(default=0, ge=0)
    chunk_minutes: float = Field(default=60.0, gt=0)
    chunks_per_worker: int = Field(default=1, ge=1)
    flush_seconds: float = Field(default=5.0, gt=0, le=10)

    @property
    def processes(self) -> int:
        """How many worker processes run at a time; 0 is none, the work is done by the caller."""
        from tmbench.engine.clusters import cores

        return 0 if self.kind == "debug" else self.workers or cores()


class Paths(Option):
    """Where the store of units and the output of sweeps lie; relative to the working directory."""

    store: str
    out: str


GROUPS: dict[str, type[BaseModel]] = {
    "source": Source,
    "target": Target,
    "level": Level,
    "recipe": Recipe,
    "metric": MetricOption,
    "measure": MeasureOption,
    "pool": PoolOption,
}
"""The axes of a sweep that have option files (``seed`` is the one axis of plain numbers)."""
