"""The state of a plan: what is done, failed, in work, waiting or still to do; read from records and claims alone."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tmbench.engine.artifacts import artifact_path
from tmbench.engine.claims import Claim, held_claims
from tmbench.engine.failures import MAX_ATTEMPTS, RETRIED
from tmbench.engine.records import Records
from tmbench.engine.units import STAGES, Unit
from tmbench.errors import TmbenchError
from tmbench.identity import canonical

Status = Literal["done", "failed", "claimed", "waiting", "pending"]


class KeyCollision(TmbenchError):
    """A stored id stands for another key than the plan's: never go on with either."""


@dataclass(frozen=True)
class Failure:
    """A unit or a score that failed and has no success."""

    id: str
    stage: str
    name: str
    failure: str
    message: str
    log: str
    attempts: int


class State:
    """The units of a plan against a store."""

    def __init__(
        self, units: Sequence[Unit], store: Path, records: Records | None = None, own: Claim | None = None
    ) -> None:
        """Read the store.

        Args:
            units: the plan's units, each after the one it loads weights from.
            store: the store's folder.
            records: what was read of it already; the new shards are added.
            own: the asking run's claim, which keeps nothing from that run itself.

        Raises:
            KeyCollision: when a stored record's key is not the plan's.
        """
        self.units = tuple(units)
        self.store = store
        self.records = (records or Records()).merge(store / "records")
        self.claims = [claim for claim in held_claims(store / "claims") if own is None or claim.path != own.path]
        self.claimed = frozenset[str]().union(*(claim.units for claim in self.claims))
        self._check_keys()
        self.status: dict[str, Status] = {}
        for unit in self.units:
            self.status[unit.id] = self._status(unit)

    def _check_keys(self) -> None:
        for unit in self.units:
            for id, key in [(unit.id, unit.key), *((score.id, score.key) for score in unit.scores)]:
                rows = self.records.results.get(id)
                if rows and rows[0]["key"] != canonical(key):
                    raise KeyCollision(
                        f"the store holds another key under the id {id} ({rows[0]['name']}) than the plan "
                        f"({unit.name}). Use another store (paths.store=DIR) and report this."
                    )

    def _status(self, unit: Unit) -> Status:
        if self.settled(unit.id) and not self.owed_scores(unit):
            return "failed" if unit.id in self.records.failures else "done"
        if unit.id in self.claimed:
            return "claimed"
        if unit.after and self.status.get(unit.after) not in (None, "done"):
            return "waiting"
        return "pending"

    def settled(self, id: str, retry: Collection[str] = ()) -> bool:
        """Whether nothing more is to be done for ``id``: it succeeded, or failed in a way that is not tried again."""
        if id in self.records.results:
            return True
        failure = self.records.failures.get(id)
        if failure is None or failure["failure"] in retry or "failed" in retry:
            return False
        return failure["failure"] not in RETRIED or self.records.attempts[id] >= MAX_ATTEMPTS

    def owed_scores(self, unit: Unit, retry: Collection[str] = ()) -> list[str]:
        """Ids of the unit's scores that are neither there nor given up; none where the pass itself was given up."""
        if unit.id not in self.records.results and self.settled(unit.id, retry):
            return []
        return [score.id for score in unit.scores if not self.settled(score.id, retry)]

    def to_do(self, retry: Collection[str] = ()) -> list[Unit]:
        """The units a run has to do; a features unit keeps only the scores it still owes.

        A unit whose weights are not there, and are not made by this run either, is left out. Finished pretraining
        whose weights are gone is done again, but only where somebody needs them.

        Args:
            retry: classes of failures to try again (``failed`` for all).
        """
        todo: dict[str, Unit] = {}
        for unit in self.units:
            status = self.status[unit.id]
            if status == "claimed" or (status in ("done", "failed") and not self._tried_again(unit, retry)):
                continue
            owed = set(self.owed_scores(unit, retry))
            todo[unit.id] = replace(unit, scores=tuple(score for score in unit.scores if score.id in owed))
        missing = {unit.after for unit in todo.values() if not has_inputs(unit, self.store)}
        again = {unit.id: unit for unit in self.units if unit.id in missing and self.status[unit.id] == "done"}
        todo = {**again, **todo}
        return [unit for unit in todo.values() if has_inputs(unit, self.store) or unit.after in todo]

    def _tried_again(self, unit: Unit, retry: Collection[str]) -> bool:
        return not self.settled(unit.id, retry) or bool(self.owed_scores(unit, retry))

    def counts(self) -> dict[str, Counter[str]]:
        """Stage → how many units (and, under ``score``, scores) are in each status."""
        out: dict[str, Counter[str]] = {stage: Counter() for stage in (*STAGES, "score")}
        for unit in self.units:
            out[unit.stage][self.status[unit.id]] += 1
            for score in unit.scores:
                out["score"][self._score_status(unit, score.id)] += 1
        return out

    def _score_status(self, unit: Unit, id: str) -> Status:
        if id in self.records.results:
            return "done"
        if self.settled(id) or (self.settled(unit.id) and unit.id in self.records.failures):
            return "failed"
        status = self.status[unit.id]
        return status if status in ("claimed", "waiting") else "pending"

    def failures(self) -> list[Failure]:
        """What failed, of this plan, in the plan's order; scores only where their pass did not fail itself."""
        out = []
        for unit in self.units:
            scores = () if unit.id in self.records.failures else unit.scores
            for id in (unit.id, *(score.id for score in scores)):
                record = self.records.failures.get(id)
                if record is not None:
                    out.append(_failure(record, self.records.attempts[id]))
        return out

    def differing(self) -> list[tuple[str, str]]:
        """(id, measure) of this plan that succeeded twice with different values."""
        mine = {id for unit in self.units for id in (unit.id, *(score.id for score in unit.scores))}
        return [pair for pair in self.records.differing if pair[0] in mine]

    def minutes_left(self) -> float:
        """Estimated single-worker minutes of what is neither done nor given up."""
        return sum(unit.minutes for unit in self.units if self.status[unit.id] not in ("done", "failed"))


def has_inputs(unit: Unit, store: Path) -> bool:
    """Whether what the unit reads is in the store: weights, or for scores alone the pass."""
    if not unit.after or artifact_path(store, "pretrain", unit.after).exists():
        return True
    return unit.stage == "features" and artifact_path(store, "features", unit.id).exists()


def _failure(record: dict[str, Any], attempts: int) -> Failure:
    return Failure(
        record["id"], record["stage"], record["name"], record["failure"], record["message"], record["log"], attempts
    )


def learnt_minutes(units: Iterable[Unit], records: Records) -> dict[str, float]:
    """Unit id → minutes, where finished units of the same stage and recipe (and source family) tell.

    The median of what such units took; a unit of a kind never done keeps the estimate of its options.
    """
    from statistics import median

    took: dict[tuple[str, ...], list[float]] = {}
    kinds = {unit.id: _kind(unit) for unit in units}
    for id, kind in kinds.items():
        rows = records.results.get(id)
        if rows and rows[0]["seconds"] is not None:
            took.setdefault(kind, []).append(rows[0]["seconds"] / 60)
    medians = {kind: median(values) for kind, values in took.items()}
    return {id: medians[kind] for id, kind in kinds.items() if kind in medians}


def _kind(unit: Unit) -> tuple[str, ...]:
    return (unit.stage, unit.recipe, str(unit.config.get("source", {}).get("family", "")))
