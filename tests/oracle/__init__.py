"""The oracle: ONNX's reference evaluator run on scalars that count the arithmetic done on them.

It shares no code with the formulas. ``check(case(...))`` holds a formula against it. What is shimmed is numpy for the
counting type (functions it has no loop for, casts that would lose the scalars); the arithmetic is the evaluator's own.
"""

from tests.oracle.cases import Case, by_hand, case, check

__all__ = ["Case", "by_hand", "case", "check"]
