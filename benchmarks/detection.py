"""What training a Mask R-CNN on a ViT costs on a GPU, and what reading objects adds to a pass: one table each.

python benchmarks/detection.py [--out FOLDER] [--batches 1 2 4 8]

ViT-B at 1024 px in bfloat16, random weights, random images of seven objects; a step is the one that a study does,
optimiser and all. After the table of memory and time of Li et al. (arXiv 2111.11429, 2021): windows alone, four global
blocks among them (hybrid), global attention, each keeping its activations or recomputing them. In the same run
torchvision's own maskrcnn_resnet50_fpn, and ViTDet by the recipe of that name, of torchvision's layers and, where it is
installed, of detectron2's. Seconds are medians over steps, the peak is that of torch's allocator over these steps, and
stands beside what tmbench/sources/detection/memory.py says beforehand. That counts 128 regions an image in the mask
head, which trained proposals come to; untrained ones hit next to nothing, so that it sees little but the seven true
boxes here, and the peak is up to 0.16 GB an image below that of a training.

Then the forward pass over an image with its objects, in float32 as a study does it, reading ten blocks: nothing, one
vector an image (global), and one an object too (local).

``--out`` writes the tables to FOLDER as Markdown, with date, GPU and versions. Without a GPU all of it runs at 64 px
with a tiny ViT, in CPU seconds of one thread: so that it is known to run, and for no other use.
"""

import argparse
import gc
import platform
import statistics
import time
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from tmbench.engine.failures import classify
from tmbench.features.detection import IMAGES, PIXELS
from tmbench.features.reading import LOCAL, Reader
from tmbench.identity import Seeds
from tmbench.sources import build
from tmbench.sources.detection.memory import GB, estimate
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.detection.training import Training
from tmbench.sources.network import device
from tmbench.sources.options import Source
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.study.memory import transformer_of
from tmbench.truth.detection import backend

PLACE = device()
GPU = PLACE.type == "cuda"
SEEDS = Seeds("benchmark of detection")
CLASSES = 80
OBJECTS = 7
"""Of an image, about as many as COCO has."""

RATE = 1e-6
"""So low that random weights on random data do not diverge."""

NOTE = """Peak: of torch's allocator; up to 0.16 GB an image below a training's at 1024 px, because untrained proposals
give the mask head few regions. The pass is in float32 and reads ten blocks."""

LAYERS = tuple(f"blocks.{i}" for i in range(2, 12))


@dataclass(frozen=True)
class Scale:
    """How large it all is: pixels, images a step, steps before those that are timed, these, the window, the source."""

    size: int
    batches: tuple[int, ...]
    warm_up: int
    steps: int
    window: int
    source: str

    @property
    def is_tiny(self):
        """Whether the network and the heads are made small too."""
        return self.source == "a tiny ViT"


LARGE = Scale(1024, (1, 2, 4, 8), 3, 10, 14, "vit_base_random")
SMALL = Scale(64, (1, 2), 1, 2, 3, "a tiny ViT")
TINY = {"function": "tmbench.sources.zoo:plain_vit", "parameters": {"patch": 8, "width": 32, "depth": 12, "heads": 2}}


@dataclass(frozen=True)
class Row:
    """A detector of the table; ``layers`` is a backend of a recipe, or torchvision's own detector as a whole."""

    name: str
    attention: str
    layers: str
    recipe: DetectionRecipe

    @property
    def is_vit(self):
        """Whether the recipe says what it is made of."""
        return self.layers != "own"


def source_at(scale):
    """The source: ViT-B, or a tiny one."""
    if scale.is_tiny:
        content = {"architecture": TINY, "input": {"size": scale.size}, "weights": {"kind": "random"}}
        return Source.model_validate(content)
    return Source.model_validate(describe_options("source", [scale.source], OptionFolders())[scale.source])


def rows(scale):
    """What is trained: the recipes of the studies of 2021 and 2022, the batch size apart."""
    names = ("mask_rcnn_vit_25_epochs", "mask_rcnn_vitdet", "full")
    found = describe_options("recipe", [f"detection/{name}" for name in names], OptionFolders())
    study, vitdet, small = (found[f"detection/{name}"] for name in names)

    def recipe(content, blocks, window, recompute, layers="torchvision"):
        vit = content["vit"] | {"global_blocks": blocks, "window": window}
        content = content | {"vit": vit, "recompute": recompute, "backend": layers, "batch_size": 1, "accumulate": 1}
        if scale.is_tiny:
            pyramid = content["pyramid"] | {"channels": small["pyramid"]["channels"]}
            content |= {"heads": small["heads"], "pyramid": pyramid, "image_size": scale.size}
        return DetectionRecipe.model_validate(content)

    for attention, blocks, window in (("windows", 0, scale.window), ("hybrid", 4, scale.window), ("global", 0, 0)):
        for again in (False, True):
            yield Row("2021", attention, "torchvision", recipe(study, blocks, window, again))
    for layers in ("torchvision", "detectron2"):
        if layers == "torchvision" or find_spec(layers):
            for again in (False, True):
                yield Row(f"ViTDet, {layers}", "hybrid", layers, recipe(vitdet, 4, scale.window, again, layers))
    yield Row("torchvision's own, ResNet-50", "", "own", recipe(study, 4, scale.window, False))


def model_of(row, source, scale):
    """The detector of ``row``, where it is trained."""
    if row.is_vit:
        return backend(row.recipe)(source, None, row.recipe, CLASSES, SEEDS)
    sizes = {"min_size": scale.size, "max_size": scale.size}
    return maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES + 1, **sizes).to(PLACE)


def some_boxes(size, stream):
    """(OBJECTS, 4) boxes of an image, a tenth to a half of it high and wide."""
    extent = size * (0.1 + 0.4 * torch.rand(OBJECTS, 2, generator=stream))
    corner = torch.rand(OBJECTS, 2, generator=stream) * (size - extent)
    return torch.cat([corner, corner + extent], dim=1)


def some_batch(count, size):
    """Images and what they show, already where they are trained on."""
    stream, batch = torch.Generator().manual_seed(0), []
    for _ in range(count):
        boxes = some_boxes(size, stream)
        masks = torch.zeros(OBJECTS, size, size, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
            mask[top:bottom, left:right] = 1
        labels = torch.randint(1, CLASSES + 1, (OBJECTS,), generator=stream)
        shown = {"boxes": boxes, "labels": labels, "masks": masks}
        image = torch.rand(3, size, size, generator=stream)
        batch.append((image.to(PLACE), {name: value.to(PLACE) for name, value in shown.items()}))
    return batch


def seconds(work):
    """Of ``work``: of the wall on a GPU, which is waited for; of the processor without one."""
    clock = time.perf_counter if GPU else time.process_time
    if GPU:
        torch.cuda.synchronize()
    start = clock()
    work()
    if GPU:
        torch.cuda.synchronize()
    return clock() - start


def stepped(row, model, scale, count):
    """Seconds of a training step on ``count`` images, and its peak in GB; None without a GPU."""
    recipe = row.recipe.model_copy(update={"batch_size": count})
    training, batch = Training(model, recipe, RATE, SEEDS, count), some_batch(count, scale.size)
    for i in range(scale.warm_up):
        training.step(batch, i, 1.0)
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    steps = range(scale.warm_up, scale.warm_up + scale.steps)
    took = statistics.median(seconds(lambda i=i: training.step(batch, i, 1.0)) for i in steps)
    return took, torch.cuda.max_memory_allocated() / GB if GPU else None


def expected(row, source, count):
    """GB that the project says beforehand; None for what is no ViT."""
    if not row.is_vit:
        return None
    # detectron2 writes attention out; so does torch on a CPU where something is added to the logits.
    fused = row.layers == "torchvision" and (GPU or row.recipe.vit.relative_position == "none")
    vit = replace(transformer_of(source), fused=fused)
    return estimate(row.recipe.model_copy(update={"batch_size": count}), vit, CLASSES).total


def cells(row, count, told, result):
    """A line of the table; ``result`` is a sentence where there are no numbers."""
    again = "yes" if row.recipe.recompute else "no"
    told_cell = f"{told:.2f}" if told else ""
    line = [row.name, row.attention, again if row.is_vit else "", str(count)]
    if isinstance(result, str):
        return [*line, result, "", told_cell, ""]
    took, peak = result
    speed = f"{count / took:.2f}" if GPU else f"{took:.2f}"
    return [*line, speed, f"{peak:.2f}" if peak else "", told_cell, f"{peak / told:.2f}" if peak and told else ""]


def attempt(work):
    """What ``work`` gives, or a sentence about its failure: the rest of the table is worth having."""
    try:
        return work()
    except Exception as error:
        kind, text = classify(error), f"{type(error).__name__}: {error}".splitlines()[0]
    # Only now does nothing hold on to the tensors of the failed step.
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()
    return "out of memory" if kind == "out_of_memory" else f"{kind}: {text[:80]}"


def training_table(scale, source):
    """Lines of the table of training steps; each is shown when it is there."""
    found = [["Mask R-CNN", "attention", "recompute", "batch"]]
    found[0] += ["images/s" if GPU else "CPU s a step", "peak GB", "estimate GB", "peak / estimate"]
    for row in rows(scale):
        model = attempt(lambda row=row: model_of(row, source, scale))
        for count in scale.batches:
            failed = isinstance(model, str)
            result = model if failed else attempt(lambda m=model, r=row, n=count: stepped(r, m, scale, n))
            found.append(cells(row, count, expected(row, source, count), result))
            print("  ".join(filter(None, found[-1])), flush=True)
        del model
        gc.collect()
    return found


def pass_table(scale, source):
    """Lines of the table of passes: the bare network, and reading ten blocks globally, then locally too."""
    count, stream = max(1, min(IMAGES, PIXELS // scale.size**2)), torch.Generator().manual_seed(0)
    network = build(source)
    inputs = torch.rand(count, 3, scale.size, scale.size, generator=stream).to(PLACE)
    boxes = [some_boxes(scale.size, stream).to(PLACE) for _ in range(count)]

    def bare():
        with torch.inference_mode():
            return network.forward_head(network.forward_features(inputs), pre_logits=True).cpu()

    def once(places):
        if not places:
            return seconds(bare)
        with Reader(network, places) as reader:  # as a pass does, which enters it once
            return seconds(lambda: [value.cpu() for value in reader.read(inputs, boxes).values()])

    local = tuple(LOCAL + layer for layer in LAYERS)
    variants = {"bare": (), "global": LAYERS, "global + local": LAYERS + local}
    took = {name: [] for name in variants}
    for _ in range(scale.warm_up + 2 * scale.steps):  # in turns, so that a busy moment is nobody's alone
        for name, places in variants.items():
            took[name].append(once(places))
    found = [[f"pass, {count} images", "ms an image", "over the bare one"]]
    middles = {name: statistics.median(each[scale.warm_up :]) for name, each in took.items()}
    base = middles["bare"]
    for name, middle in middles.items():
        found.append([name, f"{1e3 * middle / count:.2f}", f"{100 * (middle / base - 1):+.1f} %"])
    return found


def markdown(lines):
    """A table of Markdown whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines = [lines[0], ["-" * width for width in widths], *lines[1:]]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def circumstances(scale):
    """When, on what, of which versions."""
    used = []
    for package in ("torch", "torchvision", "timm", "detectron2"):
        try:
            used.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            used.append(f"no {package}")
    where = f"{platform.processor() or platform.machine()}, one thread: no GPU, only a trial run"
    if GPU:
        facts = torch.cuda.get_device_properties(PLACE)
        where = f"{facts.name} ({facts.total_memory / GB:.0f} GB), CUDA {torch.version.cuda}"
    size = f"{scale.source}, {scale.size} px, bfloat16, {OBJECTS} objects an image, {CLASSES} classes"
    return f"{date.today()}; {where}; Python {platform.python_version()}, {', '.join(used)}.\n{size}."


def main():
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for detection.md; without a GPU it is detection_cpu.md")
    parser.add_argument("--batches", type=int, nargs="+", help="images a step")
    options = parser.parse_args()
    scale = LARGE if GPU else SMALL
    scale = replace(scale, batches=tuple(options.batches)) if options.batches else scale
    if not GPU:
        torch.set_num_threads(1)
        print("No GPU: the same at a small size, in CPU seconds, which say nothing of a GPU.\n")
    source = source_at(scale)
    training, passes = training_table(scale, source), pass_table(scale, source)
    parts = ["# Detection: training steps and passes", circumstances(scale), markdown(training), markdown(passes), NOTE]
    page = "\n\n".join(parts)
    print(f"\n{page}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / ("detection.md" if GPU else "detection_cpu.md")).write_text(page + "\n")


if __name__ == "__main__":
    main()
