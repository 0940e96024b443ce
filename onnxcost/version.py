"""The version, which every layer can read."""

from __future__ import annotations

__version__ = "1.0.0"
