"""From a setup's names to its id, the Hydra overrides that compose it, and the config that they compose.

The config is put together from the options that one Hydra call composed for the whole sweep: a setup costs no call of
its own, and what ``hydra.compose("config", overrides)`` gives for it is the same.
"""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from tmbench.functions import portable
from tmbench.identity import content_id
from tmbench.stats.cells import axes_of
from tmbench.study.compose import Options
from tmbench.study.names import place_of, query_option, source_parts
from tmbench.study.setups import Setup
from tmbench.study.sweep import Sweep
from tmbench.study.tables.files import content_of

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*([./-][A-Za-z0-9_]+)*")
_WORDS = ("true", "false", "null", "nan", "inf")


def resolver(sweep: Sweep, options: Options, origins: Mapping[str, str]) -> Callable[[Setup], Setup]:
    """A function that fills id, overrides and config of a setup.

    Args:
        sweep: of the setups.
        options: its options, as composed.
        origins: scenario → the option of the group ``cells`` that its table is read by; none for runnable sweeps.
    """

    @cache
    def content(origin: str) -> str:
        file = options.files.get(("cells", origin))
        return content_of(options.cells[origin], str(file or origin), file and file.parent)

    def resolved(setup: Setup) -> Setup:
        facts = _facts(sweep, setup)
        if sweep.cells:
            overrides, config, key = _of_table(options, setup, origins[setup.scenario])
            key["content"] = content(origins[setup.scenario])
        else:
            overrides, config, key = _of_options(options, setup)
            key |= {"tuning": [stage.model_dump(mode="json") for stage in sweep.tuning]} if sweep.tuning else {}
        overrides = [
            *overrides,
            f"+measure={setup.measure}",
            *(f"+setup.{name}={spelled(value)}" for name, value in facts.items()),
            *options.searchpath,
        ]
        config |= {"measure": options.raw["measure", setup.measure], "setup": facts}
        key |= {"measure": options.measure[setup.measure].model_dump(mode="json", exclude={"title"})}
        # The order of a pool means nothing.
        key["setup"] = {**facts, "pool": sorted(setup.pool)}
        id = content_id(portable({"setup": key}))
        # A copy, because setups share the options.
        return replace(setup, id=id, overrides=tuple(overrides), config=copy.deepcopy(config))

    return resolved


def _facts(sweep: Sweep, setup: Setup) -> dict[str, Any]:
    """What no option file says about a setup."""
    facts: dict[str, Any] = {
        name: getattr(setup, name) for name in ("scenario", "direction", "query", "recipe", "level")
    }
    truth = {"truth": sweep.truth} if sweep.truth else {}
    return {**facts, **truth, "pool": list(setup.pool), **({} if sweep.cells else {"seed": list(sweep.seed)})}


def _of_table(options: Options, setup: Setup, origin: str) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """A setup of a table: the option that reads it. Where the file lies changes nothing, what stands in it does."""
    how = options.cells[origin].model_dump(mode="json", exclude={"title", "file", "files", "published"})
    return list(options.cells_overrides[origin]), {"cells": options.raw["cells", origin]}, {"cells": how}


def _of_options(options: Options, setup: Setup) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """A setup that the study runs itself: the query, the candidates, the level, and the recipe of each task."""
    query, candidate = axes_of(setup.direction)
    asked = query_option(setup.query)
    overrides = _named(options, query, query, asked)
    config: dict[str, Any] = {query: options.raw[query, asked], candidate: {}, "recipe": {}}
    for name in setup.ranked:
        place = _free(place_of(name), config[candidate])
        overrides += _named(options, candidate, f"{candidate}.{place}", name)
        config[candidate][place] = options.raw[candidate, name]
    targets = [asked] if query == "target" else list(setup.ranked)
    tasks = dict.fromkeys(options.target[name].task for name in targets)
    for task in tasks:
        overrides.append(f"+recipe/{task}={setup.recipe}")
        config["recipe"][task] = options.raw[f"recipe/{task}", setup.recipe]
    config["level"] = options.raw["level", setup.level]
    keys: dict[str, Callable[[str], dict[str, Any]]] = {
        "source": lambda name: options.source[name].key(),
        "target": lambda name: options.target[name].key_of_passes(),
    }
    key = {
        query: keys[query](asked),
        candidate: {name: keys[candidate](name) for name in setup.ranked},
        "recipe": {task: options.recipe[task, setup.recipe].key() for task in tasks},
        "level": options.level[setup.level].key(),
    }
    return [*overrides, f"+level={setup.level}"], config, key


def _named(options: Options, group: str, place: str, name: str) -> list[str]:
    """The overrides that compose the source or target of this name at ``place``."""

    def option(name: str, place: str) -> str:
        return f"+{group}={name}" if place == group else f"+{group}@{place}={name}"

    if group == "target":
        if name not in options.groups:
            return [option(name, place)]
        number = int(name.rpartition(".")[2])
        drawn_by = options.target[name].drawn_by
        return [option(options.groups[name], place), f"++{place}.{drawn_by}.number={number}"]
    overrides = []
    for i, (part, layer) in enumerate(source_parts(name)):
        where = f"{place}.beside.{place_of(name.split('+')[i])}" if i else place
        overrides += [option(part, where), *([f"++{where}.layer={spelled(layer)}"] if layer else [])]
    return overrides


def _free(place: str, taken: Mapping[str, Any]) -> str:
    """``place``, with underscores where another name's place is the same."""
    while place in taken:
        place += "_"
    return place


def spelled(value: Any) -> str:
    """``value`` as Hydra reads it back from an override: text stays text, whatever it looks like."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(spelled(item) for item in value) + "]"
    if not isinstance(value, str):
        return str(value)
    if _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # OmegaConf would look up a ${…}; a backslash keeps it text, and those in front of it are then read in pairs.
    text = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", value)
    # Inside Hydra's quotes a quote needs a backslash, and so does every backslash in front of a quote or of the end.
    quoted = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{quoted}'"
