"""How messages show values and near names. Imports next to nothing: the records' neighbours use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: bound of the integers that are shown, and taken as parameters.
INT64 = 2**63

#: names listed in a message at most.
_LISTED = 20


def shown(value: Any) -> str:
    """A TOML value as a short piece of a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value if len(value) <= 60 else f"{value[:57]}...", ensure_ascii=False)
    if isinstance(value, int | float):
        # Python refuses to print integers of thousands of digits.
        return repr(value) if isinstance(value, float) or abs(value) < INT64 else "a very large integer"
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date or time"


def nearest(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """What to append to `unknown NAME`: `; did you mean "auc"? (auc, log_loss)`, or only the list where nothing is near."""
    names = [*known][:_LISTED] + (["..."] if len(known) > _LISTED else [])
    listed = f"({', '.join(names)})" if known else "(there are none)"
    close = _close(name, tuple(known))
    return f'; did you mean "{close[0]}"? {listed}' if close else f"; known: {listed}"


def there_is(name: str, known: tuple[str, ...], none: str) -> str:
    """What to append to `no model NAME here`: ` (there is: churn, late); did you mean "late"?`, ` (there is: NONE)`."""
    names = [*known][:_LISTED] + (["..."] if len(known) > _LISTED else [])
    close = _close(name, known) if len(known) > 1 else []
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return f" (there is: {', '.join(names) or none}){hint}"


def _close(name: str, known: tuple[str, ...]) -> list[str]:
    from difflib import get_close_matches  # every verb imports this module, and few of them go wrong

    return get_close_matches(name, known, n=1, cutoff=0.5)
