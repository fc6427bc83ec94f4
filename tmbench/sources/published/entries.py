"""The named tensors of a file, and what layouts have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor, nn

Entries = dict[str, Tensor]


@dataclass
class Translated:
    """The entries of a file under a network's names.

    Attributes:
        entries: what is to be loaded, the head included where the file has one.
        left_out: reason → names in the file of what a network of ours has no use for.
        fresh: beginnings of names that the file need not have; beside heads, which it need not have either.
    """

    entries: Entries
    left_out: dict[str, list[str]] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()

    def leave_out(self, reason: str, unwanted: Callable[[str], bool]) -> None:
        """Take out the entries whose name is ``unwanted``."""
        names = [name for name in self.entries if unwanted(name)]
        for name in names:
            del self.entries[name]
        if names:
            self.left_out.setdefault(reason, []).extend(names)

    def rename(self, renamed: Callable[[str], str]) -> None:
        """Give every entry a new name."""
        self.entries = {renamed(name): value for name, value in self.entries.items()}

    def settle_norm(self, network: nn.Module) -> None:
        """Leave out the final norm of a file when the network averages its tokens before another one, and vice versa.

        Files of self-supervised transformers end in ``norm``, over the tokens. Whether a network reads the class token
        behind it or averages the tokens and then applies ``fc_norm`` is for those who use it to choose.
        """
        own = network.state_dict().keys()
        for theirs, ours in (("norm.", "fc_norm."), ("fc_norm.", "norm.")):
            if any(name.startswith(ours) for name in own) and not any(name.startswith(theirs) for name in own):
                self.leave_out("final norm on the other side of pooling", partial(_begins, theirs))
                self.fresh = (*self.fresh, ours)


def _begins(beginning: str, name: str) -> bool:
    return name.startswith(beginning)


def head_names(network: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of what predicts classes in ``network``, whether or not it has parameters now."""
    if hasattr(network, "roi_heads"):  # a torchvision detector
        predictors = ("box_predictor", "mask_predictor.mask_fcn_logits", "keypoint_predictor.kps_score_lowres")
        return tuple(f"roi_heads.{name}." for name in predictors)
    found = network.get_classifier()  # type: ignore[operator]
    heads = found if isinstance(found, tuple) else (found,)
    return tuple(f"{name}." for name, module in network.named_modules() if any(module is head for head in heads))
