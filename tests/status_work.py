"""A store as runs would leave it, for the tests of status and logs: records, claims, and a queue of our own."""

import os
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tmbench.engine.claims import Job, content_of, read_claim
from tmbench.engine.holdings import take
from tmbench.engine.markers import Marker, marker_path
from tmbench.engine.records import row, write_shard
from tmbench.engine.slurm.site import SEPARATOR
from tmbench.identity import canonical
from tmbench.verb import resolve

SQUEUE = """#!/bin/sh
echo asked >> {folder}/asked
if test -e {folder}/away; then
    echo "slurm_load_jobs error: Unable to contact slurm controller (connect failure)" >&2
    exit 1
fi
cat {folder}/jobs
"""


class Site:
    """A squeue that answers what it is told."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder / "site"
        script = self.folder / "bin" / "squeue"
        script.parent.mkdir(parents=True)
        script.write_text(SQUEUE.format(folder=self.folder))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
        self.answers()

    def answers(self, *jobs):
        """(job, state, reason, name) each."""
        lines = [
            SEPARATOR.join([job, state, reason, "" if state == "PENDING" else "node1", "1:07", name]) + "\n"
            for job, state, reason, name in jobs
        ]
        (self.folder / "jobs").write_text("".join(lines))
        (self.folder / "away").unlink(missing_ok=True)

    def is_away(self):
        (self.folder / "away").touch()

    @property
    def asked(self):
        """How often it was asked."""
        notes = self.folder / "asked"
        return len(notes.read_text().splitlines()) if notes.exists() else 0


class Stored:
    """The store of a study, resolved from the words of the command line."""

    def __init__(self, words):
        folders = [word for before, word in pairwise(words) if before == "--config-dir"]
        overrides = [word for word in words if word not in ("--config-dir", *folders)]
        self.study = resolve(Namespace(overrides=overrides, config_dir=folders))
        self.units = list(self.study.plan.units)
        self.store = self.study.store
        self.count = 0

    def of(self, stage):
        return [unit for unit in self.units if unit.stage == stage]

    def finish(self, units, ago=60.0, seconds=30.0, **more):
        """Records of successes, scores included, that were finished so many seconds ago."""
        rows = []
        for unit in units:
            common = {**self._where(ago), "unit": unit.id, "status": "done", "seconds": seconds, **more}
            measure = "" if unit.stage == "features" else "accuracy"
            rows.append(row(id=unit.id, stage=unit.stage, name=unit.name, measure=measure, value=0.5,
                            key=canonical(unit.key), **common))  # fmt: skip
            rows += [row(id=score.id, stage="score", name=score.name, value=0.5, key=canonical(score.key), **common)
                     for score in unit.scores]  # fmt: skip
        self._write(rows)

    def fail(self, units, failure="bug", ago=60.0, log="", **more):
        rows = [
            row(id=unit.id, unit=unit.id, stage=unit.stage, name=unit.name, status="failed", failure=failure,
                log=log, seconds=10.0, key=canonical(unit.key),
                **{"message": f"went wrong {number}", **self._where(ago), **more})
            for number, unit in enumerate(units)
        ]  # fmt: skip
        self._write(rows)

    def give_up(self, left, ago=60.0):
        self._write([
            row(id=f"run-{self.count}", stage="chunk", name="chunk 3 of run", status="failed", failure="missing_data",
                message=f"5 units in a row failed alike, {len(left)} were left: no such file",
                details={"left": [unit.id for unit in left], "job": "17_3"}, log="/nowhere.log", **self._where(ago))
        ])  # fmt: skip

    def announce(self, *chunks, name="tmbench-a", job="17"):
        """The claim of a run whose job has these chunks of units, and that is over itself."""
        folder = self.study.out / "runs" / f"run-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        claim, _ = take(self.store / "claims", [unit.id for chunk in chunks for unit in chunk], "tiny")
        units = tuple(tuple(unit.id for unit in chunk) for chunk in chunks)
        claim = claim.announce([Job(name, tuple(range(len(chunks))), units)], folder)
        claim.confirm(0, job)
        return claim

    def hold(self, units, folder=""):
        """The claim of a run on this machine: of this process."""
        claim, _ = take(self.store / "claims", [unit.id for unit in units], "tiny")
        if folder:
            claim.path.write_bytes(content_of(claim).replace(b'"folder": ""', f'"folder": "{folder}"'.encode()))
        return read_claim(claim.path)

    def mark(self, folder, chunk, unit, job=""):
        """What a worker leaves that has the unit in hand."""
        path = marker_path(f"{folder}/units.parquet", chunk)
        path.write_text(Marker(path, chunk, unit.id, job).content())

    def _where(self, ago):
        self.count += 1
        finished = datetime.now(UTC) - timedelta(seconds=ago, microseconds=self.count)
        return {"run": "run", "host": "node1", "gpus": 0.0, "memory_mb": 900.0,
                "finished": finished.isoformat(timespec="microseconds")}  # fmt: skip

    def _write(self, rows):
        write_shard(self.store / "records", "made", rows)
