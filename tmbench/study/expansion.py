"""From options to what a sweep names by them: sources cut or joined, targets of which an option stands for many.

Each comes with its config as Hydra would compose it (``raw``) and the option file that messages name (``files``).
"""

import copy
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tmbench.errors import ConfigError
from tmbench.sources.options import Source
from tmbench.sources.resources import Resources
from tmbench.study.names import place_of, source_parts
from tmbench.study.validation import explain
from tmbench.targets.options import Target

Raw = dict[tuple[str, str], dict[str, Any]]
Files = dict[tuple[str, str], Path]


def sources_named(names: Iterable[str], options: dict[str, Source], raw: Raw, files: Files) -> dict[str, Source]:
    """The sources of these names, from the options that the names speak of.

    Raises:
        ConfigError: for sources that cannot be joined.
    """
    found: dict[str, Source] = {}
    for name in names:
        for option, layer in source_parts(name):
            if name.count("@") and option + "@" in name and not layer:
                raise ConfigError(
                    f"source '{name}': say after which module {option} ends (NAME@LAYER), or leave '@' out."
                )
        first, *others = (_Part.of(option, layer, options, raw, files) for option, layer in source_parts(name))
        places = [place_of(option) for option in name.split("+")[1:]]
        if len(set(places)) < len(places) or name.split("+")[0] in name.split("+")[1:]:
            raise ConfigError(f"source '{name}' joins a source with itself. Name each part once.")
        raw["source", name], files["source", name] = first.content, files["source", source_parts(name)[0][0]]
        found[name] = first.source
        if others:
            beside = zip(places, others, strict=True)
            raw["source", name] |= {"beside": {place: part.content for place, part in zip(places, others, strict=True)}}
            found[name] = _joined(name, first.source, {place: part.source for place, part in beside}, files)
    return found


class _Part:
    """A source that a name speaks of, with the config of its own."""

    def __init__(self, source: Source, content: dict[str, Any]) -> None:
        self.source = source
        self.content = content

    @classmethod
    def of(cls, option: str, layer: str, options: dict[str, Source], raw: Raw, files: Files) -> "_Part":
        source, content = options[option], copy.deepcopy(raw["source", option])
        if source.beside:
            raise ConfigError(
                f"{files['source', option]}: an option file names no other sources (beside:). Give each a file, and "
                "write NAME+OTHER in the sweep."
            )
        if not layer:
            return cls(source, content)
        title = f"{source.title}, up to {layer}" if source.title else ""
        return cls(source.model_copy(update={"layer": layer, "title": title}), content | {"layer": layer})


def _joined(name: str, first: Source, others: dict[str, Source], files: Files) -> Source:
    every = (first, *others.values())
    words = [source.initialised_by for source in every]
    plain = first.model_dump(mode="json") | {
        "beside": {place: source.model_dump(mode="json") for place, source in others.items()},
        "title": " beside ".join(source.title for source in every if source.title),
        "family": "+".join(dict.fromkeys(source.family for source in every if source.family)),
        "size": sum(source.size for source in every) if all(source.size for source in every) else 0,
        "resources": reduce(Resources.__or__, (source.resources for source in every)),
        "initialisation": "+".join(dict.fromkeys(words)) if all(words) else "",
    }
    try:
        return Source.model_validate(plain)
    except ValidationError as error:
        raise explain(error, Source, f"source '{name}' ({files['source', name]})") from error


def members_of(options: dict[str, Target], raw: Raw, files: Files) -> tuple[dict[str, Target], dict[str, str]]:
    """The targets that the options stand for, and the option of each target that is one of many."""
    found: dict[str, Target] = {}
    groups: dict[str, str] = {}
    for name, option in options.items():
        for number, target in option.members().items():
            if not number:
                found[name] = target
                continue
            member = f"{name}.{number}"
            family = {} if target.family else {"family": name}  # they are not independent
            found[member], groups[member] = target.model_copy(update=family), name
            content = copy.deepcopy(raw["target", name])
            content[target.drawn_by]["number"] = int(number)
            raw["target", member], files["target", member] = content, files["target", name]
    return found, groups
