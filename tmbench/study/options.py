"""Typed schemas of the option groups, and of the settings of the machine.

The groups that describe work (source, target, level, recipe, metric) have their schema beside the code that does
the work; here stand the rest and the table of all.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tmbench.engine.options import Cluster
from tmbench.features.options import Level
from tmbench.functions import check_parameters, find_function
from tmbench.metrics.options import MetricOption
from tmbench.sources.options import Source
from tmbench.sources.recipes import RECIPES
from tmbench.study.tables.options import CellsOption
from tmbench.targets.options import TARGETS

if TYPE_CHECKING:
    from tmbench.stats.measures import Measure


class Option(BaseModel):
    """A value that an option file describes: no unknown keys, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MeasureOption(Option):
    """An evaluation measure: a function of (truth (..., n), scores (..., n), **parameters) that gives (...,).

    Attributes:
        function: ``package.module:function`` or ``/folder/file.py:function``.
        parameters: what differs from the function's own defaults.
        title: how tables and figures call it; "" is the shipped title, or the option's name in words.
        better: which values are good ones.
    """

    function: str
    parameters: dict[str, Any] = {}
    title: str = ""
    better: Literal["higher", "lower"] = "higher"

    def bind(self, name: str, where: str = "") -> "Measure":
        """The measure of the option ``name``; ``where`` is its file, for messages.

        Raises:
            ConfigError: when there is no such function, it does not admit the parameters, or ``better`` is wrong.
        """
        from tmbench.stats.measures import bound

        where = where or f"conf/measure/{name}.yaml"
        check_parameters(self.function, self.parameters, 2, where)
        return bound(name, find_function(self.function), self.parameters, self.title, self.better, where)

    def key(self) -> dict[str, Any]:
        """What changes the values, as plain JSON values."""
        return self.model_dump(mode="json", exclude={"title"})


class PoolOption(Option):
    """Which subsets of a query's candidates form the pools.

    Attributes:
        rule: ``all``: one pool, all candidates. ``subsets``: every subset of one size. ``without_family``: one pool a
            family, all candidates but that family's. ``size_matched``: with the candidates in order of size, every
            ``size`` neighbours are a pool.
        size: how many candidates a pool holds (``subsets``, ``size_matched``).
        fraction: or which part of them, rounded down (``subsets``).
        leave_out: or how many it lacks (``subsets``).
        most: at most so many pools, drawn at random without repetition (``subsets``); all of them where there are
            fewer.
        seed: another seed draws other pools; equal candidates have equal draws.
        among: ``query``: pools are formed from the candidates that the query has. ``study``: they are formed from all
            candidates of the scenario and are the same for every query; what a query has not, such as its own source,
            is then left out of them.
        title: a few words for people.
    """

    rule: Literal["all", "subsets", "without_family", "size_matched"]
    size: int | None = Field(default=None, ge=2)
    fraction: float | None = Field(default=None, gt=0, le=1)
    leave_out: int | None = Field(default=None, ge=0)
    most: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    among: Literal["query", "study"] = "query"
    title: str = ""

    @model_validator(mode="after")
    def _fits_its_rule(self) -> "PoolOption":
        given = [name for name in ("size", "fraction", "leave_out") if getattr(self, name) is not None]
        if self.rule == "subsets" and len(given) != 1:
            raise PydanticCustomError(
                "pool", "subsets need exactly one of size, fraction and leave_out, and have {n}", {"n": _listed(given)}
            )
        if self.rule == "size_matched" and given != ["size"]:
            raise PydanticCustomError("pool", "size_matched needs 'size' and has {n}", {"n": _listed(given)})
        if self.rule in ("all", "without_family") and given:
            raise PydanticCustomError("pool", "the rule '{r}' takes no '{n}'", {"r": self.rule, "n": given[0]})
        if self.most is not None and self.rule != "subsets":
            raise PydanticCustomError("pool", "'most' draws subsets; the rule '{r}' has none", {"r": self.rule})
        if self.most is None and self.seed:
            raise PydanticCustomError("pool", "'seed' changes nothing without 'most'", {})
        return self

    def key(self) -> dict[str, Any]:
        """What changes the pools, as plain JSON values."""
        return self.model_dump(mode="json", exclude={"title"})


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "none"


class Paths(Option):
    """Where the store, the output of sweeps, published weights and data of the user's lie."""

    store: str
    out: str
    weights: str
    data: str


class Stored(Option):
    """What of the features a pass stores; part of no id, for scores agree to 1e-8.

    ``rows``: all of them. ``moments``: sums over the rows (``tmbench.metrics.Moments``) at each layer where the metrics
    of the sweep read no more; a metric that reads rows keeps them.
    """

    features: Literal["rows", "moments"]


SETTINGS: dict[str, type[BaseModel]] = {"cluster": Cluster, "paths": Paths, "store": Stored}
"""The settings of the machine: groups of which one option holds for the whole sweep."""

GROUPS: dict[str, type[BaseModel] | dict[str, type[Any]]] = {
    "source": Source,
    "target": TARGETS,
    "level": Level,
    "recipe": RECIPES,
    "metric": MetricOption,
    "measure": MeasureOption,
    "pool": PoolOption,
    "cells": CellsOption,
}
"""The axes of a sweep that have option files (``seed`` is the one axis of plain numbers): a schema, or one a task."""
