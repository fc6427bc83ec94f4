"""``tmbench compact``: folds the many small files of a store's records into one, so that reading is quick."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tmbench.verb import command_line, guarded, parser, store_of

if TYPE_CHECKING:
    from tmbench.engine.compaction import Compaction

ABOUT = """Fold all files of a store's records into one. Every record is kept, and runs at work are not disturbed.

  tmbench compact                        the usual store
  tmbench compact paths.store=DIR"""


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Fold the records of a store; exit 1 when some file had to be left."""
    command = parser("compact", ABOUT)
    command.add_argument("--json", action="store_true", help="the same as JSON")
    options = command.parse_intermixed_args(arguments)
    store = store_of(options)
    from tmbench.engine.compaction import compact
    from tmbench.errors import NothingMatched

    if not (store / "records").is_dir():
        raise NothingMatched(f"there are no records in {store}. Name the store: paths.store=DIR.")
    done = compact(store / "records")
    if options.json:
        print(json.dumps(_facts(done), indent=2))
    else:
        print(_text(done))
        print(f"next: {_next(options.overrides, options.config_dir)}")
    for path in done.unreadable:
        print(f"warning: {path} cannot be read and was left; `tmbench run` sets it aside", file=sys.stderr)
    for path in done.newer:
        print(f"warning: {path} is of a later version of tmbench and was left; compact with that", file=sys.stderr)
    return 1 if done.unreadable or done.newer else 0


def _facts(done: "Compaction") -> dict[str, Any]:
    return {
        "shards": done.shards,
        "rows": done.rows,
        "repeated": done.repeated,
        "file": str(done.path or ""),
        "megabytes": round(done.megabytes, 3),
        "unreadable": [str(path) for path in done.unreadable],
        "newer": [str(path) for path in done.newer],
    }


def _text(done: "Compaction") -> str:
    if done.path is None:
        return "nothing to fold: the records stand in one file already"
    twice = f" ({done.repeated:,} stood there twice)" if done.repeated else ""
    return f"{done.shards:,} shards, {done.rows:,} rows{twice} → {done.path} of {done.megabytes:.1f} MB"


def _next(overrides: Sequence[str], folders: Sequence[str]) -> str:
    named = any(text.startswith(("sweep=", "cells=")) for text in overrides)
    verb = "status" if named else "gc"
    return f"tmbench {verb} {command_line(*overrides, folders=folders)}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
