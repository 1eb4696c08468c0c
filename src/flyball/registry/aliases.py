"""Stages and free aliases as MLflow's aliases: what they should say. `archived` is a tag instead, because many versions
have it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ALIASES = ("production", "staging", "shadow")


def wanted(stages: Mapping[int, str], free: Mapping[str, int] | None = None) -> dict[str, int]:
    """Alias -> version, from version -> stage (of several versions in a stage the newest) and the free aliases."""
    newest = {stage: number for number, stage in sorted(stages.items())}
    return {**{alias: newest[alias] for alias in ALIASES if alias in newest}, **(free or {})}


def moved(
    ours: Mapping[str, int], theirs: Mapping[str, int], deleted: Iterable[str] = ()
) -> dict[str, tuple[int | None, int | None]]:
    """Alias -> (what it should say, what it says), where the two differ; other aliases are their users' own.

    `deleted`: free ones that were ours until they were taken away here.
    """
    pairs = {alias: (ours.get(alias), theirs.get(alias)) for alias in dict.fromkeys((*ALIASES, *ours, *deleted))}
    return {alias: pair for alias, pair in pairs.items() if pair[0] != pair[1]}
