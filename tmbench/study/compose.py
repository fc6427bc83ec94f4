"""From option names to validated options: one Hydra call for a whole sweep.

Composing a config costs Hydra about 50 ms, whatever it holds. So all options of a sweep are composed together, each
relocated to a package of its own (``+source@option.source.o3=small_vit_random``), and a setup is then a tuple of
options. An option file sets keys of its own group only, so nothing is lost by that.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tmbench.errors import ConfigError, unknown
from tmbench.features.options import Level
from tmbench.folders import shipped
from tmbench.metrics.options import MetricOption
from tmbench.sources.options import Source
from tmbench.sources.recipe import Recipe
from tmbench.study.expansion import members_of, sources_named
from tmbench.study.grammar import quoted
from tmbench.study.names import is_among, source_parts
from tmbench.study.options import GROUPS, Cluster, MeasureOption, Paths, PoolOption, Stored
from tmbench.study.settings import checked
from tmbench.study.sweep import Sweep
from tmbench.study.tables.options import CellsOption
from tmbench.study.validation import explain
from tmbench.targets.options import Target


@dataclass(frozen=True)
class Options:
    """Every option of a sweep by name, in the sweep's order, and the settings of the machine."""

    source: dict[str, Source]
    target: dict[str, Target]
    level: dict[str, Level]
    recipe: dict[tuple[str, str], Recipe]
    """Keyed by (task, name): one name means one thing for each task."""
    metric: dict[str, MetricOption]
    measure: dict[str, MeasureOption]
    pool: dict[str, PoolOption]
    cells: dict[str, CellsOption]
    cluster: Cluster
    paths: Paths
    store: Stored
    files: dict[tuple[str, str], Path]
    """The option file of each (group, name), for messages."""
    recipes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The names of all recipes of each task, in the sweep or not."""
    groups: dict[str, str] = field(default_factory=dict)
    """Target → the option that stands for it and others; no entry for targets that stand for themselves."""
    raw: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """Each (group, name) as Hydra composes it, before defaults are filled in; a task is part of a recipe's group."""
    cells_overrides: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The overrides that compose each option of ``cells``."""
    searchpath: tuple[str, ...] = ()
    """The override that makes Hydra find the user's folders."""


@dataclass(frozen=True)
class UserTable:
    """A table that the user named on the command line, instead of an option of the group ``cells``."""

    name: str
    option: CellsOption
    overrides: tuple[str, ...]
    raw: dict[str, Any]


class OptionFolders:
    """Where option files are looked up: the shipped ``conf/`` first, then the user's folders in their order."""

    def __init__(self, user: Sequence[str | Path] = ()) -> None:
        """Take the user's folders (``--config-dir``).

        Raises:
            ConfigError: when one of them is no folder.
        """
        self.user = tuple(Path(folder).expanduser().resolve() for folder in user)
        for folder in self.user:
            if not folder.is_dir():
                raise ConfigError(f"--config-dir {folder} is no folder.")
            if "${" in str(folder):
                raise ConfigError(f"--config-dir {folder}: Hydra takes '${{' for a reference. Rename the folder.")
        self.all = (shipped("conf"), *self.user)

    @property
    def searchpath(self) -> tuple[str, ...]:
        """The override that makes Hydra find the user's folders; none without any."""
        if not self.user:
            return ()
        return (f"hydra.searchpath=[{','.join(quoted(f'file://{folder}') for folder in self.user)}]",)

    def names(self, group: str) -> dict[str, Path]:
        """The options of ``group``: name → file. A folder's ``base/`` holds what options share and is not listed."""
        found: dict[str, Path] = {}
        for folder in self.all:
            top = folder / group
            for path in sorted(top.rglob("*.yaml")):
                relative = path.relative_to(top)
                if "base" not in relative.parts[:-1]:
                    found.setdefault(relative.with_suffix("").as_posix(), path)
        return found

    def shadowed(self) -> list[Path]:
        """The user's files that never take effect, because an earlier folder has an option of that name."""
        hidden = []
        for group in GROUPS:
            winners = set(self.names(group).values())
            for folder in self.user:
                hidden += [path for path in sorted((folder / group).rglob("*.yaml")) if path not in winners]
        return [path for path in hidden if "base" not in path.parts]


def compose(
    sweep: Sweep,
    settings: Sequence[str] = (),
    folders: OptionFolders | None = None,
    table: UserTable | None = None,
) -> Options:
    """Compose and validate every option of ``sweep`` in one Hydra call.

    Args:
        sweep: names the options.
        settings: overrides of the groups of ``SETTINGS``.
        folders: where options are looked up.
        table: stands for the option of ``cells`` that bears its name.

    Raises:
        ConfigError: for a name that no option file bears, an unknown key, a wrong value.
    """
    folders = folders or OptionFolders()
    wanted = _wanted(sweep, folders, table.name if table else "")
    config = _hydra(wanted, checked(settings, folders), folders)
    found: dict[str, dict[Any, Any]] = {group: {} for group in GROUPS}
    raw: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in wanted:
        group = entry.group.split("/")[0]
        name = (entry.group.removeprefix("recipe/"), entry.name) if group == "recipe" else entry.name
        content = entry.content(config)
        found[group][name] = validated(schema_of(group, content, entry.path), content, entry.path)
        raw[entry.group, entry.name] = entry.composed(config)
    files = {(entry.group, entry.name): entry.path for entry in wanted}
    groups: dict[str, str] = {}
    if not sweep.cells:
        found["source"] = sources_named(sweep.source, found["source"], raw, files)
        found["target"], groups = members_of(found["target"], raw, files)
    tasks = {target.task for target in found["target"].values()}
    # Of recipes of one name those for tasks at hand; what serves none of them is refused with words (check_tasks).
    served = {name for task, name in found["recipe"] if task in tasks}
    found["recipe"] = {
        (task, name): recipe for (task, name), recipe in found["recipe"].items() if task in tasks or name not in served
    }
    paths = validated(Paths, config["paths"], Path("paths"))
    found["source"] = {name: source.located(paths.weights, paths.data) for name, source in found["source"].items()}
    found["target"] = {name: target.located(paths.data) for name, target in found["target"].items()}
    if sweep.pool_size is not None:
        size = sweep.pool_size
        found["pool"] = {f"size_{size}": PoolOption(rule="subsets", size=size, title=f"all subsets of {size}")}
    cells_overrides: dict[str, tuple[str, ...]] = {name: (f"+cells={name}",) for name in found["cells"]}
    if table:
        found["cells"] = {name: table.option if name == table.name else found["cells"][name] for name in sweep.cells}
        raw["cells", table.name] = table.raw
        cells_overrides[table.name] = table.overrides
    return Options(
        **found,
        cluster=validated(Cluster, config["cluster"], Path("cluster")),
        paths=paths,
        store=validated(Stored, config["store"], Path("store")),
        files=files,
        recipes=_recipes_by_task(folders),
        groups=groups,
        raw=raw,
        cells_overrides=cells_overrides,
        searchpath=folders.searchpath,
    )


def compose_settings(settings: Sequence[str], folders: OptionFolders) -> tuple[Cluster, Paths]:
    """Where units run and where results lie, for a verb that needs no sweep.

    Raises:
        ConfigError: for a name that no option file bears, an unknown key, a wrong value.
    """
    config = _hydra((), checked(settings, folders), folders)
    return validated(Cluster, config["cluster"], Path("cluster")), validated(Paths, config["paths"], Path("paths"))


def validated(model: type[BaseModel], content: Any, path: Path) -> Any:
    """``content`` as ``model``; a problem becomes a :class:`ConfigError` that names ``path``."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise explain(error, model, str(path)) from error


def schema_of(group: str, content: Any, path: Path) -> type[BaseModel]:
    """The schema of a group, or of the task that ``content`` names.

    Raises:
        ConfigError: for a task that the group does not know.
    """
    schema = GROUPS[group]
    if not isinstance(schema, dict):
        return schema
    task = content.get("task") if isinstance(content, dict) else None
    if task is None:
        raise ConfigError(f"{path}: the key 'task' is missing; it is one of {', '.join(schema)}.")
    if task not in schema:
        raise unknown("task", str(task), schema, where=str(path))
    return schema[task]


def describe_options(group: str, names: Iterable[str], folders: OptionFolders) -> dict[str, dict[str, Any]]:
    """The resolved content of options by name, composed in one call as a sweep composes them; not validated."""
    known = folders.names(group)
    # Named by its folder, so that the options of recipe/classification/ compose as they do in a sweep.
    entries = [_Entry(group, name, f"{group}.o{i}", known[name]) for i, name in enumerate(names)]
    config = _hydra(entries, (), folders)
    return {entry.name: entry.content(config) for entry in entries}


@dataclass(frozen=True)
class _Entry:
    """One option to compose: its group and name, the package it is relocated to, its file."""

    group: str
    name: str
    place: str
    path: Path

    @property
    def override(self) -> str:
        return f"+{self.group}@option.{self.place}={self.name}"

    def content(self, config: dict[str, Any]) -> dict[str, Any]:
        """The option as composed, with a user's ``file.py:function`` made absolute."""
        # A source may name a target of the same user, whose code lies in that group's folder.
        top = self.path.parents[self.group.count("/") + self.name.count("/") + 1]
        folders = [self.path.parent, *(top / group for group in GROUPS)]
        return locate_functions(self.composed(config), folders)

    def composed(self, config: dict[str, Any]) -> dict[str, Any]:
        """The option as composed."""
        kind, place = self.place.split(".")
        content: dict[str, Any] = config["option"][kind][place]
        return content


def _wanted(sweep: Sweep, folders: OptionFolders, table: str) -> list[_Entry]:
    """The options to compose, each with the package it is relocated to."""
    entries: list[_Entry] = []
    if not sweep.cells:
        _check_exclude(sweep, folders)
    for group in GROUPS:
        # Of published tables the axes are names in the table, and only these groups are options.
        names = getattr(sweep, group) if not sweep.cells or group in ("cells", "measure", "pool") else ()
        if group == "recipe":
            entries += _recipes(dict.fromkeys((*names, *(stage.recipe for stage in sweep.tuning))), folders)
            continue
        known = folders.names(group)
        if group == "source":
            names = dict.fromkeys(option for name in names for option, _ in source_parts(name))
        for name in names:
            if group == "cells" and name == table:
                continue
            if name not in known:
                hint = f"tmbench show {plural(group)} lists all"
                if group == "cells" and "." in name:
                    hint = "a file is named on the command line, cells=FILE, or by conf/cells/NAME.yaml with its 'file'"
                raise unknown(group, name, known, where=f"sweep {sweep.name}", hint=hint)
            entries.append(_Entry(group, name, f"{group}.o{len(entries)}", known[name]))
    return entries


def plural(group: str) -> str:
    """The word for all options of a group."""
    return group if group.endswith("s") else f"{group}s"


def _check_exclude(sweep: Sweep, folders: OptionFolders) -> None:
    """Refuse names in ``exclude`` that nothing bears."""
    for rule in sweep.exclude:
        for axis, names in rule.items():
            known: Collection[str] = [sweep.name] if axis == "scenario" else folders.names(axis)
            if axis == "recipe":
                known = {name.rpartition("/")[2] for name in known}
            if axis == "source":
                known = {*known, *sweep.source}
            if axis == "target":
                known = {*known, *(name for name in names if is_among(name, known))}
            for name in names:
                if name not in known:
                    raise unknown(axis, name, known, where=f"sweep {sweep.name}, exclude")


def _recipes(names: Iterable[str], folders: OptionFolders) -> list[_Entry]:
    """A recipe's name stands for one file in the folder of each task that has it."""
    known = folders.names("recipe")
    entries: list[_Entry] = []
    for name in names:
        files = {group: path for group, path in known.items() if group.rpartition("/")[2] == name}
        if not files:
            if name in known:
                raise ConfigError(
                    f"a recipe is named without its task, which the target has: recipe={name.rpartition('/')[2]}."
                )
            raise unknown("recipe", name, {group.rpartition("/")[2] for group in known}, hint="tmbench show recipes")
        for group, path in files.items():
            entries.append(_Entry(f"recipe/{group.rpartition('/')[0]}", name, f"recipe.o{len(entries)}", path))
    return entries


def _recipes_by_task(folders: OptionFolders) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name in folders.names("recipe"):
        task, _, own = name.rpartition("/")
        found.setdefault(task, []).append(own)
    return {task: tuple(names) for task, names in found.items()}


def _hydra(entries: Sequence[_Entry], settings: Sequence[str], folders: OptionFolders) -> dict[str, Any]:
    """One Hydra call for all of ``entries``; plain data, interpolations resolved."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    overrides = [*(entry.override for entry in entries), *folders.searchpath]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(shipped("conf")), version_base="1.3"):
            config = hydra_compose("config", overrides=[*overrides, *settings])
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration cannot be composed: {error}") from error


def locate_functions(content: Any, folders: Sequence[Path]) -> Any:
    """A copy of ``content`` in which ``function: file.py:name`` is absolute: in the first folder that has the file."""
    if isinstance(content, list):
        return [locate_functions(item, folders) for item in content]
    if not isinstance(content, dict):
        return content
    out = {key: locate_functions(value, folders) for key, value in content.items()}
    reference = out.get("function")
    if isinstance(reference, str):
        place, _, name = reference.rpartition(":")
        if place.endswith(".py") and not Path(place).is_absolute():
            found = next((folder / place for folder in folders if (folder / place).is_file()), folders[0] / place)
            out["function"] = f"{found.resolve()}:{name}"
    return out
