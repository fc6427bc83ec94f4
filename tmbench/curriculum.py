"""``tmbench curriculum``: from the scores between tasks to an order in which to learn them, and what to learn first."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.verb import Study, guarded, parser, resolve

if TYPE_CHECKING:
    from tmbench.stats.transfer import Evaluation, Transfer
    from tmbench.study.transfer import Gaps, Tasks

ABOUT = """From a sweep whose targets are what its sources are trained on: an order in which to learn the tasks, each
from an earlier one or from scratch; the sources that cover all targets; and how the order did, by truths that were
really trained, against random ones.

  tmbench curriculum sweep=demo_tasks                all that the sweep names; the first metric is drawn
  tmbench curriculum sweep=demo_tasks metric=logme   by another metric
  tmbench curriculum sweep=demo_tasks budget=2       which two tasks to learn, for all

Keys beside the axes: out=DIR, budget=K (tasks to learn at most; without it each number is tried), share=X (of the best
source's value that each target has to get from the fewest tasks; 0.9)."""

KEYS = ("budget", "share")
SHARE = 0.9
NAMED = 3
"""So many missing cells are named."""


@partial(guarded, stopped="Files are whole, of this run or of the one before.")
def main(arguments: Sequence[str] | None = None) -> int:
    """Say in which order to learn a study's tasks, and write it down; exit 1 when a run has left something to do."""
    command = parser("curriculum", ABOUT)
    command.add_argument("--json", action="store_true", help="the same as JSON")
    options = command.parse_intermixed_args(arguments)
    study = resolve(options, KEYS)
    tasks, budget, share = _asked(study)
    from tmbench.report.curricula import facts, print_curricula

    evaluations, gaps, without = _evaluations(study, tasks, budget, share)
    files = _write(study, evaluations)
    if options.json:
        told = {"sweep": study.plan.sweep.name, "tasks": list(evaluations[0].transfer.names), "without": without}
        missing = {"scores": len(gaps.scores), "truths": len(gaps.truths)}
        print(json.dumps({**told, "missing": missing, "curricula": facts(evaluations)}, indent=2))
    else:
        print_curricula(evaluations)
    for why in without.values():
        print(f"note: {why}", file=sys.stderr)
    return _finish(study, evaluations, gaps, files, quiet=options.json)


def _asked(study: Study) -> "tuple[Tasks, int, float]":
    """The tasks of the study, the budget (0 for each) and the share.

    Raises:
        ConfigError: when the study has no tasks that are sources and targets, or a key is wrong.
    """
    from tmbench.errors import ConfigError
    from tmbench.study.transfer import tasks_of

    plan, extra = study.plan, study.extra
    if study.published:
        raise ConfigError(
            f"{plan.sweep.name} has published cells, which do not say what their sources were trained on."
        )
    if not plan.sweep.metric:
        raise ConfigError(f"{plan.sweep.name} names no metric, and a curriculum is made from scores: metric=hscore.")
    budget, share = extra.get("budget", 0), extra.get("share", SHARE)
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < ("budget" in extra):
        raise ConfigError(f"budget={budget}: say how many tasks are learned at most, 1 or more.")
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 1:
        raise ConfigError(
            f"share={share}: say which share of the best value each target has to get, above 0 and at most 1."
        )
    return tasks_of(plan), budget, float(share)


def _evaluations(
    study: Study, tasks: "Tasks", budget: int, share: float
) -> "tuple[list[Evaluation], Gaps, dict[str, str]]":
    """A curriculum for each recipe, level and metric that has scores, what is missing, and why a metric has none.

    Raises:
        NothingMatched: when no score is there yet.
        ConfigError: when none ever will be.
    """
    import numpy as np

    from tmbench.errors import ConfigError, NothingMatched
    from tmbench.stats.transfer import evaluated
    from tmbench.study.cells import collect
    from tmbench.study.transfer import gaps, transfers, without_scores

    plan, state = study.plan, study.state()
    cells, _ = collect(plan, state.records, own=True)
    every = transfers(tasks, cells)
    scored = [one for one in every if not np.isnan(one.between_tasks(one.values)).all()]
    without = without_scores(cells, {one.metric for one in scored})
    missing = gaps(tasks, cells, plan.sweep.own == "scored")
    if not scored and gaps(tasks, cells, scored_own=False).scores:
        raise NothingMatched(f"no score of {plan.sweep.name} is there yet. Next: tmbench run {study.command}")
    if not scored:
        why = "; ".join(without.values())
        raise ConfigError(f"{why}. Name other metrics, or more sources: metric=hscore source=[A,B,…].")
    state.check_keys()
    found = []
    for one in scored:
        budgets = [budget] if budget else range(1, len(one.units) + 1)
        found.append(evaluated(one, budgets, share, np.random.default_rng(0)))
    return found, missing, without


def _write(study: Study, every: "Sequence[Evaluation]") -> dict[str, Path]:
    """The order, the matrix, all of it as JSON, and the figures, in the study's folder ``curriculum`` or ``out=``."""
    from pandas import DataFrame

    from tmbench.files import whole_file
    from tmbench.report.curricula import curriculum_rows, facts, matrix_rows
    from tmbench.report.curriculum_figures import curriculum_figures

    folder = study.out if "out" in study.extra else study.out / "curriculum"
    tables: dict[str, list[dict[str, Any]]] = {
        "curriculum": [row for one in every for row in curriculum_rows(one)],
        "matrix": [row for one in every for row in matrix_rows(one.transfer)],
    }
    contents = {f"{name}.csv": DataFrame(rows).to_csv(index=False).encode() for name, rows in tables.items()}
    contents["curriculum.json"] = (json.dumps(facts(every), indent=2) + "\n").encode()
    contents |= curriculum_figures(every)
    for name, content in contents.items():
        with whole_file(folder / name) as stream:
            stream.write(content)
    return {name: folder / name for name in contents}


def _finish(study: Study, every: "Sequence[Evaluation]", missing: "Gaps", files: dict[str, Path], quiet: bool) -> int:
    """Say what is missing, what to beware of, and what to open or run next; the exit code."""
    from tmbench.reporting import shown

    first = every[0].transfer
    if first.scale == "ranged":
        why = "the sweep does not score sources on their own targets (own: scored)"
        if study.plan.sweep.own == "scored":
            why = f"{first.metric} may be negative, or has no score of some target's own source"
        print(f"note: nothing is normalised by the target's own feature: {why}", file=sys.stderr)
    if first.scratch is None:
        print("note: no source of random weights is named: what is learned first has no truth", file=sys.stderr)
    above = _pairs_above_one(first)
    if above:
        print(
            f"note: {first.metric} puts {above} above the target's own feature: joined features are wider, which alone "
            "raises many scores; compare metric=shrunk_hscore",
            file=sys.stderr,
        )
    for name, cells in (("scores", missing.scores), ("truths", missing.truths)):
        if cells:
            more = ", …" if len(cells) > NAMED else ""
            count = f"{len(cells)} cell{'s' * (len(cells) > 1)}"
            print(f"missing: {name} of {count}: {', '.join(cells[:NAMED])}{more}", file=sys.stderr)
    left = bool(missing.scores or missing.truths)
    if not quiet:
        graph = shown(files["transfer_graph.png"])
        print(f"{len(files)} files in {graph.parent}")
        print(f"next: tmbench run {study.command}" if left else f"next: open {graph}")
    return int(left)


def _pairs_above_one(transfer: "Transfer") -> str:
    """How many transfers of joined sources are normalised to more than 1; "" for none."""
    if transfer.scale != "normalised":
        return ""
    joined = [row for row, members in zip(transfer.values, transfer.members, strict=True) if len(members) > 1]
    above = sum(int((row > 1).sum()) for row in joined)
    return f"{above} of {sum(int((row == row).sum()) for row in joined)} transfers of joined sources" if above else ""


if __name__ == "__main__":
    sys.exit(main())
