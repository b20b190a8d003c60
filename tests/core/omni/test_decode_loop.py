# SPDX-License-Identifier: GPL-3.0-or-later
"""The decode loop over tiny models: batches, limits, seeds, growth, and no host in a step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch._subclasses import FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from exomni_core.omni.decoding.decode_loop import Decoded, DecodeLoop, Request  # noqa: E402
from exomni_core.omni.nets.backbone import Backbone  # noqa: E402
from exomni_core.omni.nets.language_model import LanguageModel, TextRule  # noqa: E402
from exomni_core.omni.nets.packing import pack  # noqa: E402
from exomni_core.omni.nets.sampling import TextSampling  # noqa: E402
from exomni_core.omni.nets.speech_generator import UnitRule  # noqa: E402

WIDTH, VOCAB, UNITS = 32, 60, 40
SIZES = {
    "hidden_size": WIDTH, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64, "vocab_size": VOCAB,
    "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}  # fmt: skip


def randomised(module: nn.Module, std: float = 0.3) -> Any:
    generator = torch.Generator().manual_seed(3)
    for name, parameter in module.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        parameter.data = values * std if parameter.dim() > 1 else 1 + 0.1 * values
        if "bias" in name:
            parameter.data = values * 0.1
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def llm() -> LanguageModel:
    return randomised(LanguageModel(SIZES))


@pytest.fixture
def text_rule(llm: LanguageModel) -> TextRule:
    return TextRule(llm, TextSampling(temperature=1.0, top_k=0), end_ids=(1, 2))


def make_generator(end_bias: float = 0.0, spare_bias: float = 0.0) -> Any:
    """What UnitRule needs of a speech generator, narrower than the format allows."""
    parts = randomised(generator_parts())
    parts["head"].bias[UNITS] += end_bias
    parts["head"].bias[UNITS + 1 :] += spare_bias
    return as_generator(parts)


def generator_parts() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "backbone": Backbone(SIZES),
            "head": nn.Linear(WIDTH, UNITS + 3),
            "embedding": nn.Embedding(UNITS + 3, WIDTH),
        }
    )


def as_generator(parts: Any) -> Any:
    return SimpleNamespace(
        units=UNITS,
        backbone=parts["backbone"],
        logits=parts["head"],
        speech_embedding=parts["embedding"],
    )


def prompts(lengths: list[int]) -> list[Any]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(1, n, WIDTH, generator=generator) for n in lengths]


def requests(lengths: list[int], least: int = 3, most: int = 20) -> list[Request]:
    return [Request(p, least, most, seed) for seed, p in enumerate(prompts(lengths))]


def alone(backbone: Backbone, rule: Any, request: Request) -> Decoded:
    loop = DecodeLoop(backbone, rule, rows=1, room=request.most, positions=request.prompt.shape[1])
    loop.admit([request])
    loop.run(lambda: None)
    return loop.result(0)


def assert_same(ours: Decoded, other: Decoded) -> None:
    assert ours.ids.tolist() == other.ids.tolist()
    assert ours.ended == other.ended
    assert ours.hidden.shape == other.hidden.shape
    torch.testing.assert_close(ours.hidden, other.hidden, atol=2e-5, rtol=1e-4)


def test_rows_of_a_batch_are_what_they_are_alone(llm, text_rule):
    asked = requests([5, 11, 1, 8])
    loop = DecodeLoop(llm.backbone, text_rule, rows=4, room=20, positions=11)
    loop.admit(asked)
    loop.run(lambda: None)
    for row, request in enumerate(asked):
        assert_same(loop.result(row), alone(llm.backbone, text_rule, request))
    assert len({tuple(loop.result(row).ids.tolist()) for row in range(4)}) == 4


def test_units_of_a_batch_are_what_they_are_alone():
    generator = make_generator()
    rule = UnitRule(generator)
    asked = requests([4, 9, 6])
    loop = DecodeLoop(generator.backbone, rule, rows=3, room=20, positions=9)
    loop.admit(asked)
    loop.run(lambda: None)
    for row, request in enumerate(asked):
        assert_same(loop.result(row), alone(generator.backbone, rule, request))


def test_rows_admitted_later_disturb_nobody(llm, text_rule):
    asked = requests([7, 3, 12, 5])
    loop = DecodeLoop(llm.backbone, text_rule, rows=4, room=20, positions=12)
    loop.admit(asked[:2], [2, 0])
    for _ in range(4):
        loop.step()
    loop.admit([asked[2]], [1])
    loop.step()
    loop.admit([asked[3]], [3])
    loop.run(lambda: None)
    for row, request in zip((2, 0, 1, 3), asked, strict=True):
        assert_same(loop.result(row), alone(llm.backbone, text_rule, request))


def test_all_rows_in_another_order(llm, text_rule):
    asked = requests([7, 3])
    loop = DecodeLoop(llm.backbone, text_rule, rows=2, room=20, positions=12)
    loop.admit(asked, [1, 0])
    loop.run(lambda: None)
    assert_same(loop.result(1), alone(llm.backbone, text_rule, asked[0]))
    assert_same(loop.result(0), alone(llm.backbone, text_rule, asked[1]))


def test_serving_more_than_there_are_rows(llm, text_rule):
    asked = requests([7, 3, 12, 5, 9, 2, 6], most=12)
    loop = DecodeLoop(llm.backbone, text_rule, rows=3, room=1, positions=1)
    served = loop.serve(asked, lambda: None)
    for result, request in zip(served, asked, strict=True):
        assert_same(result, alone(llm.backbone, text_rule, request))


def test_the_end_comes_neither_too_early_nor_as_an_id():
    generator = make_generator(end_bias=8.0)  # the end is by far the likeliest
    result = alone(generator.backbone, UnitRule(generator), requests([5], least=6)[0])
    assert result.ended
    assert len(result.ids) == 6
    assert result.hidden.shape == (1, 7, WIDTH)  # the end's own row is the last
    assert UNITS not in result.ids.tolist()


def test_cut_by_length():
    generator = make_generator(end_bias=-50.0)
    result = alone(generator.backbone, UnitRule(generator), requests([5], most=9)[0])
    assert not result.ended
    assert len(result.ids) == 9
    assert result.hidden.shape == (1, 9, WIDTH)


def test_an_end_at_the_last_moment_is_an_end():
    generator = make_generator(end_bias=8.0)
    result = alone(generator.backbone, UnitRule(generator), requests([5], least=8, most=9)[0])
    assert (result.ended, len(result.ids), result.hidden.shape[1]) == (True, 8, 9)


def test_nothing_wanted_gives_nothing():
    generator = make_generator()
    result = alone(generator.backbone, UnitRule(generator), requests([5], least=0, most=0)[0])
    assert (result.ended, len(result.ids), result.hidden.shape[1]) == (False, 0, 0)


def test_spare_ids_never_come():
    generator = make_generator(spare_bias=30.0)
    for request in requests([5, 6, 7], most=20):
        result = alone(generator.backbone, UnitRule(generator), request)
        assert int(result.ids.max()) < UNITS


def test_the_seed_decides_whatever_the_room(llm, text_rule):
    prompt = prompts([6])[0]
    first = alone(llm.backbone, text_rule, Request(prompt, 3, 20, seed=7))
    roomy = DecodeLoop(llm.backbone, text_rule, rows=2, room=90, positions=40)
    roomy.admit([Request(prompt, 3, 20, seed=7), Request(prompt, 3, 20, seed=8)])
    roomy.run(lambda: None)
    assert_same(roomy.result(0), first)
    assert roomy.result(1).ids.tolist() != first.ids.tolist()


def test_a_loop_grows_between_prompts_only(llm, text_rule):
    loop = DecodeLoop(llm.backbone, text_rule, rows=2, room=4, positions=4)
    small, large = Request(prompts([3])[0], 4, 4, 0), Request(prompts([150])[0], 60, 90, 1)
    loop.admit([small])
    with pytest.raises(ValueError, match="can't grow"):
        loop.admit([large], [1])
    loop.run(lambda: None)
    loop.admit([large])
    loop.run(lambda: None)
    assert_same(loop.result(0), alone(llm.backbone, text_rule, large))


def test_results_can_be_read_in_pieces_while_it_runs(llm, text_rule):
    request = requests([6], least=10)[0]
    whole = alone(llm.backbone, text_rule, request)
    loop = DecodeLoop(llm.backbone, text_rule, rows=1, room=20, positions=6)
    loop.admit([request])
    ids, rows = [], []
    while not loop.ended()[0]:
        loop.step()
        if loop.made(0) - len(ids) >= 3 or loop.ended()[0]:
            piece = loop.result(0, len(ids))
            ids += piece.ids.tolist()
            rows.append(piece.hidden)
    assert ids == whole.ids.tolist()
    torch.testing.assert_close(torch.cat(rows, dim=1), whole.hidden)


def test_a_loop_made_in_inference_mode_goes_on_outside(llm, text_rule):
    with torch.inference_mode():
        loop = DecodeLoop(llm.backbone, text_rule, rows=1, room=20, positions=6)
    loop.stop()
    loop.admit(requests([6]))
    loop.step()
    assert loop.made(0) == 2


def test_another_rule_takes_over(llm, text_rule):
    greedy = TextRule(llm, TextSampling(temperature=0.0))
    request = requests([6])[0]
    loop = DecodeLoop(llm.backbone, text_rule, rows=1, room=20, positions=6)
    for rule in (greedy, text_rule, greedy):
        loop.use(rule)
        loop.admit([request])
        loop.run(lambda: None)
        assert_same(loop.result(0), alone(llm.backbone, rule, request))


def test_the_same_rule_made_anew_keeps_the_graphs(llm, text_rule, monkeypatch):
    loop = DecodeLoop(llm.backbone, text_rule, rows=1, room=20, positions=6)
    loop.admit(requests([6]))  # the rule now keeps something for itself
    cleared = []
    monkeypatch.setattr(loop._step, "clear", lambda: cleared.append(1))
    loop.use(TextRule(llm, TextSampling(temperature=1.0, top_k=0), end_ids=(1, 2)))
    assert not cleared
    loop.use(TextRule(llm, TextSampling(temperature=1.0, top_k=0), end_ids=(1,)))
    assert cleared


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("bfloat16", 0.15)])
def test_packed_layers_say_the_same(dtype, tolerance):
    plain, packed = randomised(LanguageModel(SIZES)), randomised(LanguageModel(SIZES))
    for model in (plain, packed):
        model.to(getattr(torch, dtype))
    pack(packed)
    assert not any("layers" in name for name, _ in packed.named_parameters())  # freed
    ids = torch.arange(20)[None] % VOCAB
    with torch.inference_mode():
        ours, theirs = (m.backbone.prefill(m.backbone.embed(ids)) for m in (packed, plain))
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0.02)
        scores = [m.logits(theirs).float() for m in (packed, plain)]
        torch.testing.assert_close(*scores, atol=5 * tolerance, rtol=0.02)


def test_layers_that_cant_be_joined_stay_as_they_are():
    class Coarse(nn.Linear):
        """Stands for a quantizer's layer."""

    plain, mixed = randomised(Backbone(SIZES)), randomised(Backbone(SIZES))
    for name, linear in list(mixed.body.layers[1].mlp.named_children()):
        if isinstance(linear, nn.Linear):
            linear.__class__ = Coarse
            assert name.endswith("_proj")
    mixed.fuse()
    assert any("layers.1.mlp" in name for name, _ in mixed.named_parameters())
    assert not any("layers.0" in name for name, _ in mixed.named_parameters())
    vectors = prompts([12])[0]
    with torch.inference_mode():
        ours, theirs = mixed.prefill(vectors), plain.prefill(vectors)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("packed", [False, True])
def test_piece_by_piece_is_all_at_once(packed):
    backbone = randomised(Backbone(SIZES))
    if packed:
        backbone.fuse()
    vectors = prompts([100])[0]
    with torch.inference_mode():
        whole = backbone.prefill(vectors)
        cache = backbone.new_cache(1, 3)
        parts = [backbone.prefill(vectors[:, :10], cache)]
        parts += [backbone.extend(vectors[:, 10:70], cache)]
        backbone.reserve(cache, 100)
        for place in range(70, 100):
            window = backbone.window(cache)
            parts.append(backbone.step(vectors[:, place : place + 1], cache, window))
            cache.lengths += 1
            cache.longest += 1
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=2e-5, rtol=1e-4)


class NoHost(TorchDispatchMode):
    """Fails on whatever makes a tensor of the host's numbers, or numbers of a tensor."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name()
        banned = ("lift_fresh", "local_scalar", "nonzero", "masked_select", "unique")
        assert not any(word in name for word in banned), f"{name} in a step"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", ["text", "text, penalised", "units"])
def test_a_step_never_asks_the_device(kind, fused, rows, monkeypatch):
    from exomni_core.omni.nets import backbone as backbones
    from exomni_core.omni.nets import sampling

    for module in (backbones, sampling):
        monkeypatch.setattr(module, "may_look", lambda tensor: False)  # as on a GPU
    # Tensors without contents: a question about their values raises.
    with FakeTensorMode(), torch.inference_mode():
        if kind == "units":
            generator = as_generator(generator_parts().requires_grad_(False))
            backbone, rule = generator.backbone, UnitRule(generator)
        else:
            model = LanguageModel(SIZES).requires_grad_(False)
            how = TextSampling(0.7, 0.9, 20, 1.1 if "penalised" in kind else 1.0)
            backbone, rule = model.backbone, TextRule(model, how, (1, 2))
        if fused:
            monkeypatch.setattr("exomni_core.omni.nets.dense.can_pack", lambda weight: False)
            backbone.fuse()
        loop = DecodeLoop(backbone, rule, rows=rows, room=20, positions=10)
        loop._one_step(torch.arange(32))  # what is copied once may be copied now
        with NoHost():
            loop._one_step(torch.arange(32))
            loop.step()


def test_a_question_to_the_device_would_be_noticed():
    with FakeTensorMode(), pytest.raises(Exception, match="_local_scalar_dense"):
        bool(torch.ones(3).any())
    with NoHost(), pytest.raises(AssertionError, match="lift_fresh"):
        torch.tensor([1, 2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("rows", [1, 3])
def test_graphs_choose_what_plain_steps_choose(rows):
    model = randomised(LanguageModel(SIZES)).to("cuda")
    model.backbone.renew_buffers()
    model.backbone.fuse()
    rule = TextRule(model, TextSampling(temperature=1.0, top_k=0), end_ids=(1, 2))
    asked = [
        Request(r.prompt.cuda(), r.least, r.most, r.seed)
        for r in requests([7, 3, 250, 5, 9], most=30)  # one grows into the next bucket
    ]
    found = []
    for graphs in (True, False):
        loop = DecodeLoop(model.backbone, rule, rows=rows, room=30, positions=250, graphs=graphs)
        found.append([d.ids.tolist() for d in loop.serve(asked, lambda: None)])
    assert found[0] == found[1]
