"""What tmbench says when it cannot go on: one clear sentence that ends in what to do next."""

import difflib
from collections.abc import Iterable


class TmbenchError(Exception):
    """Something that the user can mend; verbs print its text without a traceback."""

    exit_code = 1
    failure = "bad_input"
    """The class under which a unit that raises it is recorded (tmbench/engine/failures.py)."""


class ConfigError(TmbenchError):
    """A wrong name, key or value in an option file, a sweep or an override (exit code 2: bad usage)."""

    exit_code = 2


class NothingMatched(TmbenchError):
    """The selection is well formed and empty (exit code 3)."""

    exit_code = 3


class Declined(TmbenchError):
    """Nothing was done, because that was what the user wanted."""

    def __init__(self, text: str, exit_code: int) -> None:
        """``text`` says what to type next."""
        super().__init__(text)
        self.exit_code = exit_code


def nearest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The valid names most like ``name``, best first; at most ``count``."""
    return difflib.get_close_matches(name, list(names), n=count, cutoff=0.4)


def unknown(kind: str, name: str, names: Iterable[str], where: str = "", hint: str = "") -> ConfigError:
    """The error for a name that does not exist, with the nearest ones that do."""
    known = sorted(names)
    close = nearest(name, known)
    if close:
        offer = "Nearest: " + ", ".join(f"'{other}'" for other in close) + "."
    else:
        offer = f"Known: {', '.join(known) or 'none'}."
    place = f"{where}: " if where else ""
    tail = f"  ({hint})" if hint else ""
    return ConfigError(f"{place}no {kind} is named '{name}'. {offer}{tail}")
