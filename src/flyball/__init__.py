"""Flyball: a governor for machine-learning models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyball.pipeline.split import split
    from flyball.pipeline.step import step

__version__ = "0.1.0"

__all__ = ["split", "step"]

#: public name -> module that defines it; imported when first asked for, so that `import flyball` costs nothing.
_PUBLIC = {
    "split": "flyball.pipeline.split",
    "step": "flyball.pipeline.step",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'flyball' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
