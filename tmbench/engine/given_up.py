"""Chunks that were given up early, as unit after unit failed alike, and whose other units nobody has done since."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tmbench.engine.state import State


@dataclass(frozen=True)
class GivenUp:
    """A chunk.

    Attributes:
        name: of the chunk and its run.
        failure: the class of the failures.
        message: of the last of them, and how many there were.
        log: where it is written.
        job: SLURM's id of the worker's job, "" elsewhere.
        left: ids of the plan's units that it left and that are still to be done.
    """

    name: str
    failure: str
    message: str
    log: str
    job: str
    left: tuple[str, ...]


def given_up(state: State) -> list[GivenUp]:
    """The chunks, the latest first; a unit that several left stands under the latest."""
    records = state.records
    stages = records.column("stage") if records.failed else []
    places = [records.rows_of(attempt)[0] for attempt in records.failed.values()]
    chunks = [at for at in places if stages[at] == "chunk"]
    finished = records.column("finished") if chunks else []
    return list(_still_left(state, sorted(chunks, key=lambda at: finished[at], reverse=True)))


def _still_left(state: State, chunks: list[int]) -> Iterator[GivenUp]:
    told: set[str] = set()
    for at in chunks:
        name, failure, message, log, details = (
            state.records.column(column)[at] for column in ("name", "failure", "message", "log", "details")
        )
        facts = json.loads(details)
        left = [id for id in facts["left"] if state.status.get(id) in ("pending", "waiting") and id not in told]
        told.update(left)
        if left:
            yield GivenUp(name, failure, message, log, facts["job"], tuple(left))
