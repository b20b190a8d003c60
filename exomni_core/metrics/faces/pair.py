# SPDX-License-Identifier: GPL-3.0-or-later
"""A face and its reference on one clock in, what several metrics share out, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy.typing as npt

from exomni_core.arrays import Array
from exomni_core.metrics.faces import face
from exomni_core.metrics.faces.basis import FaceBasis
from exomni_core.metrics.faces.face import Values


@dataclass(frozen=True, eq=False)
class Pair:
    """pred, ref: (T, 52) weights in ARKIT_52 order at `fps`, T >= 1. Distances are mm.

    bilabials: (n, 2) seconds in which a p, b or m is spoken, or None.
    """

    pred: Array
    ref: Array
    basis: FaceBasis
    fps: float
    bilabials: npt.ArrayLike | None = None

    @cached_property
    def error(self) -> Array:
        """(T, 52) prediction minus reference."""
        return self.pred - self.ref

    @cached_property
    def lip_error(self) -> Array:
        """(T, 3, n) of the lip vertices."""
        return face.offsets(self.error, self.basis.lips)

    @cached_property
    def ref_lips(self) -> Array:
        """(T, 3, n) offsets of the reference's lips from the neutral face."""
        return face.offsets(self.ref, self.basis.lips)

    @cached_property
    def lve(self) -> tuple[float, float]:
        """Lip vertex error, plain and squared."""
        return face.lve(self.lip_error)

    @cached_property
    def upper(self) -> Values:
        """Eyes and forehead, see `face.upper_metrics`."""
        return face.upper_metrics(self.pred, self.ref, self.basis)

    @cached_property
    def motion(self) -> Values:
        """Velocity and jerk of the lips, see `face.lip_motion`."""
        return face.lip_motion(self.lip_error, self.ref_lips, self.fps)

    @cached_property
    def opening(self) -> Values:
        """Opening, closures and lag, see `face.opening_metrics`; empty without inner-lip pairs."""
        if not self.basis.has_opening:
            return {}
        opened = face.opening(self.pred, self.basis), face.opening(self.ref, self.basis)
        return face.opening_metrics(*opened, self.basis, self.fps, self.bilabials)

    @cached_property
    def coefficients(self) -> Values:
        """Errors of the weights themselves, see `face.coefficient_errors`."""
        return face.coefficient_errors(self.error)
