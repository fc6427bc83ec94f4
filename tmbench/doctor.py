"""``tmbench doctor``: whether this machine, and a SLURM site, have what a run needs; what is wrong says what to do."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tmbench.verb import agreed, command_line, guarded, parser

if TYPE_CHECKING:
    from tmbench.engine.checkup import Finding
    from tmbench.engine.options import Cluster

ABOUT = """Check this machine and, with a profile of SLURM, the site: commands, limits, folders, a test job.

  tmbench doctor                                            this machine
  tmbench doctor cluster=slurm cluster.slurm.partition=gpu  a site, with a test job of a minute
  tmbench doctor cluster=mine --config-dir DIR --no-job     a profile of yours, without one

sweep=NAME and what else serves the other verbs may stand there and is not looked at."""
MARKS = {True: "✓", False: "✗", None: "–"}
WIDTH = 13


@partial(guarded, stopped="Its test job is cancelled.")
def main(arguments: Sequence[str] | None = None) -> int:
    """Check a site; exit 1 when something is wrong."""
    command = parser("doctor", ABOUT)
    command.usage = (
        "tmbench doctor [cluster=NAME] [cluster.KEY=VALUE ...] [paths.store=DIR] [--yes | --no-job] [--json]"
    )
    job = command.add_mutually_exclusive_group()
    job.add_argument("--yes", action="store_true", help="submit the test job without asking")
    job.add_argument("--no-job", action="store_true", help="submit no test job")
    command.add_argument("--wait", type=float, default=10.0, metavar="MINUTES", help="how long it may queue (10)")
    command.add_argument("--json", action="store_true", help="the same as JSON")
    options = command.parse_intermixed_args(arguments)
    cluster, store, out = _settings(options)
    found = []
    for finding in _findings(cluster, store, out, options):
        found.append(finding)
        if not options.json:
            print(line(finding), flush=True)
    wrong = [finding for finding in found if finding.good is False]
    if options.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        print(_next(cluster, bool(wrong), command_line(*options.overrides, folders=options.config_dir)))
    return 1 if wrong else 0


def line(finding: "Finding") -> str:
    """One line: a mark, what was looked at, what was found, what to do."""
    advice = f". {finding.advice}" if finding.advice else ""
    return f"{MARKS[finding.good]} {finding.check:<{WIDTH}} {finding.text}{advice}"


def _settings(options: Namespace) -> "tuple[Cluster, Path, Path]":
    """The profile, the store and the folder of results that the command line names; a sweep is passed over."""
    from tmbench.study.compose import OptionFolders, compose_settings
    from tmbench.study.sweep import parse

    request = parse(options.overrides, extra=("retry",), study=False)
    folders = OptionFolders([*options.config_dir, *request.folders])
    cluster, paths = compose_settings(request.settings, folders)
    store, out = (Path(name).expanduser().absolute() for name in (paths.store, paths.out))
    return cluster, store, out


def _findings(cluster: "Cluster", store: Path, out: Path, options: Namespace) -> "Iterator[Finding]":
    from tmbench.engine.checkup import folder, machine

    yield from machine()
    folders = [*folder("store", "paths.store", store), *folder("output", "paths.out", out)]
    yield from folders
    if cluster.kind == "slurm":
        from tmbench.engine.slurm.doctor import site

        found = list(site(cluster))
        yield from found
        yield from _test_job(cluster, store, out, options, all(f.good is not False for f in [*folders, *found]))


def _test_job(cluster: "Cluster", store: Path, out: Path, options: Namespace, promising: bool) -> "Iterator[Finding]":
    from tmbench.engine.checkup import Finding
    from tmbench.engine.slurm.visit import Visit

    if options.no_job:
        yield Finding("test job", None, "none, by --no-job")
    elif not promising:
        yield Finding("test job", None, "none before the rest is mended")
    elif not options.yes and not sys.stdin.isatty():
        yield Finding("test job", None, "none: there is no terminal to ask at; --yes submits it")
    elif not options.yes and not agreed("Submit a test job, a minute of one node?"):
        yield Finding("test job", None, "none, as you said")
    else:
        yield from Visit(cluster, store, out, options.wait, lambda text: print(text, file=sys.stderr)).findings()


def _next(cluster: "Cluster", wrong: bool, command: str) -> str:
    if wrong:
        return f"next: mend what is marked ✗, then tmbench doctor {command}".rstrip()
    from tmbench.engine.slurm.site import available

    named = any(word.startswith(("sweep=", "cells=")) for word in command.split())
    line = f"next: tmbench plan {'' if named else 'sweep=demo '}{command}".rstrip()
    return f"{line}   or: tmbench doctor cluster=slurm" if cluster.kind != "slurm" and available() else line


if __name__ == "__main__":
    sys.exit(main())
