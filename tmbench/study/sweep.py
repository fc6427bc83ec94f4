"""A sweep: a named, versioned study in one YAML file, and the overrides a user types after the verb."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tmbench.errors import ConfigError, unknown
from tmbench.folders import shipped
from tmbench.study.names import is_among
from tmbench.study.options import GROUPS, SETTINGS, Option
from tmbench.study.tuning import Stage
from tmbench.study.validation import explain

AXES = (*GROUPS, "seed")
WORK = ("source", "target", "recipe", "seed")
"""The axes that a sweep which runs must name; for published tables they are filters, and so are level and metric."""
SCORING = ("level", "metric", "measure")
"""What a sweep names all of, or nothing: then it compares truths alone."""
OF_AGGREGATE = ("bootstrap", "out")
"""Keys that a verb which has no use for them passes over, so that one line of overrides serves every verb."""
READING = ("truth", "own")
"""Keys of a sweep, no axes, that one may say on the command line as well."""
EXCLUDABLE = ("scenario", "source", "target", "recipe", "level")


class Sweep(Option):
    """What a study compares: its axes by option name, and the combinations it leaves out.

    It either runs (source, target, level, recipe, metric, seed) or reads published tables (``cells``); then the axes
    are those of the tables, and what is named here of source, target, level, recipe and metric is a choice of them.
    A sweep that runs may name no level, metric, measure and pool: it then has truths and no setup.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    version: int = Field(ge=1)
    title: str = ""
    scenario: Literal["source_selection", "target_selection"] = "source_selection"
    """What is ranked, in a sweep that runs: sources for a target, or targets for a source. Tables say it themselves."""
    cells: tuple[str, ...] = ()
    source: tuple[str, ...] = Field(default=(), validate_default=True)
    target: tuple[str, ...] = Field(default=(), validate_default=True)
    level: tuple[str, ...] = Field(default=(), validate_default=True)
    recipe: tuple[str, ...] = Field(default=(), validate_default=True)
    metric: tuple[str, ...] = Field(default=(), validate_default=True)
    measure: tuple[str, ...] = Field(default=(), validate_default=True)
    pool_size: int | None = Field(default=None, ge=2)
    """All subsets of this size, in place of ``pool``."""
    pool: tuple[str, ...] = Field(default=(), validate_default=True)
    seed: tuple[int, ...] = Field(default=(), validate_default=True)
    exclude: tuple[dict[str, tuple[str, ...]], ...] = ()
    truth: str = ""
    """The recorded measure of truths that ranks the candidates; that of the recipe where empty."""
    own: Literal["left_out", "scored"] = "left_out"
    """Whether a source is scored on the target that it was trained on: never a candidate, but a yardstick."""
    tuning: tuple[Stage, ...] = Field(default=(), validate_default=True)
    """Stages in whose grids each source's recipe is tuned on each target; the truths are those of what they chose."""

    @field_validator(*AXES, mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)

    @field_validator(*AXES)
    @classmethod
    def _no_duplicates(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        twice = sorted({str(item) for item in value if value.count(item) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return value

    @field_validator(*WORK)
    @classmethod
    def _named_where_it_runs(cls, value: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if info.data.get("cells"):
            if value and info.field_name == "seed":
                raise PydanticCustomError("axis", "a sweep of published cells averages the seeds that its tables have")
        elif not value:
            raise PydanticCustomError("axis", "name one or more, or say 'cells' for a sweep of published tables")
        return value

    @field_validator(*SCORING)
    @classmethod
    def _all_or_none(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("cells"):
            if not value and info.field_name == "measure":
                raise PydanticCustomError("axis", "name at least one measure")
            return value
        asked = bool(info.data.get("level"))
        if info.field_name != "level" and bool(value) != asked and "level" in info.data:
            said = "name one or more, for a level is named" if asked else "nothing is scored without a level: name one"
            raise PydanticCustomError("axis", "{said}", {"said": said})
        return value

    @field_validator("tuning")
    @classmethod
    def _of_what_runs(cls, value: tuple[Stage, ...], info: ValidationInfo) -> tuple[Stage, ...]:
        names = [stage.name for stage in value]
        if value and info.data.get("cells"):
            raise PydanticCustomError("axis", "published truths are not tuned")
        if len(set(names)) < len(names):
            raise PydanticCustomError("axis", "two stages have one name")
        return value

    @field_validator("pool")
    @classmethod
    def _pool_or_size(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not info.data.get("cells") and not info.data.get("level"):
            return value
        if "pool_size" in info.data and bool(value) == bool(info.data["pool_size"]):
            which = "both pool and pool_size are given" if value else "neither pool nor pool_size is given"
            raise PydanticCustomError("axis", "{which}; give one of them", {"which": which})
        return value

    @field_validator("exclude", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [
            {axis: [names] if isinstance(names, str) else names for axis, names in rule.items()}
            if isinstance(rule, dict)
            else rule
            for rule in value
        ]

    @field_validator("exclude")
    @classmethod
    def _known_axes(cls, value: tuple[dict[str, tuple[str, ...]], ...]) -> tuple[dict[str, tuple[str, ...]], ...]:
        for rule in value:
            if not rule:
                raise ValueError("an empty rule would exclude everything")
            for axis in rule:
                if axis not in EXCLUDABLE:
                    raise ValueError(f"'{axis}' is no axis to exclude by; use {', '.join(EXCLUDABLE)}")
        return value

    def excludes(self, **names: str) -> bool:
        """Whether a rule of ``exclude`` matches: every axis the rule names holds the given name."""
        return any(
            all(axis in names and is_among(names[axis], values) for axis, values in rule.items())
            for rule in self.exclude
        )


@dataclass(frozen=True)
class Request:
    """What the user typed after a verb, taken apart."""

    sweep: str = ""
    """Empty where a table takes its place (``cells=FILE``)."""
    axes: dict[str, Any] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    """Overrides of the groups of ``SETTINGS``, left to Hydra."""
    folders: tuple[str, ...] = ()
    """The user's folders of option files (``hydra.searchpath``)."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Keys that the verb itself understands (``retry``, ``out``, ``bootstrap``)."""
    cells: dict[str, tuple[Any, str]] = field(default_factory=dict)
    """How ``cells=FILE`` is read: dotted key without ``cells.`` → its value, and the override as typed."""


def parse(overrides: Sequence[str], extra: Sequence[str] = (), study: bool = True) -> Request:
    """Take Hydra overrides apart: ``sweep=``, axes (``metric=[a,b]``), settings, and the verb's own keys.

    Args:
        overrides: as typed.
        extra: the verb's own keys.
        study: whether the verb needs to know which study is meant.

    Raises:
        ConfigError: for text that is no override, an unknown key or one given twice, or neither ``sweep=`` nor
            ``cells=`` where one is needed.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    sweep = ""
    axes: dict[str, Any] = {}
    settings: list[str] = []
    folders: list[str] = []
    own: dict[str, Any] = {}
    cells: dict[str, tuple[Any, str]] = {}
    first: dict[str, str] = {}
    parser = OverridesParser.create()
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            raise ConfigError(f"'{text}' is not an override. Write key=value or key=[a,b]. ({error})") from error
        key, value = override.key_or_group, _plain(override)
        if key in first and key != "hydra.searchpath":
            raise ConfigError(f"'{key}' is given twice: {first[key]} and {text}. Keep one of them.")
        first[key] = text
        if key == "sweep":
            sweep = str(value)
        elif key in (*AXES, *READING):
            axes[key] = value
        elif key == "pool.size":
            axes["pool_size"] = _size(value, text)
        elif key.startswith("cells."):
            cells[key.removeprefix("cells.")] = (value, text)
        elif key in extra:
            own[key] = value
        elif key in OF_AGGREGATE:
            continue
        elif key.split(".")[0] in SETTINGS:
            if override.is_sweep_override():
                raise ConfigError(
                    f"{text}: {key} takes one value. One with a comma in it stands in quotes of its own: "
                    f"\"{key}='{text.partition('=')[2]}'\"."
                )
            settings.append(text)
        elif key == "hydra.searchpath":
            folders += [str(place).removeprefix("file://") for place in (value if isinstance(value, list) else [value])]
        else:
            known = ["sweep", *AXES, *READING, "pool.size", *SETTINGS, *dict.fromkeys((*OF_AGGREGATE, *extra))]
            raise unknown("key", key, known, where=text)
    if study and not sweep and "cells" not in axes:
        names = ", ".join(sorted(sweep_files()))
        raise ConfigError(
            f"say which study: sweep=NAME or sweep=FILE.yaml, or cells=FILE for a table of your own. Shipped: {names}."
        )
    if "pool" in axes and "pool_size" in axes:
        raise ConfigError("pool= and pool.size= are both given. pool.size takes the place of pool; say one of them.")
    return Request(sweep, axes, tuple(settings), tuple(folders), own, cells)


def _size(value: Any, text: str) -> int:
    """The number of candidates that ``pool.size=`` gives."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 2:
        raise ConfigError(f"{text}: pool.size is how many candidates a pool holds; give one whole number, 2 or more.")
    return value


def _plain(override: Any) -> Any:
    """The override's value as plain Python; ``a,b`` counts as ``[a,b]``."""
    from hydra.core.override_parser.types import QuotedString

    def plain(value: Any) -> Any:
        if isinstance(value, QuotedString):
            return value.text
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {plain(key): plain(item) for key, item in value.items()}
        return value

    if override.is_choice_sweep():
        return [plain(item) for item in override.value().list]
    return plain(override.value())


def sweep_files() -> dict[str, Path]:
    """The shipped sweeps: name → file."""
    return {path.stem: path for path in sorted(shipped("sweeps").glob("*.yaml"))}


def load_sweep(request: Request) -> Sweep:
    """Read and validate the sweep that ``request`` names, its axes replaced where the user said so.

    Raises:
        ConfigError: for an unknown sweep, broken YAML, an unknown key or a wrong value.
    """
    path = _sweep_path(request.sweep)
    from omegaconf import OmegaConf

    try:
        # OmegaConf's reader, unlike yaml's own, refuses a key that stands twice.
        content: Any = OmegaConf.to_container(OmegaConf.create(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a sweep is a mapping of keys (name, version, source, target, …).")
    if "cells" in request.axes and not content.get("cells"):
        raise ConfigError(
            f"{path} is a sweep that runs, and cells={_shown(request.axes['cells'])} names published tables. Say one "
            "of them; tmbench aggregate cells=FILE needs no sweep."
        )
    return validated({**content, **_axes(request, content)}, f"{path}{_typed(request)}")


def validated(content: dict[str, Any], where: str) -> Sweep:
    """The sweep that ``content`` describes.

    Raises:
        ConfigError: that names ``where`` and the key, for an unknown key or a wrong value.
    """
    try:
        return Sweep.model_validate(content)
    except ValidationError as error:
        raise explain(error, Sweep, where) from error


def _axes(request: Request, content: dict[str, Any]) -> dict[str, Any]:
    """The axes that the user replaces. For published tables ``seed`` is that of the resampling and no axis."""
    axes = dict(request.axes)
    if "pool_size" in axes:
        axes["pool"] = ()
    elif "pool" in axes:
        axes["pool_size"] = None
    if content.get("cells") and "seed" in axes:
        del axes["seed"]
    return axes


def _typed(request: Request) -> str:
    return f", with {', '.join(request.axes)} from the command line" if request.axes else ""


def _shown(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)


def _sweep_path(reference: str) -> Path:
    if reference.endswith((".yaml", ".yml")) or "/" in reference:
        path = Path(reference).expanduser()
        if not path.is_file():
            raise ConfigError(f"there is no sweep file {path}. Shipped sweeps: {', '.join(sweep_files())}.")
        return path
    files = sweep_files()
    if reference not in files:
        raise unknown(
            "sweep", reference, files, hint="tmbench show sweeps lists all; a file works too: sweep=FILE.yaml"
        )
    return files[reference]
