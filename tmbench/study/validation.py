"""From a pydantic error to one sentence: the file, the key, what is wrong, the nearest valid names."""

import re
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from tmbench.errors import ConfigError, nearest


def explain(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    """The first problem of ``error`` as a :class:`ConfigError`; the others are counted."""
    problems = error.errors(include_url=False)
    # A misspelt key comes with a missing one; the spelling is what the user can mend.
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    location, keys = _found_in(model, first["loc"])
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        close = nearest(location[-1], keys)
        offer = f"Nearest: {', '.join(close)}." if close else f"Known: {', '.join(keys)}."
        text = f"{where}: the key '{key}' does not exist. {offer}"
    elif first["type"] == "missing":
        text = f"{where}: the key '{key}' is missing."
    else:
        text = f"{where}: {key + ': ' if key else ''}{_in_words(first)}."
    rest = len(problems) - 1
    return ConfigError(text + (f" And {rest} more problem{'s' if rest > 1 else ''}." if rest else ""))


_WORDS = (
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
    (", unable to parse string as an integer", ""),
    (", unable to parse string as a number", ""),
    (", got a number with a fractional part", ""),
    ("a valid integer", "a whole number"),
    ("a valid number", "a number"),
    ("a valid string", "text"),
    ("a valid boolean", "true or false"),
    ("a valid tuple", "a list"),
    ("a valid list", "a list"),
    ("a valid dictionary", "keys with values"),
)
"""What pydantic says, and what people say."""


def _in_words(problem: Any) -> str:
    """What is wrong with a value; the value itself where the sentence is pydantic's, which does not name it."""
    message = re.sub(r" or instance of \w+", "", problem["msg"].removeprefix("Value error, ").removesuffix("."))
    if problem["type"] == "too_short":
        name = next((str(part) for part in reversed(problem["loc"]) if not isinstance(part, int)), "")
        return f"name at least one {name}".rstrip()
    subject = re.match(r"[A-Z][a-z]+ (?=should )", message)
    if not subject:
        return message  # one of ours
    for theirs, ours in _WORDS:
        message = message.replace(theirs, ours)
    value = repr(problem["input"])
    short = value if len(value) <= 60 else value[:57] + "…"
    return f"it {message[subject.end() :]}, and is {short}"


def _found_in(model: type[BaseModel], places: Sequence[int | str]) -> tuple[list[str], list[str]]:
    """Where a problem is, in the keys that a user finds in the file, and the valid keys beside the last of them.

    Beside these and positions in lists, pydantic's ``places`` hold the kind of the model that a union came to, such as
    ``file`` of a source's weights; it is left out.
    """
    location: list[str] = []
    current, beside = _models(model), list[type[BaseModel]]()
    for place in places:
        if len(current) > 1 and (of_kind := [one for one in current if place in _kinds(one)]):
            current = of_kind
            continue
        location.append(str(place))
        if not isinstance(place, int):
            beside = current
            fields = [one.model_fields[place] for one in current if place in one.model_fields]
            current = [found for one in fields for found in _models(one.annotation)]
    return location, sorted({key for one in beside for key in one.model_fields})


def _kinds(model: type[BaseModel]) -> set[Any]:
    """The words by which a union tells this model from others."""
    return {word for one in model.model_fields.values() for word in get_args(one.annotation) if isinstance(word, str)}


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, unions taken apart."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models(part)]
