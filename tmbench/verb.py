"""What all verbs share: reading the command line, resolving the study, saying what went wrong."""

import argparse
import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tmbench.errors import ConfigError, Declined, TmbenchError

if TYPE_CHECKING:
    from tmbench.engine.state import State
    from tmbench.study.plan import Plan


def parser(verb: str, about: str) -> argparse.ArgumentParser:
    """The parser of a verb: Hydra overrides as positionals, few flags."""
    out = argparse.ArgumentParser(
        prog=f"tmbench {verb}",
        description=about,
        epilog="Overrides are Hydra's: sweep=demo metric=[logme,hscore] cluster=debug paths.store=DIR",
    )
    out.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="key=value")
    out.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of your own option files (DIR/metric/NAME.yaml, DIR/target/NAME.yaml, …); may be repeated",
    )
    return out


class Verb(Protocol):
    """A verb's ``main``: arguments (those of the process by default) → exit code."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run the verb."""
        ...


def agreed(question: str) -> bool:
    """Whether the user says yes at the terminal; Enter is yes.

    Raises:
        ConfigError: when there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask at: add --yes, or --dry-run to see first.")
    print(f"{question} [Y/n] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def printable(text: str) -> str:
    """``text`` for a terminal: what controls one (escape sequences in a user's exception, say) is spelled out."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs") else ascii(char)[1:-1] for char in text
    )


GOES_ON = "What was finished is kept; the same command goes on with the rest."


def guarded(work: Callable[[Sequence[str] | None], int], stopped: str = GOES_ON) -> Verb:
    """A verb's ``main`` whose errors become one sentence on stderr and an exit code; ``stopped`` is said of Ctrl-C."""

    def main(arguments: Sequence[str] | None = None) -> int:
        try:
            return work(arguments)
        except Declined as words:
            print(printable(str(words)), file=sys.stderr)
            return words.exit_code
        except TmbenchError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            print(f"\nstopped. {stopped}", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader (head, less) has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    main.__doc__ = work.__doc__
    return main


@dataclass(frozen=True)
class Study:
    """A sweep, resolved, and where it lives."""

    plan: "Plan"
    store: Path
    out: Path
    extra: dict[str, Any]
    """The verb's own keys (``retry``); ``bootstrap`` and, for published tables, ``seed`` as whole numbers."""
    command: str
    """The overrides as the user typed them, for the next command."""
    stuck: tuple[str, ...] = ()
    """Why the tuning cannot go on, as far as the records tell: a sentence for each stage."""

    @property
    def published(self) -> bool:
        """Whether the cells stand in tables, so that there is nothing to run."""
        return bool(self.plan.sweep.cells)

    def after_records(self) -> "Study":
        """This study with what its tuning wants next, after the records of its store."""
        if not self.plan.sweep.tuning:
            return self
        from tmbench.engine.records import Records
        from tmbench.study.tuned import stuck

        records = Records().merge(self.store / "records")
        return replace(self, plan=self.plan.after(records), stuck=tuple(stuck(self.plan, records)))

    def state(self) -> "State":
        """The plan against its store, its costs learnt from what is finished."""
        from tmbench.engine.records import Records
        from tmbench.engine.state import State, learnt_minutes

        records = Records().merge(self.store / "records")
        return State(self.plan.estimated(learnt_minutes(self.plan.units, records)).units, self.store, records)


def resolve(arguments: argparse.Namespace, extra: Sequence[str] = ()) -> Study:
    """From the command line to the plan.

    Raises:
        ConfigError: for anything in the overrides, the sweep or the options that is wrong.
    """
    from tmbench.study.compose import OptionFolders
    from tmbench.study.planning import planned
    from tmbench.study.sweep import parse

    request = parse(arguments.overrides, (*extra, "out"))
    folders = OptionFolders([*arguments.config_dir, *request.folders])
    for path in folders.shadowed():
        print(f"warning: {path} has no effect: an option of that name exists already. Rename it.", file=sys.stderr)
    plan, own = planned(request, folders)
    for note in plan.notes:
        print(f"warning: {note}", file=sys.stderr)
    words = [text for text in arguments.overrides if text.partition("=")[0] not in extra]
    store = _folder("paths.store", plan.options.paths.store)
    if "out" in own:
        out = _folder("out", str(own["out"]))
    else:
        out = Path(plan.options.paths.out).expanduser().absolute() / plan.sweep.name
    study = Study(plan, store, out, own, command_line(*words, folders=arguments.config_dir)).after_records()
    for note in study.stuck:
        print(f"warning: {note}", file=sys.stderr)
    return study


def store_of(arguments: argparse.Namespace) -> Path:
    """The store, for a verb that needs no study; a sweep may be named all the same.

    Raises:
        ConfigError: for anything in the overrides that is wrong.
    """
    from tmbench.study.compose import OptionFolders, compose_settings
    from tmbench.study.sweep import parse

    request = parse(arguments.overrides, study=False)
    folders = OptionFolders([*arguments.config_dir, *request.folders])
    return _folder("paths.store", compose_settings(request.settings, folders)[1].store)


def command_line(*overrides: str, folders: Sequence[str] = ()) -> str:
    """``overrides`` as a shell takes them, behind the user's ``--config-dir``: what follows the verb."""
    return " ".join([*(f"--config-dir {_quoted(folder)}" for folder in folders), *map(_quoted, overrides)])


def _folder(key: str, name: str) -> Path:
    if not name.strip():
        raise ConfigError(f"{key}= names no folder.")
    path = Path(name).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{key}={path} is a file; name a folder.")
    return path


def _quoted(word: str) -> str:
    """``word`` as a shell reads it back; brackets stay bare, because bash leaves them and quotes hide the names."""
    return word if re.fullmatch(r"[\w@%+=:,./\[\]~-]+", word) else shlex.quote(word)


def nothing_to_run(study: Study) -> str:
    """What a verb that runs says of published tables."""
    return (
        f"{study.plan.sweep.name}: nothing needs to run, its truths and scores stand in tables\n"
        f"next: tmbench aggregate {study.command}"
    )


def amount(minutes: float) -> str:
    """Minutes in the unit a person would use."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h"
