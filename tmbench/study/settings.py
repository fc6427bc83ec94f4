"""Overrides of the settings of the machine, ``cluster.KEY=…``: held to their schema before Hydra sees them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_origin

from pydantic import BaseModel

from tmbench.errors import ConfigError, unknown
from tmbench.study.options import SETTINGS

if TYPE_CHECKING:
    from tmbench.study.compose import OptionFolders


def checked(settings: Sequence[str], folders: "OptionFolders") -> list[str]:
    """``settings`` as Hydra takes them; ``cluster=NAME`` and ``cluster.KEY=…`` that do not exist are refused.

    The schema knows which keys there are, so one that an option file leaves out is set like one that it has.

    Raises:
        ConfigError: for a name that no option file bears and for an unknown key, with the nearest.
    """
    overrides = []
    for text in settings:
        key, _, value = text.lstrip("+~").partition("=")
        group, _, field = key.partition(".")
        if field:
            _check_key(group, SETTINGS[group], field, text)
        elif value not in folders.names(group):
            raise unknown(group, value, folders.names(group), where=text)
        overrides.append(f"++{text.lstrip('+')}" if field and not text.startswith("~") else text)
    return overrides


def _check_key(parent: str, model: type[BaseModel], field: str, text: str) -> None:
    """Refuse the dotted ``field`` of ``model`` when there is none; a table of free keys takes any."""
    name, _, rest = field.partition(".")
    if name not in model.model_fields:
        raise unknown(f"key of {parent}", name, model.model_fields, where=text)
    kind = model.model_fields[name].annotation
    if rest and isinstance(kind, type) and issubclass(kind, BaseModel):
        _check_key(f"{parent}.{name}", kind, rest, text)
    elif rest and get_origin(kind) is not dict:
        raise ConfigError(f"{text}: {parent}.{name} is one value and has no keys. Write {parent}.{name}=VALUE.")
