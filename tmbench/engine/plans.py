"""The plans that ran on a store, so that ``gc`` knows what is wanted: of each command line the newest, in one file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tmbench.engine.batches import Units
from tmbench.errors import TmbenchError
from tmbench.files import whole_file
from tmbench.identity import content_id


class UnreadablePlan(TmbenchError):
    """A registered plan cannot be read, so that nobody knows what it refers to."""


@dataclass(frozen=True)
class Registered:
    """A plan that ran.

    Attributes:
        path: its file; whoever deletes it gives up what only this plan refers to.
        sweep: the sweep's name.
        command: the overrides as typed.
        date: when it ran last, UTC.
        units: stage → ids.
    """

    path: Path
    sweep: str
    command: str
    date: str
    units: dict[str, frozenset[str]]

    @property
    def ids(self) -> frozenset[str]:
        """All of its units."""
        return frozenset[str]().union(*self.units.values())


def register(store: Path, sweep: str, command: str, units: Units) -> Path:
    """Keep what a plan refers to, in place of an earlier plan of the same command line.

    Raises:
        StoreError: when the store cannot be written.
    """
    by_stage: dict[str, list[str]] = {}
    for batch in units.batches:
        by_stage.setdefault(batch.stage, []).extend(batch.ids)
    content = {
        "sweep": sweep,
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "units": by_stage,
    }
    path = store / "plans" / f"{sweep}-{content_id(['plan', command])[:12]}.json"
    with whole_file(path) as stream:
        stream.write(json.dumps(content).encode())
    return path


def registered(store: Path) -> list[Registered]:
    """The plans that ran on ``store``, the latest first.

    Raises:
        UnreadablePlan: when one of them is damaged.
    """
    return sorted(_read(store / "plans"), key=lambda plan: plan.date, reverse=True)


def _read(folder: Path) -> Iterator[Registered]:
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text())
            units = {stage: frozenset(ids) for stage, ids in content["units"].items()}
            yield Registered(path, content["sweep"], content["command"], content["date"], units)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise UnreadablePlan(
                f"{path} cannot be read, so that nobody knows what that plan refers to. Run its sweep again, or delete "
                "the file if the plan is given up."
            ) from error
