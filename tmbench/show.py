"""``tmbench show``: list what exists, or describe one thing: an option, a sweep, one setup of a sweep."""

import inspect
import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tmbench.errors import ConfigError, TmbenchError, unknown
from tmbench.verb import command_line, guarded, parser, resolve

WIDTH = 120
"""Columns at which lists of names are broken."""


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """List or describe options and sweeps."""
    command = parser(
        "show",
        "List what exists (show metrics) or describe one: show metric=logme, show sweep=demo, or a setup by its "
        "number, show sweep=demo setup=17.",
    )
    command.usage = "tmbench show [KIND | KIND=NAME | sweep=NAME setup=NUMBER] [--config-dir DIR] [--json]"
    command.add_argument("--json", action="store_true", help="the same as JSON")
    options = command.parse_intermixed_args(arguments)
    if any(text.startswith("setup=") for text in options.overrides):
        return _setup(options)
    from tmbench.study.compose import OptionFolders, plural
    from tmbench.study.options import GROUPS

    folders = OptionFolders(options.config_dir)
    kinds = [*GROUPS, "cluster", "store", "sweep"]
    if not options.overrides:
        found = {plural(kind): sorted(_names(kind, folders)) for kind in kinds}
        print(json.dumps(found, indent=2) if options.json else _overview(found))
        return 0
    for text in options.overrides:
        kind, _, name = text.partition("=")
        kind = kind if kind in kinds else kind.removesuffix("s")
        if kind not in kinds:
            raise unknown("kind", text, [plural(known) for known in kinds], where="show")
        facts = (
            [describe(kind, full, folders) for full in _meant(kind, name, folders)] if name else _lines(kind, folders)
        )
        if options.json:
            print(json.dumps(facts, indent=2))
        elif name:
            print("\n\n".join(map(_page, facts)))
            if kind == "metric":
                print(f"next: tmbench check {command_line(text, folders=options.config_dir)}")
        else:
            print(_list(facts))
    return 0


def _setup(options: Any) -> int:
    """Describe the setup that ``setup=NUMBER`` names."""
    from tmbench.study.planning import whole

    study = resolve(options, extra=("setup",))
    number, setups = whole("setup", study.extra["setup"]), study.plan.setups
    if not setups.total:
        raise ConfigError(f"{study.plan.sweep.name} has no setup: {study.plan.why_no_setups}")
    if number >= setups.total:
        raise ConfigError(
            f"setup={number} does not exist: {study.plan.sweep.name} has {setups.total:,}, numbered 0 to "
            f"{setups.total - 1:,}."
        )
    setup = setups.at(number)
    if options.json:
        print(json.dumps({"sweep": study.plan.sweep.name, **asdict(setup)}, indent=2))
        return 0
    from tmbench.stats.cells import axes_of

    query, candidate = axes_of(setup.direction)
    lines = [
        f"setup {number} of {study.plan.sweep.name} · {setup.scenario}",
        f"id        {setup.id}",
        f"{query:<9} {setup.query}",
        f"pool      {len(setup.pool)} {candidate}s, id {setup.pool_id} (by the rule {setup.rule})",
        f"          {', '.join(setup.pool)}",
    ]
    if left := [name for name in setup.pool if name not in setup.ranked]:
        lines.append(f"          of which {setup.query} has not, so that it is left out: {', '.join(left)}")
    lines += [f"{name:<9} {getattr(setup, name)}" for name in ("recipe", "level", "measure")]
    lines += ["overrides", *(f"  {text}" for text in setup.overrides)]
    print("\n".join([*lines, f"next: tmbench aggregate {study.command}"]))
    return 0


def _names(kind: str, folders: Any) -> dict[str, Path]:
    from tmbench.study.sweep import sweep_files

    return sweep_files() if kind == "sweep" else folders.names(kind)


def _meant(kind: str, name: str, folders: Any) -> list[str]:
    """The options that ``name`` stands for: of recipes one a task, as in a sweep, where no task is named."""
    if kind != "recipe" or "/" in name:
        return [name]
    return [full for full in sorted(_names(kind, folders)) if full.rpartition("/")[2] == name] or [name]


def _overview(found: dict[str, list[str]]) -> str:
    indent = " " * 10
    lines = [
        textwrap.fill(f"{kind:<9} {', '.join(names)}", WIDTH, subsequent_indent=indent, break_on_hyphens=False)
        for kind, names in found.items()
    ]
    return "\n".join([*lines, "next: tmbench show metrics"])


def describe(kind: str, name: str, folders: Any) -> dict[str, Any]:
    """Everything about one option or sweep; of a metric, everything that its function declares."""
    if kind == "metric":
        from tmbench.study.metric_options import declaration, named_metric

        named = named_metric(name, folders)
        return {"kind": kind, "name": name, "file": named.file, **declaration(named), "options": dict(named.options)}
    known = _names(kind, folders)
    if name not in known:
        from tmbench.study.compose import plural

        raise unknown(kind, name, known, hint=f"tmbench show {plural(kind)} lists all {len(known)}")
    facts: dict[str, Any] = {"kind": kind, "name": name, "file": str(known[name])}
    content = _contents(kind, [name], folders)[name]
    if isinstance(content.get("function"), str):
        facts["about"] = _docstring(content["function"])
    return {**facts, "options": content}


def _contents(kind: str, names: Sequence[str], folders: Any) -> dict[str, dict[str, Any]]:
    """The options by name, composed as a sweep would."""
    from tmbench.study.compose import describe_options

    if kind == "sweep":
        from tmbench.study.sweep import Request, load_sweep

        return {name: load_sweep(Request(name)).model_dump(mode="json") for name in names}
    return describe_options(kind, names, folders)


def _docstring(reference: str) -> str:
    from tmbench.functions import find_function

    try:
        return inspect.getdoc(find_function(reference)) or ""
    except ConfigError as error:
        return f"(cannot be read here: {error})"


def _lines(kind: str, folders: Any) -> list[dict[str, Any]]:
    """One entry an option: its title, else the first sentence of its function's docstring."""
    entries = []
    for name, content in _readable(kind, list(_names(kind, folders)), folders).items():
        declares = ""
        try:
            if isinstance(content, Exception):
                raise content
            about = content.get("title") or ""
            if kind == "metric":
                about, declares = _metric_line(name, content, folders)
            elif not about and isinstance(content.get("function"), str):
                about = _docstring(content["function"]).partition("\n")[0]
        except Exception as error:  # one option that is broken, in whatever way, hides none of the others
            about = f"(cannot be read here: {' '.join(str(error).split())})"
        entries.append({"name": name, "about": about, "declares": declares})
    return [*entries, *(_installed(folders) if kind == "metric" else [])]


def _readable(kind: str, names: Sequence[str], folders: Any) -> dict[str, dict[str, Any] | Exception]:
    """The options by name, or why one cannot be composed; all in one call unless one is broken."""
    try:
        return dict(_contents(kind, names, folders))
    except TmbenchError as error:
        if len(names) <= 1:
            return dict.fromkeys(names, error)
    half = len(names) // 2
    return _readable(kind, names[:half], folders) | _readable(kind, names[half:], folders)


def _metric_line(name: str, content: dict[str, Any], folders: Any) -> tuple[str, str]:
    """(first line of the docstring, or the parameters of a variant; what is declared) of a metric's option."""
    from tmbench.study.metric_options import from_option

    named = from_option(name, content, folders)
    metric = named.metric
    needs = ", ".join(need.replace("|", " or ") for need in metric.needs_of(named.parameters))
    given = ", ".join(f"{parameter}={value}" for parameter, value in named.parameters.items())
    about = f"{metric.name} with {given}" if given and name != metric.name else metric.summary
    return about, f"{metric.kind}; {', '.join(metric.tasks)}; needs {needs}"


def _installed(folders: Any) -> list[dict[str, Any]]:
    """The metrics that installed packages offer and no option file is named after; their packages stay unimported."""
    from tmbench.metrics.registry import installed

    known = folders.names("metric")
    return [
        {"name": name, "about": f"(offered by an installed package as {reference})", "declares": ""}
        for name, reference in installed().items()
        if name not in known
    ]


def _list(facts: list[dict[str, Any]]) -> str:
    width = max((len(fact["name"]) for fact in facts), default=0)
    lines = []
    for fact in facts:
        lines.append(f"{fact['name']:<{width}}  {fact['about']}")
        if fact["declares"]:
            lines.append(f"{'':<{width}}  ({fact['declares']})")
    return "\n".join(lines)


def _page(facts: dict[str, Any]) -> str:
    lines = [f"{facts['kind']} {facts['name']}   {facts['file']}".rstrip()]
    if facts["kind"] == "metric":
        from tmbench.study.metric_options import text_of

        lines += text_of(facts)
    if facts.get("about"):
        lines += ["", facts["about"]]
    if options := _said(facts["options"]) if facts["kind"] == "sweep" else facts["options"]:
        lines += ["", _yaml(options)]
    if schema := _schema(facts):
        lines += ["", f"every key: {schema.__module__}:{schema.__name__}"]
    return "\n".join(lines)


def _said(content: Any) -> Any:
    """A sweep's content without the keys that hold nothing."""
    if isinstance(content, list):
        return [_said(one) for one in content]
    if not isinstance(content, dict):
        return content
    return {key: _said(value) for key, value in content.items() if value not in (None, [], {})}


def _yaml(options: dict[str, Any]) -> str:
    """``options`` as option files are written: what holds only numbers and words stands on one line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def serialize(self, node: yaml.Node) -> None:
            node.flow_style = False  # type: ignore[attr-defined]
            super().serialize(node)

    text: str = yaml.dump(options, Dumper=Dumper, sort_keys=False, default_flow_style=None, width=WIDTH)
    return text.rstrip()


def _schema(facts: dict[str, Any]) -> type | None:
    """The schema in which every key of the option is described; None for metrics, whose page says all of it."""
    from tmbench.study.options import GROUPS

    schema = GROUPS.get(facts["kind"]) if facts["kind"] != "metric" else None
    return schema.get(facts["options"].get("task", "")) if isinstance(schema, dict) else schema


if __name__ == "__main__":
    sys.exit(main())
