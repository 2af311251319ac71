"""Fine-tuning on the grid: what is simulated is what is packed, and it can be cut off anywhere."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from dead_parts import DeadParts, require_dead
from every_operator import every_operator
from onnx import numpy_helper
from small_graphs import model_of, noise_frame, recipe_for

from edge_seg.preprocess import InputSpec
from edge_seg.quantize import Recipe, float_graph, quantize_graph
from edge_seg.quantize.learn.curve import Check, best
from edge_seg.quantize.learn.fine_tune import Learnt, fine_tune
from edge_seg.quantize.learn.grids import Grids, Range, SignWeight, Weight
from edge_seg.quantize.learn.lesson import (
    Lesson,
    Settings,
    divergence,
    held_out,
    labelled_loss,
    rate,
    resume,
    save,
)
from edge_seg.quantize.learn.program import Program, batch
from edge_seg.quantize.recipe import Weights
from edge_seg.quantize.sensitivity import simulate, sqnr_db

SPEC = InputSpec(16, 24)
FRAMES = [noise_frame(16, 24, seed) for seed in range(8)]
SHORT = Settings(steps=8, rate=0.01, check_every=4)


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    return float_graph(model_of(every_operator(), SPEC))


GRIDS = {
    "per-channel": Weights(),
    "per-tensor": Weights(per_channel=False),
    "four-bits": Weights(bits=4),
    "three-bits": Weights(bits=3),
    "one-bit": Weights(bits=1),
}


@pytest.fixture(scope="module", params=GRIDS.values(), ids=GRIDS)
def recipe(request: pytest.FixtureRequest, graph: onnx.ModelProto) -> Recipe:
    return recipe_for(graph, FRAMES, weights=request.param)


def test_the_start_is_the_quantized_graph(graph: onnx.ModelProto, recipe: Recipe) -> None:
    quantized = quantize_graph(graph, recipe)
    grids = Grids(graph, quantized, recipe)
    assert len(grids.weights) == len(recipe.layers)
    constants = {t.name: numpy_helper.to_array(t) for t in quantized.graph.initializer}
    steps = 1 if recipe.weights.bits == 7 else 63 // recipe.weights.last_step
    for weight in grids.weights:
        whole = weight.constants()[f"{weight.name}_quantized"].detach().numpy()
        assert np.array_equal(steps * whole, constants[f"{weight.name}_quantized"])
    program, frames = Program(quantized), batch(FRAMES)
    with torch.inference_mode():
        assert sqnr_db(program(frames).numpy(), program(frames, grids()).numpy()) > 40


def test_what_was_learnt_gives_the_graph_that_was_simulated(
    graph: onnx.ModelProto, recipe: Recipe
) -> None:
    quantized = quantize_graph(graph, recipe)
    grids = Grids(graph, quantized, recipe)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parts, size in ((grids.weights, 16.0), (grids.biases, 8.0), (grids.ranges, 0.1)):
            for part in parts:  # type: ignore[attr-defined]
                part.delta.copy_(size * torch.randn(part.delta.shape, generator=generator))
        simulated = Program(quantized)(batch(FRAMES), grids()).numpy()
    learnt, ranges = grids.learnt(graph)
    decided = msgspec.structs.replace(recipe, ranges={**recipe.ranges, **ranges})
    packed = simulate(quantize_graph(learnt, decided), FRAMES)
    assert sqnr_db(packed, simulated) > 35
    assert sqnr_db(packed, simulate(quantized, FRAMES)) < 25  # the deltas do something
    assert np.mean(packed.argmax(1) == simulated.argmax(1)) > 0.99


def test_a_weight_learns_in_steps_of_its_grid() -> None:
    """Channels of largest magnitude 63 and 0.63 have steps of 1 and 0.01."""
    start = torch.tensor([[63.0, 3.0], [0.63, 0.03]])
    weight = Weight("w", start, axis=0)
    with torch.no_grad():
        weight.delta[:, 1] = 2.0
    constants = weight.constants()
    torch.testing.assert_close(weight.value(), torch.tensor([[63.0, 5.0], [0.63, 0.05]]))
    torch.testing.assert_close(constants["w_quantized"], torch.tensor([[63.0, 5.0], [63.0, 5.0]]))
    torch.testing.assert_close(constants["w_scale"], torch.tensor([1.0, 0.01]))


@pytest.mark.parametrize("kind", [Weight, SignWeight])
def test_a_channel_of_zeros_stays_zero_whatever_its_delta(kind: type[Weight]) -> None:
    """Of one bit too, where zero has a sign."""
    weight = kind("w", torch.tensor([[0.0, 0.0], [1.0, -1.0]]), axis=0, last_step=1)
    with torch.no_grad():
        weight.delta[0] = 5.0
    constants = weight.constants()
    assert constants["w_quantized"].tolist() == [[0.0, 0.0], [1.0, -1.0]]
    assert constants["w_scale"].tolist() == [1.0, 1.0]
    constants["w_quantized"].sum().backward()
    assert weight.delta.grad is not None and weight.delta.grad[0].tolist() == [0.0, 0.0]


def test_four_bits_and_one_learn_on_their_own_grid() -> None:
    """Seven steps of the largest; a sign of the mean magnitude, which moves with the weights."""
    four = Weight("w", torch.tensor([[7.0, 3.4, -1.6]]), axis=0, last_step=7)
    assert four.constants()["w_quantized"].tolist() == [[7.0, 3.0, -2.0]]
    one = SignWeight("w", torch.tensor([[3.0, -1.0, 2.0]]), axis=0, last_step=1)
    assert one.constants()["w_quantized"].tolist() == [[1.0, -1.0, 1.0]]
    assert one.constants()["w_scale"].tolist() == [2.0]
    with torch.no_grad():
        one.delta[0, 1] = 1.0  # a step of 2 makes -1 a +1; the mean magnitude stays 2
    assert one.constants()["w_quantized"].tolist() == [[1.0, 1.0, 1.0]]
    one.constants()["w_quantized"].sum().backward()
    assert one.delta.grad is not None and torch.all(one.delta.grad == 1)


def test_a_range_learns_as_a_part_of_itself() -> None:
    """(-1, 126.5) in 255 steps of 0.5; e times the width is e times the step."""
    range = Range("x", 0.5, torch.tensor(2, dtype=torch.uint8))
    assert range.value().tolist() == [-1.0, 126.5]
    assert float(range.constants()["x_scale"].detach()) == pytest.approx(0.5)
    with torch.no_grad():
        range.delta.fill_(1.0)
    assert float(range.constants()["x_scale"]) == pytest.approx(0.5 * math.e)
    assert int(range.constants()["x_zero_point"]) == 2


def test_the_divergence_by_hand() -> None:
    """Halves against three quarters and one quarter."""
    teacher = torch.zeros(1, 2, 1, 1)
    student = torch.tensor([math.log(3.0), 0.0]).reshape(1, 2, 1, 1)
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert float(divergence(teacher, student)) == pytest.approx(expected, rel=1e-5)
    assert float(divergence(teacher, teacher + 3.0)) == pytest.approx(0.0, abs=1e-6)


def test_the_rate_rises_and_falls() -> None:
    settings = Settings(steps=90, delay=10, rate=1.0)
    rates = [rate(settings, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[55] == pytest.approx(0.5)
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert rates[-1] < 0.001


def test_it_learns_on_the_held_out_frames(graph: onnx.ModelProto, recipe: Recipe) -> None:
    quarter = 20 if recipe.weights.bits == 3 else 10  # its steps are wide, and few are taken
    settings = Settings(steps=4 * quarter, rate=0.05, check_every=quarter)
    learnt = fine_tune(graph, recipe, FRAMES, graph, settings)
    assert [check.step for check in learnt.curve] == [quarter * n for n in range(5)]
    assert best(learnt.curve).held_out < 0.8 * learnt.curve[0].held_out
    assert not learnt.stopped
    wanted = torch.from_numpy(simulate(graph, FRAMES))
    before = torch.from_numpy(simulate(quantize_graph(graph, recipe), FRAMES))
    after = torch.from_numpy(simulate(quantize_graph(learnt.graph, learnt.recipe), FRAMES))
    assert float(divergence(wanted, after)) < float(divergence(wanted, before))


def test_the_summary_has_significant_digits(graph: onnx.ModelProto, recipe: Recipe) -> None:
    curve = [Check(0, 1.0, 1.2345e-5), Check(20, 1.0, 6.789e-7), Check(40, 1.0, 0.5)]
    said = Learnt(graph, recipe, curve).summary
    assert "went from 1.23e-05 to 6.79e-07, best at step 20 of 40" in said


def test_nothing_better_is_the_start(graph: onnx.ModelProto, recipe: Recipe) -> None:
    """With steps that throw the weights about, what is kept is what was before."""
    learnt = fine_tune(graph, recipe, FRAMES, graph, Settings(steps=4, rate=500.0, check_every=2))
    assert learnt.curve[0].held_out == min(check.held_out for check in learnt.curve)
    for tensor in graph.graph.initializer:
        (same,) = [t for t in learnt.graph.graph.initializer if t.name == tensor.name]
        assert np.array_equal(numpy_helper.to_array(same), numpy_helper.to_array(tensor))


def test_a_loss_that_is_not_finite_stops_it_with_the_best_so_far(
    graph: onnx.ModelProto, recipe: Recipe
) -> None:
    learnt = fine_tune(graph, recipe, FRAMES, graph, msgspec.structs.replace(SHORT, rate=math.inf))
    assert "not finite at step" in learnt.stopped
    assert np.isfinite(simulate(learnt.graph, FRAMES[:1])).all()
    assert all(math.isfinite(end) for pair in learnt.recipe.ranges.values() for end in pair)


def test_cut_off_and_gone_on_with_it_learns_the_same(
    graph: onnx.ModelProto, recipe: Recipe, tmp_path: Path
) -> None:
    whole = fine_tune(graph, recipe, FRAMES, graph, SHORT)
    cut = Lesson(graph, recipe, FRAMES, graph, SHORT)
    for step in range(4):
        assert cut.learn(step)
    cut.check(4)
    save(path := tmp_path / "cut.safetensors", cut)
    again = fine_tune(graph, recipe, FRAMES, graph, SHORT, checkpoint=path)
    assert again.curve == whole.curve
    assert again.graph.SerializeToString(deterministic=True) == whole.graph.SerializeToString(
        deterministic=True
    )
    assert again.recipe == whole.recipe


def test_a_checkpoint_of_another_lesson_or_a_torn_one_is_passed_over(
    graph: onnx.ModelProto, recipe: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    other = Lesson(graph, recipe, FRAMES[:4], graph, SHORT)
    other.step = 6
    save(path, other)
    whole = path.read_bytes()
    for payload in (whole, whole[: len(whole) // 2], b"", b"\xff" * 64):
        path.write_bytes(payload)
        lesson = Lesson(graph, recipe, FRAMES, graph, SHORT)
        resume(path, lesson)
        assert lesson.step == 0


def test_steps_in_float_leave_the_ranges(graph: onnx.ModelProto, recipe: Recipe) -> None:
    labels = [np.full((16, 24), index % 3, np.uint8) for index in range(len(FRAMES))]
    settings = Settings(steps=0, delay=4, rate=0.1)
    lesson = Lesson(graph, recipe, FRAMES, graph, settings, labels)
    for step in range(4):
        assert lesson.learn(step)
    assert all(not part.delta.any() for part in lesson.grids.ranges)
    assert all(part.delta.any() for part in lesson.grids.weights)


@pytest.mark.parametrize("grid", [Weights(bits=4), Weights(bits=1)], ids=["four", "one"])
def test_until_the_delay_is_over_it_learns_in_float(graph: onnx.ModelProto, grid: Weights) -> None:
    """No range moves and the loss is the float network's; at the step after it both change.

    One frame that its mirror image equals, so that a step's batch is known.
    """
    left = FRAMES[0][:, :12]
    frame = np.concatenate([left, left[:, ::-1]], axis=1)
    label = np.full((16, 24), 1, np.uint8)
    label[:4] = 255
    recipe = recipe_for(graph, FRAMES, weights=grid)
    settings = Settings(steps=2, delay=3, rate=0.1)
    lesson = Lesson(graph, recipe, [frame], graph, settings, [label])
    floats, whole = Program(graph), Program(quantize_graph(graph, recipe))
    given, masks = batch([frame]), torch.from_numpy(label[None]).long()
    wanted = torch.from_numpy(simulate(graph, [frame]))
    for step in range(5):
        with torch.no_grad():
            in_float = floats(given, lesson.grids.in_float())
            on_grid = whole(given, lesson.grids())
        losses = [
            float(divergence(wanted, logits) + labelled_loss(logits, masks))
            for logits in (in_float, on_grid)
        ]
        assert abs(losses[0] - losses[1]) > 1e-3  # they can be told apart
        assert lesson.learn(step)
        lesson.check(step + 1)
        assert lesson.curve[-1].loss == pytest.approx(losses[step >= 3], abs=1e-5)
        assert any(bool(part.delta.any()) for part in lesson.grids.ranges) == (step >= 3)
    first = float(labelled_loss(wanted, masks))  # as the teacher is the float network itself
    assert lesson.curve[1].loss == pytest.approx(first, abs=1e-5)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("count", [1, len(FRAMES)])
def test_what_is_dead_stays_dead(grid: Weights, count: int) -> None:
    """A channel and a layer without weights, on one frame and on several."""
    graph = float_graph(model_of(DeadParts(), SPEC))
    frames = FRAMES[:count]
    recipe = recipe_for(graph, frames, weights=grid)
    learnt = fine_tune(graph, recipe, frames, graph, msgspec.structs.replace(SHORT, rate=0.05))
    require_dead(learnt.graph)
    assert all(math.isfinite(c.loss) and math.isfinite(c.held_out) for c in learnt.curve)
    assert {name for name, (low, high) in recipe.ranges.items() if low == high} == {
        name for name, (low, high) in learnt.recipe.ranges.items() if low == high
    }
    # What was simulated is what is packed: neither came to life on the grid.
    judges = [frames[index] for index in held_out(count)]
    wanted, packed = (
        torch.from_numpy(simulate(each, judges))
        for each in (graph, quantize_graph(learnt.graph, learnt.recipe))
    )
    kept = best(learnt.curve).held_out
    assert float(divergence(wanted, packed)) == pytest.approx(kept, rel=0.02, abs=1e-6)


def test_labels_judge_what_is_best_too(graph: onnx.ModelProto, recipe: Recipe) -> None:
    """Labels of one rare class everywhere pull away from the teacher, and that is kept."""
    before = simulate(quantize_graph(graph, recipe), FRAMES).argmax(1)
    rare = int(np.bincount(before.ravel(), minlength=3).argmin())
    labels = [np.full((16, 24), rare, np.uint8)] * len(FRAMES)
    settings = Settings(steps=60, rate=1.0, check_every=20)
    learnt = fine_tune(graph, recipe, FRAMES, graph, settings, labels)
    assert learnt.curve[-1].held_out < 0.8 * learnt.curve[0].held_out
    assert "best at step" in learnt.summary and "best at step 0" not in learnt.summary
    after = simulate(quantize_graph(learnt.graph, learnt.recipe), FRAMES).argmax(1)
    assert np.mean(after == rare) > np.mean(before == rare) + 0.5


def test_labels_of_nothing_add_nothing() -> None:
    logits = torch.tensor([[0.0], [math.log(3.0)]]).reshape(1, 2, 1, 1).expand(1, 2, 1, 2)
    nowhere = torch.full((1, 1, 2), 255)
    assert float(labelled_loss(logits, nowhere)) == 0.0
    half = torch.tensor([[[1, 255]]])
    assert float(labelled_loss(logits, half)) == pytest.approx(math.log(4 / 3))
