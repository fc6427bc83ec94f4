"""What the units of one source, or of one target, share: each part is made once, whatever the number of units."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tmbench.engine.batches import Batch
from tmbench.engine.units import key_id, pretrain_key
from tmbench.functions import portable
from tmbench.sources.options import Pretraining, Source
from tmbench.study.names import source_parts
from tmbench.targets.options import Target

if TYPE_CHECKING:
    from tmbench.study.plan import Plan


class SourceParts:
    """Of a source: its key, its config, and the units that train its weights.

    Attributes:
        name: in the sweep.
        source: the option.
        config: as workers get it.
        key: portable; with the ids of its pretraining, because weights of another version of that are another source.
        after: these ids, one a part that the study trains.
    """

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source
        self.config = source.model_dump(mode="json")
        parts = zip((option for option, _ in source_parts(name)), source.parts, strict=True)
        trained = [(option, part.whole()) for option, part in parts if part.pretrained_on is not None]
        self._trained = [(option, part, pretrain_key(part.key())) for option, part in trained]
        self.after = tuple(key_id(key) for _, _, key in self._trained)
        ids: Any = list(self.after) if source.beside else "".join(self.after)
        self.key = portable({**source.key(), "pretraining": ids})

    def pretraining(self) -> Iterator[Batch]:
        """The units that train its weights, where the study trains them itself."""
        for (name, source, key), id in zip(self._trained, self.after, strict=True):
            assert isinstance(source.weights, Pretraining)
            yield Batch(
                "pretrain",
                name,
                key,
                {"source": source.model_dump(mode="json") if source != self.source else self.config},
                (id,),
                name,
                minutes=source.minutes,
                resources=source.resources | source.weights.recipe.resources,
            )


class TargetParts:
    """Of a target: its key and its config."""

    def __init__(self, name: str, target: Target) -> None:
        self.name = name
        self.target = target
        self.config = target.model_dump(mode="json")
        self.key = portable(target.key())


def included(plan: "Plan", source: str, target: str, recipe: str, level: str) -> bool:
    """Whether the sweep's ``exclude`` rules leave this combination; what none needs is not computed."""
    scenario = plan.sweep.name
    return not plan.sweep.excludes(scenario=scenario, source=source, target=target, recipe=recipe, level=level)
