"""``tmbench gc``: deletes what no plan refers to: weights, features, checkpoints, damaged and half-written files."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.verb import command_line, guarded, parser, resolve, store_of

if TYPE_CHECKING:
    from tmbench.engine.garbage import Garbage, InUse
    from tmbench.engine.plans import Registered

ABOUT = """List what can be deleted from a store; --delete deletes it. Records and logs stay, and so does what is
younger than a day, what is in work, and what a plan refers to that ran on the store. These plans are listed; to give
one up, delete its file.

  tmbench gc                              the usual store
  tmbench gc paths.store=DIR sweep=NAME   keep what that sweep would need as well"""

SHOWN = 20


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """List or delete the garbage of a store."""
    command = parser("gc", ABOUT)
    command.add_argument("--delete", action="store_true", help="delete what is listed")
    command.add_argument("--json", action="store_true", help="the same as JSON")
    options = command.parse_intermixed_args(arguments)
    store, wanted = _wanted(options)
    from tmbench.engine.garbage import delete, garbage
    from tmbench.engine.plans import registered

    plans = registered(store)
    _check_plans(plans, store)
    found = garbage(store, _in_use(store, plans, wanted))
    if options.delete:
        # What became wanted or held while the folders were read stays.
        found = delete(found, store, _in_use(store, registered(store), wanted))
    if options.json:
        print(json.dumps(_facts(plans, found, options.delete), indent=2))
    else:
        print(_text(plans, found, options.delete))
        print(f"next: {_next(options, found)}")
    return 0


def _wanted(options: Any) -> tuple[Path, frozenset[str]]:
    """The store, and the units of the sweep that is named, if one is."""
    if not any(text.startswith(("sweep=", "cells=")) for text in options.overrides):
        return store_of(options), frozenset()
    study = resolve(options)
    return study.store, frozenset(id for batch in study.plan.units.batches for id in batch.ids)


def _check_plans(plans: "Sequence[Registered]", store: Path) -> None:
    from tmbench.errors import NothingMatched

    if not plans:
        raise NothingMatched(
            f"no plan is registered in {store / 'plans'}, so that nobody knows what is still wanted there. `tmbench "
            "run` registers the plan that it runs: say it for each sweep whose weights and features shall stay."
        )


def _in_use(store: Path, plans: "Sequence[Registered]", wanted: frozenset[str]) -> "InUse":
    from tmbench.engine.garbage import InUse
    from tmbench.engine.holdings import held_units
    from tmbench.engine.records import Records

    held = held_units(store)
    return InUse(wanted.union(*(plan.ids for plan in plans)), Records().merge(store / "records").done.keys(), held)


def _facts(plans: "Sequence[Registered]", found: "Sequence[Garbage]", deleted: bool) -> dict[str, Any]:
    return {
        "plans": [
            {"sweep": plan.sweep, "command": plan.command, "date": plan.date, "file": str(plan.path)} for plan in plans
        ],
        "files": [{"path": str(one.path), "reason": one.reason, "bytes": one.bytes} for one in found],
        "bytes": sum(one.bytes for one in found),
        "deleted": deleted,
    }


def _text(plans: "Sequence[Registered]", found: "Sequence[Garbage]", deleted: bool) -> str:
    lines = ["plans that ran here:"]
    lines += [f"  {plan.date[:10]}  {plan.sweep:<20} {plan.command}   ({plan.path})" for plan in plans]
    by_reason: dict[str, list[Garbage]] = {}
    for one in found:
        by_reason.setdefault(one.reason, []).append(one)
    for reason, group in sorted(by_reason.items()):
        lines.append(f"{_amount(group)}: {reason}")
        lines += [f"  {one.path}" for one in group[:SHOWN]]
        lines += [f"  … and {len(group) - SHOWN:,} more (--json lists all)"] if len(group) > SHOWN else []
    verb = "deleted" if deleted else "could be deleted"
    lines.append(f"{_amount(found)} {verb}" if found else "nothing to delete")
    return "\n".join(lines)


def _amount(found: "Sequence[Garbage]") -> str:
    files = "1 file" if len(found) == 1 else f"{len(found):,} files"
    return f"{files}, {sum(one.bytes for one in found) / 1e6:,.1f} MB"


def _next(options: Any, found: "Sequence[Garbage]") -> str:
    words = command_line(*options.overrides, folders=options.config_dir)
    if found and not options.delete:
        return f"tmbench gc {words} --delete".replace("  ", " ")
    return f"tmbench status {words}" if "sweep=" in words else f"tmbench compact {words}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
