"""Finding units by the beginning of an id, or by words of a name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tmbench.engine.batches import Units
from tmbench.engine.units import Unit


@dataclass(frozen=True)
class Found:
    """A unit, or a score that it owes.

    Attributes:
        id: of the unit or the score.
        name: the same.
        stage: the same.
        place: of the unit in the plan.
    """

    id: str
    name: str
    stage: str
    place: int

    def unit(self, units: Units) -> Unit:
        """The unit that does it."""
        return units[self.place]


def find(units: Units, wanted: Sequence[str]) -> list[Found]:
    """The units that ``wanted`` means; where there is none, the scores.

    A single word may begin an id. Otherwise each word must stand in the unit's name or be its stage; names that have
    all of them as whole words count before those that have them as parts of words.
    """
    words = [word for text in wanted for word in split(text)]
    if len(words) == 1:
        by_id = [one for one in _all(units) if one.id.startswith(words[0])]
        if by_id:
            return by_id
    for candidates in (_units(units), _scores(units)):
        whole, parts = [], []
        for one in candidates:
            there = split(f"{one.stage} {one.name}")
            if all(word in there for word in words):
                whole.append(one)
            elif all(any(word in other for other in there) for word in words):
                parts.append(one)
        if whole or parts:
            return whole or parts
    return []


def split(text: str) -> list[str]:
    """The words of a name, arrows left out."""
    return [word for word in text.lower().replace("→", " ").replace("->", " ").split() if word != "at"]


def nearest_names(units: Units, wanted: Sequence[str]) -> list[str]:
    """The names of sources, targets and recipes most like the words that are in none."""
    from tmbench.errors import nearest

    known = {part.lower() for batch in units.batches for part in (batch.source, batch.target, batch.recipe) if part}
    close = [other for text in wanted for word in split(text) if word not in known for other in nearest(word, known)]
    return list(dict.fromkeys(close))


def _all(units: Units) -> Iterator[Found]:
    yield from _units(units)
    yield from _scores(units)


def _units(units: Units) -> Iterator[Found]:
    place = 0
    for batch in units.batches:
        for number, id in enumerate(batch.ids):
            name = batch.name if batch.seeds is None else f"{batch.name} seed={batch.seeds[number]}"
            yield Found(id, name, batch.stage, place + number)
        place += len(batch.ids)


def _scores(units: Units) -> Iterator[Found]:
    for place, unit in enumerate(units):
        yield from (Found(score.id, score.name, "score", place) for score in unit.scores)
