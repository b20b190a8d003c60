# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws: their frequencies, which ids can come at all, ties, and independence of the batch."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from exomni_core.omni.nets.sampling import (  # noqa: E402
    MOST_CANDIDATES,
    RECENT_UNITS,
    TextSampling,
    draw,
    is_repeated,
    mixed_seed,
    nucleus,
    sample_text,
    sample_unit,
    uniform_numbers,
)

MANY = 20_000
NOTHING_RECENT = torch.full((MANY, RECENT_UNITS), -1)


def uniforms(draws: int = 1) -> torch.Tensor:
    return torch.rand(MANY, draws, generator=torch.Generator().manual_seed(11))


def logits_of(probabilities: list[float]) -> torch.Tensor:
    return torch.tensor(probabilities).log().expand(MANY, -1)


def chi_square(ids: torch.Tensor, expected: list[float]) -> float:
    """Sum of (seen - expected)^2 / expected; fails if an id came that can't."""
    seen = torch.bincount(ids, minlength=len(expected)).double()
    wanted = torch.tensor(expected, dtype=torch.float64)
    wanted = wanted / wanted.sum() * len(ids)
    assert not seen[wanted == 0].any()
    there = wanted > 0
    return float(((seen - wanted)[there] ** 2 / wanted[there]).sum())


# Seeds are fixed, so this can't fail by chance. For 4 to 6 degrees of freedom 25 lies beyond
# the 99.9th percentile: a wrong distribution shows, a right one passes for nearly every seed.
BOUND = 25.0


def test_a_draw_follows_its_weights():
    weights = [0.5, 0.0, 3.0, 1.5, 0.0, 0.01, 2.0]
    ids = draw(torch.tensor(weights).expand(MANY, -1), uniforms()[:, 0])
    assert chi_square(ids, weights) < BOUND


def test_the_ends_of_the_unit_interval_draw_something_possible():
    weights = torch.tensor([[0.0, 0.3, 0.7, 0.0, 0.0]]).expand(2, -1)
    ends = torch.tensor([0.0, 1.0 - 2.0**-24])
    assert draw(weights, ends).tolist() == [1, 2]
    assert draw(weights, torch.tensor([0.0, 1.0])).tolist() == [1, 2]


def test_text_at_a_temperature():
    p = [0.5, 0.2, 0.15, 0.1, 0.05]
    ids = sample_text(logits_of(p), uniforms()[:, 0], TextSampling(temperature=0.5, top_k=0))
    assert chi_square(ids, [x**2 for x in p]) < BOUND


def test_temperature_zero_takes_the_likeliest():
    logits = torch.randn(50, 90, generator=torch.Generator().manual_seed(1))
    ids = sample_text(logits, torch.rand(50), TextSampling(temperature=0.0))
    assert torch.equal(ids, logits.argmax(dim=-1))


def test_top_k_leaves_the_k_likeliest():
    p = [0.1, 0.3, 0.05, 0.35, 0.2]
    ids = sample_text(logits_of(p), uniforms()[:, 0], TextSampling(temperature=1.0, top_k=3))
    assert chi_square(ids, [0, 0.3, 0, 0.35, 0.2]) < BOUND


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.34, [3]), (0.5, [3, 1]), (0.84, [3, 1, 4]), (0.86, [3, 1, 4, 0])]
)
def test_top_p_keeps_the_token_that_crosses_it(top_p, kept):
    p = [0.1, 0.3, 0.05, 0.35, 0.2]
    how = TextSampling(temperature=1.0, top_k=0, top_p=top_p)
    ids = sample_text(logits_of(p), uniforms()[:, 0], how)
    assert chi_square(ids, [x if i in kept else 0 for i, x in enumerate(p)]) < BOUND


def test_the_penalty_makes_seen_tokens_rarer():
    logits = torch.tensor([[2.0, -1.0, 1.5]])
    seen = torch.tensor([[True, True, False]])
    how = TextSampling(temperature=0.0, repetition_penalty=2.0)
    assert sample_text(logits, torch.zeros(1), how, seen).tolist() == [2]  # 2 / 2 < 1.5
    how = TextSampling(temperature=1.0, top_k=0, repetition_penalty=2.0)
    ids = sample_text(logits.expand(MANY, -1), uniforms()[:, 0], how, seen.expand(MANY, -1))
    assert chi_square(ids, torch.tensor([1.0, -2.0, 1.5]).exp().tolist()) < BOUND


def test_the_nucleus_is_cut_by_mass_and_by_number():
    ids, p = nucleus(torch.tensor([[0.3, 0.05, 0.4, 0.15, 0.1]]))
    assert ids[0, p[0] > 0].tolist() == [2, 0, 3]  # 0.4, 0.7 < 0.8, and the one that crosses
    flat = torch.full((1, 100), 0.01)
    ids, p = nucleus(flat)
    assert ids[0, p[0] > 0].tolist() == list(range(MOST_CANDIDATES))
    ids, p = nucleus(torch.tensor([[0.0, 1.0, 0.0]]))
    assert ids[0, p[0] > 0].tolist() == [1]


def test_of_equals_the_lower_id_comes_first():
    p = torch.zeros(2, 16_387)
    p[:, [9_000, 17, 16_000, 400]] = 0.25
    ids, _ = nucleus(p)
    assert ids[:, :4].tolist() == [[17, 400, 9_000, 16_000]] * 2
    # And what float32 just tells apart stays apart.
    p[:, 16_000] = torch.nextafter(torch.tensor(0.25), torch.tensor(1.0))
    ids, _ = nucleus(p)
    assert ids[:, :4].tolist() == [[16_000, 17, 400, 9_000]] * 2


def test_units_follow_the_nucleus():
    p = [0.1, 0.3, 0.05, 0.35, 0.2]
    ids = sample_unit(logits_of(p), uniforms(2), NOTHING_RECENT)
    assert chi_square(ids, [0, 0.3, 0, 0.35, 0.2]) < BOUND


def test_a_repeated_unit_is_drawn_again_from_everything():
    p = [0.1, 0.3, 0.05, 0.35, 0.2]
    recent = NOTHING_RECENT.clone()
    recent[:, 7] = 3
    ids = sample_unit(logits_of(p), uniforms(2), recent)
    picked = 0.35 / 0.85
    expected = [picked * x for x in p]
    for i in (1, 4):
        expected[i] += p[i] / 0.85
    assert chi_square(ids, expected) < BOUND


def test_forbidden_units_never_come():
    logits = torch.zeros(MANY, 40)
    logits[:, 30:] = -torch.inf
    recent = torch.arange(RECENT_UNITS).expand(MANY, -1)  # many picks are repeated
    assert int(sample_unit(logits, uniforms(2), recent).max()) == 29


def test_repeated():
    recent = torch.tensor([[5, 7, -1, -1], [1, 2, 3, 4]])
    assert is_repeated(torch.tensor([7, 7]), recent).tolist() == [True, False]


def test_rows_dont_see_each_other():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(8, 16_387, generator=generator) * 3
    numbers = torch.rand(8, 2, generator=generator)
    recent = torch.randint(0, 16_387, (8, RECENT_UNITS), generator=generator)
    recent[3] = logits[3].topk(RECENT_UNITS)[1]  # this one is drawn again
    together = sample_unit(logits, numbers, recent)
    apart = [
        sample_unit(logits[i : i + 1], numbers[i : i + 1], recent[i : i + 1]) for i in range(8)
    ]
    assert torch.equal(together, torch.cat(apart))


def test_uniform_numbers_depend_on_seed_and_use_alone():
    cpu = torch.device("cpu")
    few = uniform_numbers([1, 2], 5, "text", cpu)
    many = uniform_numbers([2, 1, 0], 500, "text", cpu)
    assert torch.equal(few[0], many[1, :5])
    assert torch.equal(few[1], many[0, :5])
    assert not torch.equal(few, uniform_numbers([1, 2], 5, "units", cpu))
    assert float(many.min()) >= 0
    assert float(many.max()) < 1
    assert mixed_seed(0, "a") != mixed_seed(0, "b") < 2**63
