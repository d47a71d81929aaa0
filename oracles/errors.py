"""What the oracles raise. Each message says what was expected, what came, and what to do."""

from __future__ import annotations


class GradientError(AssertionError):
    """The gradient on trial is not the derivative of its forward (or broke the contract of a check)."""


class UndecidedGradientError(GradientError):
    """No verdict could be reached, which is never a pass."""


class NotCertifiableError(TypeError):
    """This code cannot run on balls. The message gives the reason; the traceback has the line."""


class UndecidedComparisonError(ArithmeticError):
    """Two overlapping balls were compared: neither answer would be rigorous."""
