"""Units: the pieces of work that cost compute, each named after everything that changes its result.

A unit has a *key* (what is hashed into its id) and a *config* (what a worker needs to do it). The key leaves out
titles, families, estimates of cost and the folder of a user's file.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from tmbench.functions import portable
from tmbench.identity import content_id
from tmbench.sources.resources import Resources

Stage = Literal["pretrain", "features", "truth"]
STAGES: tuple[Stage, ...] = ("pretrain", "features", "truth")

VERSIONS: dict[str, int] = {"pretrain": 1, "features": 1, "truth": 1, "score": 1}
"""Versions of the algorithms behind the stages. Raise one when its results change: its units get new ids."""


@dataclass(frozen=True, slots=True)
class Score:
    """A score that a features unit owes: a metric at a level."""

    id: str
    name: str
    level: str
    metric: str
    key: dict[str, Any]
    config: dict[str, Any]
    """``function``, ``parameters`` and ``layer`` ("" where no features are read) as the worker needs them."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work.

    Attributes:
        id: hash of ``key``.
        stage: what kind of work.
        name: for people; ``source``, ``target``, ``recipe`` and ``seed`` are its parts.
        key: what changes the result.
        config: what a worker needs: the resolved options.
        minutes: estimated minutes of one worker.
        resources: what the worker needs.
        after: ids of the ``pretrain`` units whose weights this one loads.
        scores: what a features unit owes beside its pass.
    """

    id: str
    stage: Stage
    name: str
    key: dict[str, Any]
    config: dict[str, Any]
    source: str
    target: str = ""
    recipe: str = ""
    seed: int = 0
    minutes: float = 0.0
    resources: Resources = field(default_factory=Resources)
    after: tuple[str, ...] = ()
    scores: tuple[Score, ...] = field(default=())


def unit_key(stage: str, **parts: Any) -> dict[str, Any]:
    """The key of a unit: its stage, the version of that stage's algorithm, and ``parts``."""
    return portable({"stage": stage, "version": VERSIONS[stage], **parts})


def key_id(key: dict[str, Any]) -> str:
    """The id of a unit or a score."""
    return content_id(key)


def pretrain_key(source: dict[str, Any]) -> dict[str, Any]:
    """The key of the unit that makes a source's weights; ``source`` is the source's own key."""
    return unit_key("pretrain", source=source)
