"""Files of published weights that a study needs and that are not there: said by ``plan``, refused by ``run``.

Knows no torch.
"""

from collections.abc import Collection

from tmbench.engine.state import State
from tmbench.sources.options import FileWeights
from tmbench.sources.weight_files import absent
from tmbench.study.compose import Options
from tmbench.study.plan import Plan


def missing_files(options: Options, sources: Collection[str] | None = None) -> list[str]:
    """A sentence for each file that is missing, with the sources that want it, where to get it and where to put it.

    Args:
        options: of the study, every source's file located.
        sources: only these; all where None.
    """
    wanted: dict[str, list[str]] = {}
    for name, source in options.source.items():
        chosen = sources is None or name in sources
        if chosen and source.start is not None and (problem := absent(source.start)):
            wanted.setdefault(problem, []).append(name)
    return [f"{', '.join(names)}: {problem}" for problem, names in wanted.items()]


def missing_for(plan: Plan, state: State, retry: Collection[str] = ()) -> list[str]:
    """The same, of the files that the work which is left will read: what is done needs them no more."""
    if not missing_files(plan.options):
        return []  # nearly always, and without a look at every unit
    from_files = {name for name, o in plan.options.source.items() if isinstance(o.weights, FileWeights)}
    left = {unit.source for unit in state.to_do(retry) if unit.stage == "pretrain" or unit.source in from_files}
    return missing_files(plan.options, left)
