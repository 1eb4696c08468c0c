"""Flyball: a governor for machine-learning models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyball.client import Client
    from flyball.opened import open_home as open  # noqa: A004
    from flyball.pipeline.split import split
    from flyball.pipeline.step import step

__version__ = "0.1.0"

__all__ = ["Client", "open", "split", "step"]

#: public name -> where it is defined; imported when first asked for, so that `import flyball` costs nothing.
_PUBLIC = {
    "Client": ("flyball.client", "Client"),
    "open": ("flyball.opened", "open_home"),
    "split": ("flyball.pipeline.split", "split"),
    "step": ("flyball.pipeline.step", "step"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'flyball' has no attribute {name!r}")
    module, defined = _PUBLIC[name]
    return getattr(import_module(module), defined)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
