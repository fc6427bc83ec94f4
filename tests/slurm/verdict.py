"""After a round: is everything there, once, with the same value, and is nothing left lying about?"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sweep_under_fire import Sweep

from tmbench.engine.claims import read_claims
from tmbench.engine.holdings import holdings
from tmbench.engine.records import Records


@dataclass
class Verdict:
    """What a round came to.

    Attributes:
        wrong: what must not be, in words; empty when all is well.
        figures: what may be, counted.
    """

    wrong: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def hold(self, good: bool, text: str) -> None:
        if not good:
            self.wrong.append(text)


def judge(
    sweep: Sweep, ids: set[str], scores: set[str], seen: dict[str, float | None], tables: dict[str, bytes]
) -> Verdict:
    """Hold a finished round to what it must be.

    Args:
        sweep: the round's.
        ids: of the plan's units.
        scores: ids of the plan's scores.
        seen: every result that was ever read during the round, and its value.
        tables: of an undisturbed run.
    """
    out = Verdict()
    code, facts = sweep.status()
    out.hold(code == 0, f"status ends with {code}")
    out.hold(not facts["failures"], f"failures are left: {facts['failures']}")
    out.hold(not facts["differing_successes"], f"successes differ: {facts['differing_successes']}")
    out.hold(not facts["unreadable_shards"], f"unreadable: {facts['unreadable_shards']}")
    _records(out, sweep.store, ids, scores, seen)
    _leftovers(out, sweep, ids)
    now = sweep.tables()
    out.hold(set(now) == set(tables), f"other tables: {sorted(set(now) ^ set(tables))}")
    different = [name for name in now if now[name] != tables.get(name)]
    out.hold(not different, f"tables differ from the undisturbed run's: {different}")
    out.figures["tables compared"] += len(now)
    return out


def _records(out: Verdict, store: Path, ids: set[str], scores: set[str], seen: dict[str, float | None]) -> None:
    records = Records().merge(store / "records")
    out.hold(not records.broken, f"broken shards: {records.broken}")
    lost = [id for id in (*ids, *scores) if id not in records.done]
    gone = [id for id, value in seen.items() if id not in records.done or first_value(records, id) != value]
    out.hold(not lost, f"without a result: {lost}")
    out.hold(not gone, f"results that were there are gone or changed: {gone}")
    doubled = []
    for id, rows in records.results.items():
        measures = [row["measure"] for row in rows]
        if len(set(measures)) < len(measures):
            doubled.append(id)
    out.hold(not doubled, f"two winning rows of one measure: {doubled}")
    attempts = records.attempted()
    successes = Counter(
        id
        for id, status in zip(attempts["id"].to_pylist(), attempts["status"].to_pylist(), strict=True)
        if status == "done"
    )
    again = [id for id in ids if successes[id] > 1]
    out.figures["units that succeeded twice, with equal values"] += len(again)
    out.figures["units and scores"] += len(ids) + len(scores)
    out.figures["lost"] += len(set(lost) | set(gone))
    out.figures["doubled"] += len(doubled)
    for failure, count in Counter(
        records.column("failure")[records.rows_of(number)[0]]
        for number, status in enumerate(attempts["status"].to_pylist())
        if status == "failed"
    ).items():
        out.figures[f"failures recorded on the way: {failure}"] += count


def first_value(records: Records, id: str) -> float | None:
    """The value of the first measure of a result."""
    rows = sorted(records.results[id], key=lambda row: row["measure"])
    return rows[0]["value"]


def _leftovers(out: Verdict, sweep: Sweep, ids: set[str]) -> None:
    store = sweep.store
    held = [one.who for one in holdings(store / "claims") if one.units]
    out.hold(not held, f"claims are still held: {held}")
    kept = [str(claim.path) for claim in read_claims(store / "claims")]
    out.hold(not kept, f"claims name units that are done: {kept}")
    markers = list(sweep.out.glob("*/runs/*/*.chunk*"))
    taken = [path for path in markers if path.name.startswith(".")]  # by a run that was killed while it settled them
    markers = [str(path) for path in markers if path not in taken]
    out.figures["marks of dead workers that a killed run left half settled"] += len(taken)
    out.hold(not markers, f"markers of dead workers: {markers}")
    states = [path for path in (store / "checkpoints").rglob("*.safetensors") if path.stem in ids]
    out.figures["states of trainings left behind (gc removes them)"] += len(states)
    drafts = [path for path in store.rglob(".*") if path.suffix in (".tmp", ".draft")]
    out.figures["half-written files left behind (gc removes them)"] += len(drafts)
