"""The estimate of memory against what torch keeps for the backward pass."""

import pytest
import torch
from detectors_work import built, recipe, vit

from tmbench.sources.detection.memory import Transformer, body_bytes, estimate, pyramid_bytes
from tmbench.sources.detection.recipe import DetectionRecipe

WIDTH, DEPTH, HEADS, PATCH = 32, 4, 2, 8

RECIPES = {
    "global": {"image_size": 96},
    "windows": {"image_size": 128, "vit": {"window": 5, "global_blocks": 1}, "pyramid": {"kind": "simple"}},
    "bias": {"image_size": 96, "vit": {"window": 5, "global_blocks": 2, "relative_position": "bias"}},
    "decomposed": {"image_size": 128, "vit": {"window": 6, "relative_position": "decomposed"}},
    "no norms": {"image_size": 96, "pyramid": {"norm": "none"}},
    "batch norms": {"image_size": 96, "pyramid": {"norm": "batch"}},
}


def kept(module, inputs, others):
    """Bytes that torch keeps of ``module`` applied to ``inputs``, weights and ``others`` apart; what it gives."""
    weights = {value.untyped_storage().data_ptr() for value in module.state_dict().values()}
    seen, alive = {}, []

    def note(tensor):
        storage = tensor.untyped_storage()
        alive.append(tensor)
        if storage.data_ptr() not in weights | others:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = module(inputs)
    return sum(seen.values()), set(seen), outputs


def numbers(options):
    # On a CPU torch has no fused attention that learns what is added to the logits.
    return Transformer(WIDTH, DEPTH, HEADS, PATCH, fused=options.vit.relative_position == "none")


@pytest.mark.parametrize("name", RECIPES)
def test_activations_are_what_torch_keeps(name):
    options = recipe(**RECIPES[name])
    model = built(vit(width=WIDTH, depth=DEPTH, heads=HEADS, patch=PATCH), options).train()
    inputs = torch.rand(1, 3, options.image_size, options.image_size)
    body, seen, maps = kept(model.backbone.body, inputs, set())
    pyramid, _, _ = kept(model.backbone.pyramid, maps, seen)
    assert body_bytes(options, numbers(options)) == pytest.approx(body, rel=0.25)
    assert pyramid_bytes(options, numbers(options)) == pytest.approx(pyramid, rel=0.25)


def test_recomputing_keeps_what_goes_into_the_blocks():
    options = recipe(image_size=96, recompute=True)
    model = built(vit(width=WIDTH, depth=DEPTH, heads=HEADS, patch=PATCH), options).train()
    body, _, _ = kept(model.backbone.body, torch.rand(1, 3, 96, 96), set())
    one = body_bytes(recipe(image_size=96), numbers(options)) / DEPTH
    # The block at hand is computed again when the backward pass comes to it.
    assert body_bytes(options, numbers(options)) == pytest.approx(body + one, rel=0.25)


@pytest.mark.parametrize("name", ["global", "bias", "decomposed"])
def test_weights_are_counted(name):
    options = recipe(**RECIPES[name])
    model = built(vit(width=WIDTH, depth=DEPTH, heads=HEADS, patch=PATCH), options)
    memory = estimate(options, numbers(options), classes=3)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert memory.weights == pytest.approx(4 * count / 2**30, rel=0.05)
    assert memory.gradients == pytest.approx(memory.weights)
    assert memory.moments == pytest.approx(2 * memory.weights)


def test_a_frozen_body_keeps_nothing():
    whole, head = (estimate(recipe(trainable=kind), numbers(recipe())) for kind in ("full", "head"))
    assert head.body == 0
    assert head.gradients < whole.gradients
    assert head.weights == whole.weights


def base(**changes):
    """ViT-B as the study of 2021 has it, one image of 1024 pixels."""
    content = {"task": "detection", "trainable": "full", "epochs": 1, "batch_size": 1, "learning_rates": [1e-4]}
    content |= {"image_size": 1024, "precision": "float16", "vit": {"window": 14, "global_blocks": 4}}
    return DetectionRecipe.model_validate(content | changes)


def test_order_of_the_study_of_2021():
    """Windows need least, global attention does not fit its GPUs of 32 GB unless it is recomputed (ViT-L, 2 images)."""
    large = Transformer(1024, 24, 16, fused=False)
    kinds = {
        "windows": {"vit": {"window": 14, "global_blocks": 0}},
        "hybrid": {},
        "global": {"vit": {"window": 0}},
        "recomputed": {"vit": {"window": 0}, "recompute": True},
    }
    total = {name: estimate(base(batch_size=2, **changes), large).total for name, changes in kinds.items()}
    assert total["recomputed"] < total["windows"] < total["hybrid"] < 32 < total["global"]


def test_memory_grows_with_what_it_should():
    base_vit = Transformer(768, 12, 12)
    one = estimate(base(), base_vit)
    assert 3 < one.total < 8
    two = estimate(base(batch_size=2), base_vit)
    assert two.body == pytest.approx(2 * one.body)
    assert two.weights == one.weights
    assert estimate(base(batch_size=2, accumulate=2), base_vit).total == pytest.approx(one.total)
    assert estimate(base(precision="float32"), base_vit).body > 1.5 * one.body
    assert estimate(base(average=0.999), base_vit).weights > one.weights
    assert estimate(base(optimizer="sgd"), base_vit).moments == pytest.approx(one.moments / 2)
