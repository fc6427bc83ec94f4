"""The state of a plan: what is done, failed, in work, waiting or still to do; read from records and claims alone."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tmbench.engine.artifacts import artifact_path
from tmbench.engine.batches import Units
from tmbench.engine.claims import Claim
from tmbench.engine.failures import MAX_ATTEMPTS, RETRIED
from tmbench.engine.holdings import Holding, holdings
from tmbench.engine.keys import KeyCollision, check_keys
from tmbench.engine.records import Records
from tmbench.engine.units import STAGES, Score, Unit

__all__ = ["Failure", "KeyCollision", "State", "has_inputs", "learnt_minutes"]

Status = Literal["done", "failed", "running", "queued", "waiting", "pending"]
"""Running: a worker has it in hand. Queued: a run or a queued job holds it. Pending: to be done by the next run."""
HELD: tuple[Status, ...] = ("running", "queued")


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
        self,
        units: Sequence[Unit],
        store: Path,
        records: Records | None = None,
        own: Claim | None = None,
        held: Sequence[Holding] | None = None,
    ) -> None:
        """Read the store.

        Args:
            units: the plan's units, each after the one it loads weights from.
            store: the store's folder.
            records: what was read of it already; the new shards are added.
            own: the asking run's claim, which keeps nothing from that run itself.
            held: the store's holdings, where they were asked for already.
        """
        self.units = Units.of(units)
        self.store = store
        # Before the records: what is finished and given back in between is then read as finished.
        found = holdings(store / "claims") if held is None else held
        self.holdings = [one for one in found if one.units and (own is None or one.claim.path != own.path)]
        self.records = (records or Records()).merge(store / "records")
        self.held = frozenset[str]().union(*(one.units for one in self.holdings))
        self.in_hand = frozenset[str]().union(*(one.in_progress() for one in self.holdings))
        self.status: dict[str, Status] = {}
        done = self.records.done
        for batch in self.units.batches:
            for number, id in enumerate(batch.ids):
                simple = id in done and not batch.scores  # nearly all of a large plan
                self.status[id] = "done" if simple else self._status(id, batch.score_ids(number), batch.after)

    def check_keys(self) -> None:
        """Hold the stored keys to the plan's: for whoever is about to use results, or to add some.

        Raises:
            KeyCollision: when a stored record's key is not the plan's.
        """
        if self.records.done:
            check_keys(self.units, self.store / "records")

    def _status(self, id: str, scores: Sequence[str], after: Sequence[str]) -> Status:
        if self.settled(id) and not self.owed(id, scores) and not self._tried_again(id, scores):
            return "done" if id in self.records.done else "failed"
        if id in self.in_hand:
            return "running"
        if id in self.held:
            return "queued"
        if any(self.status.get(weights) not in (None, "done") for weights in after):
            return "waiting"
        return "pending"

    def _tried_again(self, unit: str, scores: Sequence[str]) -> bool:
        """Whether a run holds the unit that has not failed at it, or at one of these scores, but another has."""
        failed = [id for id in (unit, *scores) if id in self.records.failed] if unit in self.held else []
        if not failed:
            return False
        holders = {Path(one.claim.folder).name for one in self.holdings if unit in one.units and one.claim.folder}
        runs = self.records.column("run")
        return any(holders.difference({runs[self.records.rows_of(self.records.failed[id])[0]]}) for id in failed)

    def settled(self, id: str, retry: Collection[str] = ()) -> bool:
        """Whether nothing more is to be done for ``id``: it succeeded, or failed in a way that is not tried again."""
        if id in self.records.done:
            return True
        failure = self.records.failure(id)
        if failure is None or failure in retry or "failed" in retry:
            return False
        return failure not in RETRIED or self.records.attempts[id] >= MAX_ATTEMPTS

    def owed(self, id: str, scores: Sequence[str], retry: Collection[str] = ()) -> list[str]:
        """Which of its scores a unit owes: neither there nor given up; none where the pass itself was given up."""
        if not scores or (id not in self.records.done and self.settled(id, retry)):
            return []
        return [score for score in scores if not self.settled(score, retry)]

    def to_do(self, retry: Collection[str] = ()) -> list[Unit]:
        """The units a run has to do; a features unit keeps only the scores it still owes.

        A unit whose weights are not there, and are not made by this run either, is left out. Finished pretraining
        whose weights are gone is done again, but only where somebody needs them.

        Args:
            retry: classes of failures to try again (``failed`` for all).
        """
        todo: dict[str, Unit] = {}
        done: dict[str, Unit] = {}
        for batch in self.units.batches:
            for number, id in enumerate(batch.ids):
                status, scores = self.status[id], batch.score_ids(number)
                owed = self.owed(id, scores, retry)
                settled = status in ("done", "failed") and self.settled(id, retry) and not owed
                if status not in HELD and not settled:
                    unit = batch.unit(number)
                    left = unit.scores if len(owed) == len(scores) else _only(unit.scores, owed)
                    todo[id] = unit if left is unit.scores else replace(unit, scores=left)
                elif status == "done" and batch.stage == "pretrain":
                    done[id] = batch.unit(number)
        ready = _Inputs(self.store)
        lacking = {id: ready.lacking(unit) for id, unit in todo.items()}
        missing = {weights for ids in lacking.values() for weights in ids}
        todo = {**{id: unit for id, unit in done.items() if id in missing}, **todo}
        return [unit for id, unit in todo.items() if todo.keys() >= set(lacking.get(id, ()))]

    def counts(self) -> dict[str, Counter[str]]:
        """Stage → how many units (and, under ``score``, scores) are in each status."""
        out: dict[str, Counter[str]] = {stage: Counter() for stage in (*STAGES, "score")}
        for batch in self.units.batches:
            out[batch.stage].update(map(self.status.__getitem__, batch.ids))
            for id, scores in zip(batch.ids, batch.scores, strict=False):
                out["score"].update(self.score_status(id, score) for score in scores)
        return out

    def score_status(self, unit: str, id: str) -> Status:
        """Of a score, by the id of the unit that owes it and its own."""
        if id in self.records.done:
            return "done"
        given_up = self.settled(id) or (unit in self.records.failed and self.settled(unit))
        if given_up and not self._tried_again(unit, (id,)):
            return "failed"
        status = self.status[unit]
        return status if status in (*HELD, "waiting") else "pending"

    def failures(self) -> list[Failure]:
        """What failed, of this plan, in the plan's order; scores only where their pass did not fail itself."""
        failed = self.records.failed
        found = []
        if failed:
            for batch in self.units.batches:
                for number, unit in enumerate(batch.ids):
                    scores = () if unit in failed else batch.score_ids(number)
                    found += [id for id in (unit, *scores) if id in failed]
        return [_failure(self.records.failures[id], self.records.attempts[id]) for id in found]

    def differing(self) -> list[tuple[str, str]]:
        """(id, measure) of this plan that succeeded twice with different values."""
        if not self.records.differing:
            return []
        mine = set(self.units.all_ids())
        return [pair for pair in self.records.differing if pair[0] in mine]

    def minutes_left(self, stage: str = "") -> float:
        """Estimated single-worker minutes of what is neither done nor given up, of one stage or of all."""
        left = 0.0
        for batch in self.units.batches:
            if stage in ("", batch.stage):
                left += batch.minutes * sum(self.status[id] not in ("done", "failed") for id in batch.ids)
        return left


def _only(scores: Sequence[Score], ids: Collection[str]) -> tuple[Score, ...]:
    chosen = frozenset(ids)
    return tuple(score for score in scores if score.id in chosen)


class _Inputs:
    """:func:`has_inputs`, which looks at each file once: a thousand fine-tunings load the same weights."""

    def __init__(self, store: Path) -> None:
        self._exists = cache(lambda stage, id: artifact_path(store, stage, id).exists())

    def lacking(self, unit: Unit) -> list[str]:
        """The units whose weights it reads and that are not there."""
        lacking = [id for id in unit.after if not self._exists("pretrain", id)]
        return [] if lacking and unit.stage == "features" and self._exists("features", unit.id) else lacking


def has_inputs(unit: Unit, store: Path) -> bool:
    """Whether what the unit reads is in the store: weights, or for scores alone the pass."""
    return not _Inputs(store).lacking(unit)


def _failure(record: Mapping[str, Any], attempts: int) -> Failure:
    return Failure(
        record["id"], record["stage"], record["name"], record["failure"], record["message"], record["log"], attempts
    )


def learnt_minutes(units: Sequence[Unit], records: Records) -> dict[tuple[str, str, str], float]:
    """Kind of unit (``Batch.kind``) → minutes, where finished units of that kind tell: the median of what they took."""
    if not records.done:
        return {}
    attempts: dict[tuple[str, str, str], list[int]] = {}
    for batch in Units.of(units).batches:
        found = map(records.done.get, batch.ids)
        attempts.setdefault(batch.kind, []).extend([attempt for attempt in found if attempt is not None])
    seconds = np.array(records.attempted()["seconds"].to_pylist(), dtype=float)
    took = {kind: seconds[numbers] for kind, numbers in attempts.items() if numbers}
    known = {kind: values[~np.isnan(values)] for kind, values in took.items()}
    return {kind: float(np.median(values)) / 60 for kind, values in known.items() if len(values)}
