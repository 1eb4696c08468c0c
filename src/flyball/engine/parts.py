"""Looking inside an estimator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def parts_of(fitted: Any) -> Iterator[Any]:
    """The estimator and every estimator inside it (steps, transformers, members of an ensemble), outermost first."""
    seen: set[int] = set()
    stack = [fitted]
    while stack:
        item = stack.pop()
        if isinstance(item, list | tuple):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif hasattr(item, "get_params") and not isinstance(item, type) and id(item) not in seen:
            seen.add(id(item))
            yield item
            stack.extend(vars(item).values())
