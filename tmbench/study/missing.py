"""What a study reads and is not there, files of weights and folders of data: said by ``plan``, refused by ``run``.

Knows no torch.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tmbench.engine.artifacts import artifact_path
from tmbench.engine.records import Records
from tmbench.engine.state import State
from tmbench.sources.options import FileWeights
from tmbench.sources.weight_files import absent
from tmbench.study.compose import Options
from tmbench.study.names import source_parts
from tmbench.study.plan import Plan
from tmbench.study.tuned import searches
from tmbench.study.work import truth_work
from tmbench.targets.options import Target


@dataclass(frozen=True)
class Inputs:
    """What work reads, by the names of options.

    Attributes:
        weights: sources whose file is read.
        own_data: sources whose own data set is read.
        targets: targets.
    """

    weights: set[str] = field(default_factory=set)
    own_data: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)


def missing(options: Options, inputs: Inputs | None = None) -> list[str]:
    """A sentence for each file and each folder that is missing: who wants it, where to get it, where to put it.

    Args:
        options: of the study, every file and folder located.
        inputs: only these; all where None.
    """
    inputs = inputs or Inputs(set(options.source), set(options.source), set(options.target))
    wanted: dict[str, list[str]] = {}
    for name, source in options.source.items():
        for part in source.parts if name in inputs.weights else ():
            if part.start is not None and (problem := absent(part.start)):
                wanted.setdefault(problem, []).append(name)
    own_data = [
        (name, part.pretrained_on)
        for name, source in options.source.items()
        if name in inputs.own_data
        for part in source.parts
    ]
    targets = [(name, target) for name, target in options.target.items() if name in inputs.targets]
    for name, data in (*own_data, *targets):
        if data is not None and (problem := _absent_folder(data, options.paths.data)):
            wanted.setdefault(problem, []).append(options.groups.get(name, name))
    return [f"{', '.join(dict.fromkeys(names))}: {problem}" for problem, names in wanted.items()]


def missing_for(plan: Plan, state: State, retry: Collection[str] = ()) -> list[str]:
    """The same, of what the work that is left will read: what is done needs it no more."""
    if not missing(plan.options):
        return []  # nearly always, and without a look at every unit
    return missing(plan.options, _read_by_what_is_left(plan, state, retry))


def _read_by_what_is_left(plan: Plan, state: State, retry: Collection[str]) -> Inputs:
    inputs = Inputs()
    every = plan.options.source.items()
    from_files = {name for name, o in every if any(isinstance(part.weights, FileWeights) for part in o.parts)}
    made_of = {name: {option for option, _ in source_parts(name)} for name, _ in every}
    left = state.to_do(retry)
    for unit in left:
        if unit.stage == "pretrain":
            of_it = {name for name, options in made_of.items() if unit.source in options}  # cut or joined ones too
            inputs.weights.update(of_it)
            inputs.own_data.update(of_it)
            continue
        done = unit.stage == "features" and unit.id in state.records.done
        if done and artifact_path(state.store, "features", unit.id).exists():
            continue  # scores from a stored pass
        inputs.weights.update({unit.source} & from_files)
        inputs.targets.add(unit.target)
        if unit.stage == "features" and unit.config["own_layers"]:
            inputs.own_data.add(unit.source)
    # What a tuning has not come to yet will be read without another question.
    for source, target in _awaited(plan, state.records) if left else ():
        inputs.weights.update({source} & from_files)
        inputs.targets.add(target)
    return inputs


def _awaited(plan: Plan, records: Records) -> Iterator[tuple[str, str]]:
    """The cells of which a tuning has not chosen all values yet; none without a tuning."""
    stages = len(plan.sweep.tuning)
    found = searches(plan, records, truth_work(plan)) if stages else {}
    return (cell for cell, every in found.items() if len(every) < stages or every[-1].chosen is None)


def _absent_folder(data: Target, place: str) -> str | None:
    """What to do about the folder of a data set that is not there, in one sentence; None when it is."""
    path = Path(data.folder)
    if not data.folder or path.is_dir():
        return None
    looked_for = path.is_relative_to(Path(place).expanduser().resolve())
    remedy = "set paths.data" if looked_for else "correct 'folder' in the option file"
    return f"the folder {path} is missing: put the set there, or {remedy}."
