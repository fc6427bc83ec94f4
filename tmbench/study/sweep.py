"""A sweep: a named, versioned study in one YAML file, and the overrides a user types after the verb."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from tmbench.errors import ConfigError, unknown
from tmbench.folders import shipped
from tmbench.study.options import GROUPS, Option
from tmbench.study.validation import explain

AXES = (*GROUPS, "seed")
SETTINGS = ("cluster", "paths")


class Sweep(Option):
    """What a study compares: its axes by option name, and the combinations it leaves out."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    version: int = Field(ge=1)
    title: str = ""
    scenario: Literal["source_selection"] = "source_selection"
    source: tuple[str, ...] = Field(min_length=1)
    target: tuple[str, ...] = Field(min_length=1)
    level: tuple[str, ...] = Field(min_length=1)
    recipe: tuple[str, ...] = Field(min_length=1)
    metric: tuple[str, ...] = Field(min_length=1)
    measure: tuple[str, ...] = Field(min_length=1)
    pool: tuple[str, ...] = Field(min_length=1)
    seed: tuple[int, ...] = Field(min_length=1)
    exclude: tuple[dict[str, tuple[str, ...]], ...] = ()

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

    @field_validator("exclude")
    @classmethod
    def _known_axes(cls, value: tuple[dict[str, tuple[str, ...]], ...]) -> tuple[dict[str, tuple[str, ...]], ...]:
        for rule in value:
            if not rule:
                raise ValueError("an empty rule would exclude everything")
            for axis in rule:
                if axis not in ("source", "target"):
                    raise ValueError(f"'{axis}' is no axis to exclude by; use source, target or both")
        return value

    def excludes(self, **names: str) -> bool:
        """Whether a rule of ``exclude`` matches: every axis the rule names holds the given name."""
        return any(
            all(axis in names and names[axis] in values for axis, values in rule.items()) for rule in self.exclude
        )


@dataclass(frozen=True)
class Request:
    """What the user typed after a verb, taken apart."""

    sweep: str
    axes: dict[str, Any] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    """Overrides of the groups ``cluster`` and ``paths``, left to Hydra."""
    folders: tuple[str, ...] = ()
    """The user's folders of option files (``hydra.searchpath``)."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Keys that the verb itself understands (``retry``)."""


def parse(overrides: Sequence[str], extra: Sequence[str] = ()) -> Request:
    """Take Hydra overrides apart: ``sweep=``, axes (``metric=[a,b]``), settings, and the verb's own keys.

    Raises:
        ConfigError: for text that is no override, an unknown key, or no ``sweep=``.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    sweep: str | None = None
    axes: dict[str, Any] = {}
    settings: list[str] = []
    folders: list[str] = []
    own: dict[str, Any] = {}
    parser = OverridesParser.create()
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            raise ConfigError(f"'{text}' is not an override. Write key=value or key=[a,b]. ({error})") from error
        key, value = override.key_or_group, _plain(override)
        if key == "sweep":
            sweep = str(value)
        elif key in AXES:
            axes[key] = value
        elif key in extra:
            own[key] = value
        elif key.split(".")[0] in SETTINGS:
            settings.append(text)
        elif key == "hydra.searchpath":
            folders += [str(place).removeprefix("file://") for place in (value if isinstance(value, list) else [value])]
        else:
            raise unknown("key", key, ["sweep", *AXES, *SETTINGS, *extra], where=text)
    if sweep is None:
        names = ", ".join(sorted(sweep_files()))
        raise ConfigError(f"say which study: sweep=NAME or sweep=FILE.yaml. Shipped: {names}.")
    return Request(sweep, axes, tuple(settings), tuple(folders), own)


def _plain(override: Any) -> Any:
    """The override's value as plain Python; ``a,b`` counts as ``[a,b]``."""
    from hydra.core.override_parser.types import QuotedString

    def plain(value: Any) -> Any:
        if isinstance(value, QuotedString):
            return value.text
        if isinstance(value, list):
            return [plain(item) for item in value]
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
        content = OmegaConf.to_container(OmegaConf.create(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a sweep is a mapping of keys (name, version, source, target, …).")
    try:
        return Sweep.model_validate({**content, **request.axes})
    except ValidationError as error:
        where = f"{path}, with {', '.join(request.axes)} from the command line" if request.axes else str(path)
        raise explain(error, Sweep, where) from error


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
