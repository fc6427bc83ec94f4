"""Chaos: a sweep on the test cluster while workers, nodes, the controller, runs and the store fail, by a seeded plan.

    python tests/slurm/chaos.py --faults 200 --seed 1 --out results/chaos        (make chaos)

The sweep is first run undisturbed on this machine. Then it runs on the cluster, in a fresh store each round, until so
many faults were injected; nothing but `run` and `status` brings each round to its end. Afterwards everything must be
there, once, and `aggregate` must give the undisturbed run's tables, byte for byte.
"""

import argparse
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from subprocess import CalledProcessError, TimeoutExpired

from deck import Deck
from faults import Faults, birth, busy, in_hand, mount, queued, quick_to_notice, unmount, workers
from figures import ends_of_jobs, report
from sweep_under_fire import Call, Sweep, deadly_sbatch
from verdict import first_value, judge

from tmbench.engine.state import State
from tmbench.verb import parser, resolve

SHORT = [
    "sweep=demo",
    "source=[small_resnet_letters,small_resnet_strokes,small_resnet_random,small_vit_letters,small_vit_random]",
    "pool=[all,leave_1_out]",
    "seed=0",
]
"""The demo, less of it: pretrainings of half a minute, fine-tunings of seconds."""
ON_CLUSTER = [
    "cluster=slurm",
    "cluster.chunk_minutes=0.1",
    "cluster.flush_seconds=1",
    "cluster.checkpoint_minutes=0.03",
    "cluster.needs.memory_gb=2",
    "cluster.slurm.max_concurrent=4",
    "cluster.slurm.signal_seconds=20",
]
TIME_LIMIT = ["cluster.needs.minutes=1", "cluster.slurm.signal_seconds=40", "cluster.chunk_minutes=10"]
"""A minute, and a warning 40 s before its end: long chunks are interrupted after some 15 s."""
LOOK_SECONDS = 1.0
STUCK_SECONDS = 420.0
START_SECONDS = 10.0
FULL_QUEUE = 5
"""As long as so many jobs of workers are queued, `run` is not called again."""


class Round:
    """One store, from nothing to done."""

    def __init__(self, sweep: Sweep, deck: "Deck", random: random.Random) -> None:
        self.sweep = sweep
        self.deck = deck
        self.random = random
        self.faults = Faults(sweep, random)
        arguments = parser("status", "").parse_intermixed_args(sweep.command("status")[3:])
        self.units = resolve(arguments).plan.units
        self.calls: list[Call] = []
        self.all_calls: list[Call] = []
        self.seen: dict[str, float | None] = {}
        self.resumed: set[tuple[str, int]] = set()
        self.done = False
        self.held: frozenset[str] = frozenset()
        self._next_fault = time.monotonic() + 5
        self._next_look = 0.0
        self._moved = time.monotonic()
        self._limited: list[Call] = []

    def play(self) -> None:
        """Until all is done and the faults of this round are mended.

        Raises:
            RuntimeError: when nothing moves any more.
        """
        while not (self.done and not self.calls and not self.held and not queued() and not workers(self.sweep.out)):
            self.faults.mend()
            self.calls = [call for call in self.calls if not call.over]
            if time.monotonic() >= self._next_look and not self.faults.down & {"controller"}:
                self.look()
            if time.monotonic() >= self._next_fault and not self.done and self.worth_it():
                self.inject()
            if self.done and self.faults.later:
                self.faults.mend(all_of_it=True)
            if time.monotonic() - self._moved > STUCK_SECONDS:
                raise RuntimeError(f"nothing has moved for {STUCK_SECONDS:.0f} s: {self.sweep.status()}")
            time.sleep(0.2)

    def look(self) -> None:
        """See where the sweep stands, and call `run` as a user would, when there is something for it to do."""
        state = State(self.units, self.sweep.store)
        records = state.records
        now = {id: first_value(records, id) for id in records.done if id not in self.seen}
        if now:
            self._moved = time.monotonic()
            self.seen.update(now)
        self.note_resumed()
        self.held = state.held
        self.done = all(set(counter) <= {"done"} for counter in map(_there, state.counts().values()))
        if not self.done and not self.calls:
            todo = state.to_do()
            if todo and len(queued()) < FULL_QUEUE:
                self.run()
            elif not todo and not self.held:
                self.start("retry=failed")
        self._next_look = time.monotonic() + LOOK_SECONDS

    def run(self) -> None:
        """Call `run`: all of it or some chunks of it, and with a fault of its own where one is due."""
        some = ["-n", str(self.random.randint(1, 4))] if self.random.random() < 0.85 else []
        kind = self.deck.at_run()
        if kind is None:
            self.start(*some)
        elif kind == "run twice at once":
            both = [self.start(*some) for _ in range(self.random.choice([2, 2, 3]))]
            self.deck.later(kind, lambda: sum(_had_work(call) for call in both) > 1)
        elif kind == "run killed at a random moment":
            call = self.start(*some)
            at = time.monotonic() + self.random.uniform(0.3, 2)
            self.faults.later.append((at, call.process.kill))
            self.deck.later(kind, lambda: call.killed)
        elif kind == "time limit in the middle of a training":
            call = self.start(*some, *TIME_LIMIT)
            self.deck.later(kind, lambda: self.interrupted(call))
        else:
            call = self.start(*some, sbatch=deadly_sbatch("before" if "claim" in kind else "after"))
            self.deck.later(kind, lambda: call.killed)

    def start(self, *more: str, sbatch: str = "") -> Call:
        call = self.sweep.start("run", "--yes", *more, sbatch=sbatch)
        self.calls.append(call)
        self.all_calls.append(call)
        return call

    def interrupted(self, call: Call) -> bool:
        """Whether a worker of this `run` ended at its time limit: by the warning, or by force."""
        said = [line for line in call.text().splitlines() if line.startswith("submitted: ")]
        arrays = said[0].removeprefix("submitted: ").split(", ") if said else []
        logs = [path for array in arrays for path in self.sweep.out.glob(f"*/runs/*/jobs/*/{array}_*_log.*")]
        signs = ("Caught signal", "DUE TO TIME LIMIT")
        return any(sign in path.read_text(errors="replace") for path in logs for sign in signs)

    def worth_it(self) -> bool:
        """Whether several workers are at work, or one has been for longer than it takes a worker to begin."""
        count = len(busy(self.sweep.out))
        return count > 1 or (count == 1 and time.monotonic() > self._next_fault + START_SECONDS)

    def inject(self) -> None:
        """The next fault of the deck that meets anything now; now and then somebody asks how things stand."""
        if self.random.random() < 0.3:
            self.all_calls.append(self.sweep.start("status"))
        for kind in self.deck.candidates():
            with suppress(CalledProcessError, TimeoutExpired):  # SLURM may be as unable as its users to hear this
                met = self.faults.kinds()[kind]()
                if met is not None:
                    self.deck.injected(kind, met)
                    break
        self._next_fault = time.monotonic() + self.random.uniform(*self.deck.pace)

    def note_resumed(self) -> None:
        """Trainings that a worker goes on with from a state that was saved before it was born."""
        born = {job: (pid, birth(pid)) for pid, job in workers(self.sweep.out).items()}
        for job, unit, since in in_hand(self.sweep.out):
            state = self.sweep.store / "checkpoints" / unit[:2] / f"{unit}.safetensors"
            with suppress(OSError, KeyError):
                pid, began = born[job]
                if state.stat().st_mtime < began < since:
                    self.resumed.add((unit, pid))

    def finish(self, tables: dict[str, bytes]) -> "tuple[list[str], Counter[str]]":
        """What the round came to: what is wrong, and figures."""
        self.faults.mend(all_of_it=True)
        last = self.sweep.say("run", "--yes")
        ids = {unit.id for unit in self.units}
        scores = {score.id for unit in self.units for score in unit.scores}
        verdict = judge(self.sweep, ids, scores, self.seen, tables)
        verdict.hold(last.process.returncode == 0, f"the last run ends with {last.process.returncode}: {last.text()}")
        broken = [call.log.name for call in self.all_calls if "Traceback" in call.text()]
        verdict.hold(not broken, f"ended with a traceback: {broken}")
        self.deck.settle()
        figures = verdict.figures
        figures["calls of run and status"] += len(self.all_calls)
        figures["trainings resumed from a saved state"] += len(self.resumed)
        figures.update(ends_of_jobs(self.sweep.out))
        return verdict.wrong, figures


def _had_work(call: Call) -> bool:
    """Whether a `run` had units before it, its own or another's."""
    return "submitted:" in call.text() or "left to" in call.text()


def _there(counter: Counter[str]) -> set[str]:
    return {name for name, count in counter.items() if count}


def main() -> int:
    options = _options()
    if os.geteuid():
        sys.exit("chaos mounts the store's file system and ends daemons: it needs root, as the test cluster does.")
    began = time.monotonic()
    chance = random.Random(options.seed)
    work = Path(options.work or tempfile.mkdtemp(prefix="tmbench-chaos-")).absolute()
    quiet = Sweep(options.sweep, ["cluster=local"], work / "undisturbed")
    call = quiet.say("run")
    if call.process.returncode:
        sys.exit(call.text())
    tables = quiet.tables()
    alone = time.monotonic() - began
    print(f"undisturbed: {len(tables)} files of tables after {alone:.0f} s", file=sys.stderr, flush=True)
    quick_to_notice(True)
    deck = Deck(options.faults, list(Faults(quiet, chance).kinds()), chance, tuple(options.pace))
    wrong: list[str] = []
    figures: Counter[str] = Counter()
    while deck.left or not figures["rounds"]:
        figures["rounds"] += 1
        sweep = Sweep(options.sweep, [*ON_CLUSTER, *options.cluster], work / f"round{figures['rounds']}")
        mount(sweep.store)
        game = Round(sweep, deck, chance)
        try:
            game.play()
            problems, found = game.finish(tables)
            figures.update(found)
            wrong += [f"round {figures['rounds']}: {problem}" for problem in problems]
        except Exception:
            wrong.append(f"round {figures['rounds']}: {traceback.format_exc()}")
        finally:
            game.faults.mend(all_of_it=True)
            if wrong:
                shutil.copytree(sweep.store, sweep.folder / "kept")
            unmount(sweep.store)
        print(f"round {figures['rounds']}: {len(deck.counts)} kinds, {deck.left} faults left", file=sys.stderr)
        if wrong:
            break
    quick_to_notice(False)
    figures["seconds"] = round(time.monotonic() - began)
    figures["peak memory of a verb, MB"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    report(Path(options.out), options.seed, options.sweep, deck, figures, wrong)
    if wrong:
        print(f"what is left to look at: {work}", file=sys.stderr)
    elif not options.work:
        shutil.rmtree(work)
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--faults", type=int, default=200)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--sweep", nargs="+", default=SHORT, help="what names the sweep: sweep=NAME and overrides")
    words.add_argument("--cluster", nargs="*", default=[], help="overrides of the profile, cluster.…=…")
    words.add_argument(
        "--pace", nargs=2, type=float, default=[0.8, 3.0], help="seconds between faults, at least, at most"
    )
    words.add_argument("--work", help="a folder for stores and outputs; a temporary one, unless something is wrong")
    words.add_argument("--out", required=True, help="where the figures go")
    return words.parse_args()


if __name__ == "__main__":
    sys.exit(main())
