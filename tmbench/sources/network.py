"""Networks: building one from an option, feeding it, reading its penultimate layer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import ConfigError
from tmbench.functions import find_function
from tmbench.identity import Seeds, content_id
from tmbench.sources import BadWeights
from tmbench.sources.maps import trunk_of
from tmbench.sources.options import FileWeights, Input, Pretraining, RandomWeights, Source
from tmbench.sources.recipe import SegmentationRecipe

BATCH = 256
"""Images of one forward pass when nothing is trained."""

OVERWRITTEN = Seeds("overwritten at once")
"""Draws what weights from elsewhere then replace."""


def device() -> torch.device:
    """Where networks are built, and so where they compute: the GPU that torch sees, else the CPU.

    A result is the same bit for bit when it is computed again on a CPU; on a GPU, where sums come out in an order of
    their own, only nearly.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def place_of(network: nn.Module) -> torch.device:
    """Where ``network`` lies, and its batches have to lie."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def build(source: Source, weights: dict[str, np.ndarray] | None = None, task: str = "classification") -> nn.Module:
    """The network of ``source``, on :func:`device`, in evaluation mode.

    A random source draws its weights from its own seed, so that they are the same wherever it is built. A source that
    the study pretrained on detection is the detector as a whole; of a segmentation network, whoever made it, only a
    ``task`` of segmentation gets more than the trunk.

    Args:
        source: the option.
        weights: what :func:`tmbench.sources.pretrain.pretrain` gave; None for a source that it did not make. Of joined
            sources what :func:`tmbench.sources.views.joined_weights` made of those of its parts.
        task: of the target that it is built for.

    Raises:
        BadWeights: when the weights are missing, not wanted, or not this architecture's; when a file has no head of the
            classes that the option promises.
    """
    if source.beside or source.layer:
        return _made_of_others(source, weights)
    network = _whole(source, weights)
    return network if task == "segmentation" else trunk_of(network)


def _whole(source: Source, weights: dict[str, np.ndarray] | None) -> nn.Module:
    """The network of ``source`` with the head, the decoder or the detector that it was pretrained with."""
    match source.weights:
        case RandomWeights(seed=seed):
            if weights is not None:
                raise BadWeights("a source of random weights takes none; give its pretrained sister these.")
            # The function's place is left out: a user's file may move.
            key = [source.architecture.parameters, source.architecture.version, seed]
            return fresh(source, Seeds(content_id(["random weights", *key])))
        case FileWeights() as file:
            if weights is not None:
                raise BadWeights("a source of published weights reads its own file; give its pretrained sister these.")
            return _read_into(fresh(source, OVERWRITTEN), file, head_needed=file.head_classes > 0)
        case Pretraining(target=target, recipe=recipe):
            if weights is None:
                raise BadWeights("this source is pretrained by the study, and its weights are not given.")
            network = fresh(source, OVERWRITTEN)
            if source.detector is not None:
                from tmbench.sources.detection.detector import detector  # which builds on this module

                network = detector(source, network, source.detector, target.outputs, OVERWRITTEN).to(device()).eval()
            if isinstance(recipe, SegmentationRecipe):
                from tmbench.sources.segmentation.segmenter import segmenter  # which builds on this module

                network = segmenter(network, recipe, target.outputs, source.input.size, OVERWRITTEN)
            load_weights(network, weights)
            return network


def _made_of_others(source: Source, weights: dict[str, np.ndarray] | None) -> nn.Module:
    """The network of a source that is cut from another one, or joins several; without a head."""
    from tmbench.sources.views import CutNetwork, JoinedNetworks, weights_of_part  # which knows networks of all kinds

    if source.detector is not None:
        raise ConfigError(f"a detector is used whole, and ends after no module of it ({source.layer}).")
    network: nn.Module
    if source.beside:
        parts = [build(part, weights_of_part(weights, number)) for number, part in enumerate(source.parts)]
        network = JoinedNetworks(parts, source.input.size)
    else:
        network = CutNetwork(build(source.whole(), weights), source.layer, source.input.size)
    return network.to(device()).eval()


def start_of(source: Source, seeds: Seeds) -> nn.Module:
    """The network in which the study's pretraining of ``source`` begins: as initialised, or with a file's weights.

    What the file does not hold (a head of the classes at hand, say) is as initialised from ``seeds``.

    Raises:
        BadWeights: when the file is missing, damaged, or not this architecture's.
    """
    network = fresh(source, seeds)
    return network if source.start is None else _read_into(network, source.start)


def published_weights(network: nn.Module) -> dict[str, Any]:
    """What :func:`build` or :func:`start_of` read from a file into ``network``, for a record; empty without a file.

    Plain JSON values: the file's name and ``sha256``, how many entries were ``loaded``, how many ``left_out`` and why,
    which stayed ``fresh``, and what became of the ``head``.
    """
    return dict(getattr(network, "published_weights", {}))


def _read_into(network: nn.Module, file: FileWeights, head_needed: bool = False) -> nn.Module:
    from tmbench.sources.published import read

    loaded = read(file, network)
    if head_needed and loaded.report["head"] == "fresh":
        found = next((reason for reason in loaded.report["left_out"] if reason.startswith("head of")), "no head")
        raise BadWeights(
            f"{file.file} has no head of {file.head_classes} classes (it has {found}): correct weights.head_classes; "
            "0 is for a source without a head."
        )
    load_weights(network, loaded.weights)
    network.published_weights = loaded.summary  # type: ignore[assignment]
    return network


def fresh(source: Source, seeds: Seeds) -> nn.Module:
    """The network of ``source`` as initialised, drawn from ``seeds``; with a head when the source has one.

    The weights are drawn on the CPU, so that they are the same on every machine, and moved to :func:`device`.
    """
    function = find_function(source.architecture.function)
    with drawing(seeds.integer("initial weights")):
        try:
            network: nn.Module = function(source.head_size, source.input.size, **source.architecture.parameters)
        except TypeError as error:
            raise ConfigError(f"{source.architecture.function}: {error}.") from error
    # Convolutions run a quarter faster on CPUs with the channels last.
    return network.to(memory_format=torch.channels_last).to(device()).eval()


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Every parameter and buffer of ``network`` by name, as arrays that own their memory."""
    return {name: as_array(value) for name, value in network.state_dict().items()}


def as_array(tensor: Tensor) -> np.ndarray:
    """A copy of ``tensor``, wherever it lies, in row-major order."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def load_weights(network: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Copy ``weights`` into ``network``, every one and no other; each keeps the layout and the place it has there.

    Raises:
        BadWeights: when they are not this architecture's; then nothing is copied.
    """
    problems = list(_mismatches(network.state_dict(), weights))
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise BadWeights(f"the weights are not this architecture's: {'; '.join(problems[:3])}{more}.")
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})


def parameter_count(network: nn.Module) -> int:
    """How many parameters the network has, its head left out; of a detector its backbone, of a segmenter its trunk."""
    body, heads = _parts(network)
    head = {id(parameter) for parameter in heads.parameters()}
    return sum(parameter.numel() for parameter in body.parameters() if id(parameter) not in head)


def weight_layers(network: nn.Module) -> int:
    """How many convolutions and linear maps the network has, its head left out; of these, its backbone or trunk."""
    body, heads = _parts(network)
    head = set(heads.modules())
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return sum(isinstance(module, kinds) and module not in head for module in body.modules())


def _parts(network: nn.Module) -> tuple[nn.Module, nn.Module]:
    """What of the network others build on, and what in it (none of a detector's backbone) predicts its classes."""
    if hasattr(network, "roi_heads"):  # a torchvision detector
        return network.backbone, nn.Identity()  # type: ignore[return-value]
    network = trunk_of(network)
    found = network.get_classifier()  # type: ignore[operator]
    return network, nn.ModuleList(found) if isinstance(found, tuple) else found


def as_input(images: np.ndarray, expected: Input) -> Tensor:
    """(n, h, w, 3) uint8 images as the (n, 3, size, size) float32 that the network expects."""
    # In place from here on: a pretraining set in float32 is large enough to be held once only.
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(255.0)
    size = (expected.size, expected.size)
    if pixels.shape[-2:] != size:
        pixels = nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
    pixels.sub_(torch.tensor(expected.mean).view(1, 3, 1, 1))
    pixels.div_(torch.tensor(expected.std).view(1, 3, 1, 1))
    return pixels.contiguous(memory_format=torch.channels_last)


def penultimate(network: nn.Module, inputs: Tensor) -> Tensor:
    """(n, d): what the head of a network of timm's interface sees; gradients flow."""
    features = network.forward_features(inputs)  # type: ignore[operator]
    return network.forward_head(features, pre_logits=True)  # type: ignore[operator]


class Inputs(Protocol):
    """Images as a network sees them, made when they are asked for; a tensor of all is its simplest form."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, rows: Tensor | slice, /) -> Tensor:
        """Those at ``rows``, (m,) int64 or a slice: (m, …) float32, on the CPU."""


def in_batches(
    network: nn.Module, inputs: Inputs, output: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__
) -> Tensor:
    """``output(network, inputs)``, ``BATCH`` rows at a time, without gradients; on the CPU, as ``inputs`` are."""
    place = place_of(network)
    with torch.inference_mode():
        starts = range(0, len(inputs), BATCH)
        parts = [output(network, inputs[start : start + BATCH].to(place)).cpu() for start in starts]
    return torch.cat(parts)


@contextmanager
def drawing(seed: int, place: torch.device | None = None) -> Iterator[None]:
    """A context in which torch's global stream starts at ``seed``; the caller's stream is left as it was.

    The CPU's stream, and that of the GPU ``place`` where one is given.
    """
    gpu = [place] if place is not None and place.type == "cuda" else []
    with torch.random.fork_rng(devices=gpu):
        torch.default_generator.manual_seed(seed)  # 5 µs a step, where torch.manual_seed may take 80
        for _ in gpu:
            torch.cuda.manual_seed(seed)
        yield


def _mismatches(wanted: dict[str, Tensor], given: dict[str, np.ndarray]) -> Iterator[str]:
    for name in wanted.keys() - given.keys():
        yield f"'{name}' is missing"
    for name in given.keys() - wanted.keys():
        yield f"'{name}' has no place"
    for name in sorted(wanted.keys() & given.keys()):
        if tuple(wanted[name].shape) != given[name].shape:
            yield f"'{name}' is {given[name].shape}, not {tuple(wanted[name].shape)}"
