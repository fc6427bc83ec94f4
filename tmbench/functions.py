"""How an option file names code: ``package.module:function`` or ``/folder/file.py:function``.

One way for metrics, sources and targets, shipped or a user's own, so that adding one never touches tmbench.
"""

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from tmbench.errors import ConfigError, nearest, unknown


@functools.cache
def find_function(reference: str) -> Callable[..., Any]:
    """The function that ``reference`` names.

    Raises:
        ConfigError: when the file, the module or the function does not exist or cannot be imported.
    """
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise ConfigError(
            f"'{reference}' does not name a function. Write 'package.module:function' or 'file.py:function'."
        )
    module = _from_file(Path(place)) if place.endswith(".py") else _from_package(place)
    function = getattr(module, name, None)
    if not callable(function):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        close = nearest(name, public)
        offer = f"Nearest: {', '.join(close)}" if close else f"It has: {', '.join(sorted(public)) or 'none'}"
        raise ConfigError(f"{place} has no function '{name}'. {offer}.")
    return function


def check_parameters(reference: str, parameters: Mapping[str, Any], given: int, where: str) -> None:
    """Hold an option's ``parameters`` to the signature of the function that will get them.

    Args:
        reference: the function.
        parameters: keyword arguments from the option file.
        given: how many leading arguments the caller passes itself.
        where: the option file, for the message.

    Raises:
        ConfigError: for an unknown or a missing parameter, and where the function cannot be found.
    """
    try:
        arguments = list(inspect.signature(find_function(reference)).parameters.values())[given:]
    except ConfigError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name in ("torch", "torchvision", "timm"):
            return  # planned on a machine without the vision part; a worker will tell
        raise ConfigError(f"{where}: {error}") from error
    if any(argument.kind is argument.VAR_KEYWORD for argument in arguments):
        return
    known = [argument.name for argument in arguments]
    for name in parameters:
        if name not in known:
            raise unknown("parameter", name, known, where=where, hint=reference)
    for argument in arguments:
        if argument.default is argument.empty and argument.name not in parameters:
            raise ConfigError(f"{where}: the parameter '{argument.name}' of {reference} is missing.")


def portable(key: Any) -> Any:
    """``key`` with every ``function: /folder/file.py:name`` cut to ``file.py:name``.

    What a unit is named after must not hold a path of one machine; a user's code says by its ``version`` that its
    result changed.
    """
    if isinstance(key, dict):
        out = {name: portable(value) for name, value in key.items()}
        reference = out.get("function")
        if isinstance(reference, str) and ".py:" in reference:
            out["function"] = reference.rpartition("/")[2]
        return out
    if isinstance(key, list | tuple):
        return [portable(item) for item in key]
    return key


def _from_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"cannot import '{name}': {error}. Is the package installed?") from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}.")
    # The name holds the path, so that two users' files of one name stay two modules.
    name = "tmbench_user_" + "".join(c if c.isalnum() else "_" for c in str(path.resolve()))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
