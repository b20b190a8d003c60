# SPDX-License-Identifier: GPL-3.0-or-later
"""A reply's tokens in, segments for the speech generator out, cut where a speaker would pause.

The generator was trained on short replies and needs a segment's whole text before its first unit.
Streaming cuts early, to speak while the rest is being written; offline only long replies are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from exomni_core.omni.prompting import ends_clause, ends_sentence


@dataclass(frozen=True)
class SegmentRule:
    """When to cut, in tokens.

    first: tokens before the first cut, at a clause. least: tokens before any later cut, at the end
    of a sentence. most: cut here in any case.
    """

    first: int
    least: int
    most: int


STREAMING: Final = SegmentRule(first=5, least=12, most=48)
OFFLINE: Final = SegmentRule(first=96, least=96, most=160)


@dataclass
class Segmenter:
    """Push tokens one by one; `cut` says when a segment ends. text_of: token ids -> text."""

    rule: SegmentRule
    text_of: Callable[[Sequence[int]], str]
    tokens: list[int] = field(default_factory=list)
    segments: int = 0

    def push(self, token: int) -> bool:
        """Take a token; True if a segment ends with it."""
        self.tokens.append(token)
        count, rule = len(self.tokens), self.rule
        first = self.segments == 0
        if count < (rule.first if first else rule.least):
            return False
        text = self.text_of(self.tokens)
        ends = ends_clause(text) if first or count >= 3 * rule.least else ends_sentence(text)
        if ends or count >= rule.most:
            self.tokens = []
            self.segments += 1
            return True
        return False


def cut(
    tokens: Sequence[int], rule: SegmentRule, text_of: Callable[[Sequence[int]], str]
) -> list[int]:
    """Where the segments of a finished reply end: ascending, the last is len(tokens)."""
    segmenter = Segmenter(rule, text_of)
    ends = [i + 1 for i, token in enumerate(tokens) if segmenter.push(token)]
    if not ends or ends[-1] != len(tokens):
        ends.append(len(tokens))
    return ends
