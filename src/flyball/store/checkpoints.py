"""Points at which a process may die, told by name as they are passed: kill tests die there, nobody else listens.

What is listed as `TRANSITIONS` in a module is what its functions tell.
"""

from __future__ import annotations

from collections.abc import Callable

#: told each point's name as it is passed.
Checkpoint = Callable[[str], None]


def unwatched(_: str) -> None:
    """The checkpoint nobody listens to."""
