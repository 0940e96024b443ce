"""What holds for all tests."""

from __future__ import annotations

import os

# Tests that import onnxruntime themselves send nothing, either.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
