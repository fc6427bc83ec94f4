"""The choice of a learning rate on validation, which the truths of several tasks share; it goes on where it was cut."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from tmbench.identity import Seeds, content_id
from tmbench.sources import BadWeights
from tmbench.sources.checkpoints import FORMAT, Checkpoints, PartOf, Saved, prefixed, share
from tmbench.sources.network import load_weights, weights_of
from tmbench.sources.recipe import EpochRecipe
from tmbench.sources.training import Diverged


@dataclass(frozen=True)
class Judged:
    """What validation says of a trained network.

    Attributes:
        order: what the learning rate is chosen by, largest first; later numbers decide between equal ones.
        told: what the record says of it, by name.
    """

    order: tuple[float, ...]
    told: dict[str, Any]


@dataclass(frozen=True)
class Best:
    """The best learning rate so far, what it is chosen by, and the network that it trained."""

    rate: float
    order: tuple[float, ...]
    network: nn.Module


@dataclass
class Search:
    """The choice of a learning rate, as far as it has come.

    Attributes:
        name: tells the search from others.
        tried: for each learning rate that is done, ``learning_rate``, what validation told and ``loss`` (one value an
            epoch), or ``diverged`` with the reason.
        best: the best of them; None as long as all have diverged.
    """

    name: str
    tried: list[dict[str, Any]] = field(default_factory=list)
    best: Best | None = None

    def note(self, rate: float, curve: list[float], network: nn.Module, judged: Judged) -> None:
        """Take down what validation said of the ``network`` that ``rate`` trained; keep it if it is the best."""
        self.tried.append({"learning_rate": rate, **judged.told, "loss": curve})
        if self.best is None or judged.order > self.best.order:
            self.best = Best(rate, judged.order, network)

    def saved(self) -> Saved:
        """The state between two learning rates."""
        facts: dict[str, Any] = {"search": self.name, "tried": list(self.tried), "best": None}
        if self.best is None:
            return Saved({}, facts)
        facts["best"] = {"rate": self.best.rate, "order": list(self.best.order)}
        return Saved(prefixed("best", weights_of(self.best.network)), facts)

    def resume(self, saved: Saved | None, learner: Callable[[], nn.Module]) -> None:
        """Go on from ``saved``; passed over where it is another search's, or its weights do not fit a ``learner``."""
        if saved is None or saved.facts.get("search") != self.name:
            return
        if (best := saved.facts["best"]) is not None:
            network = learner().eval()
            try:
                load_weights(network, share(saved.arrays, "best"))
            except BadWeights:
                return
            self.best = Best(best["rate"], tuple(best["order"]), network)
        self.tried = list(saved.facts["tried"])


def search(
    recipe: EpochRecipe,
    learner: Callable[[], nn.Module],
    fit: Callable[[nn.Module, float, Checkpoints], list[float]],
    judge: Callable[[nn.Module], Judged],
    seeds: Seeds,
    checkpoints: Checkpoints,
) -> tuple[Best, list[dict[str, Any]]]:
    """Train with each learning rate of ``recipe``, and judge each on validation.

    Args:
        recipe: the candidates.
        learner: gives the network before the first step, the same at each call.
        fit: trains it with a learning rate, from where the checkpoints have it; gives the mean loss of each epoch.
        judge: what validation says of the trained network.
        seeds: tells this search from others.
        checkpoints: where the search goes on from, and is saved together with the training in progress.

    Returns:
        The best, of equal ones the first, and what :attr:`Search.tried` tells of all.

    Raises:
        Diverged: when training diverges at every learning rate.
    """
    state = Search(content_id([FORMAT, recipe.key(), seeds.unit]))
    state.resume(checkpoints.saved(), learner)
    for rate in recipe.learning_rates[len(state.tried) :]:
        network = learner()
        try:
            curve = fit(network, rate, PartOf(checkpoints, state.saved))
            judged = judge(network)
        except Diverged as problem:
            state.tried.append({"learning_rate": rate, "diverged": str(problem)})
        else:
            state.note(rate, curve, network, judged)
        if checkpoints.due():
            checkpoints.save(state.saved())
    if state.best is None:
        raise Diverged(
            f"every learning rate diverged; the last one: {state.tried[-1]['diverged']} "
            "Lower learning_rates in the recipe."
        )
    return state.best, state.tried
