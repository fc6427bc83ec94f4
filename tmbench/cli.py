"""The console script: ``tmbench VERB …`` is ``python -m tmbench.VERB …``."""

import importlib
import sys

VERBS = {
    "show": "list and describe sources, targets, metrics, recipes, sweeps, …",
    "plan": "what a sweep needs: setups, cells, units, cost",
    "run": "do what is missing",
    "status": "what is done, running, failed and left",
    "aggregate": "records → tables, figures, one page",
    "curriculum": "in which order to learn tasks that transfer to each other",
    "logs": "what a unit said and came to, and where it ran",
    "cancel": "take a sweep's jobs out of SLURM's queue",
    "doctor": "whether this machine or site can run a sweep",
    "compact": "fold the many small files of records into one",
    "gc": "delete what no plan refers to any more",
    "check": "hold metrics, your own too, to what every metric owes",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a verb; return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        from tmbench import __version__

        print(f"tmbench {__version__}")
        return 0
    if words[0] not in VERBS:
        from tmbench.errors import unknown

        print(f"error: {unknown('verb', words[0], VERBS)}", file=sys.stderr)
        return 2
    return importlib.import_module(f"tmbench.{words[0]}").main(words[1:])


def usage() -> str:
    """The one-screen help."""
    verbs = "\n".join(f"  {name:<10} {text}" for name, text in VERBS.items())
    return f"""tmbench: do transferability metrics tell which pretrained model transfers best?

usage: tmbench VERB [OVERRIDE ...]        the same: python -m tmbench.VERB [OVERRIDE ...]

{verbs}

An override is Hydra's key=value:  sweep=NAME or sweep=FILE.yaml,  metric=[logme,hscore]  (replaces that axis),
cluster=debug,  cluster.workers=4,  paths.store=DIR.  Own option files: --config-dir DIR.
Exit codes: 0 all done, 1 something failed or is left, 2 bad usage, 3 nothing matched.

next: tmbench plan sweep=demo"""


if __name__ == "__main__":
    sys.exit(main())
