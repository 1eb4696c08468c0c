"""What a version's label says of how it was made: the estimator, and the parameters that were given for this run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: a parameter's value is cut to as many characters.
LONGEST_VALUE = 20


def condition(params: Mapping[str, Any], declared: Mapping[str, Any], estimator: str) -> str:
    """`lgbm-lr0.05`: `params.condition` or the estimator's name, and what differs from `[pipeline] params`.

    `params`: the run's. Parameters of several words are told by their initials, unless two would be told alike.
    """
    named = str(params.get("condition") or estimator)
    short = _safe(named.removesuffix("Classifier").removesuffix("Regressor").lower())
    changed = {
        name: value
        for name, value in sorted(params.items())
        if name != "condition" and (name not in declared or declared[name] != value)
    }
    told = [_initials(name) for name in changed]
    names = [
        short_name if told.count(short_name) == 1 else name for short_name, name in zip(told, changed, strict=True)
    ]
    return "-".join([short, *(_safe(name + _value(changed[key])) for name, key in zip(names, changed, strict=True))])


def _initials(name: str) -> str:
    """`lr` of `learning_rate`; one word is told as it is."""
    words = [word for word in name.split("_") if word]
    return "".join(word[0] for word in words) if len(words) > 1 else name


def _value(value: object) -> str:
    """`0.05`, `yes`, `no`; of a text with a letter or a figure at its front what stands apart from the name."""
    match value:
        case bool():
            text = "-yes" if value else "-no"
        case int() | float():
            text = f"{value:g}" if isinstance(value, float) else str(value)
        case _:
            text = f"-{value}"
    return text[:LONGEST_VALUE]


def _safe(text: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in text)
