"""A deployed model as a worker holds it: in memory, or (`[serving] loading = "lazy"`) not before it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from flyball.errors import FlyballError

if TYPE_CHECKING:
    from flyball.engine.contract import Contract
    from flyball.engine.session import Engine
    from flyball.registry.records import Deployment

#: for whom the reason is not.
LOG = "the server's log says why"
#: what could not be loaded is tried again after this long.
RETRY_S = 5.0


class Lack(NamedTuple):
    """Something that is not as it was asked for."""

    #: names, versions and states only: anybody may know.
    what: str
    #: the reason, which may name files; empty where there is nothing to add.
    why: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" if self.why else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One model's deployment with its versions in memory."""

    deployment: Deployment
    #: the live version, and those shadows that could be loaded.
    engines: Mapping[int, Engine]

    @property
    def contract(self) -> Contract:
        """Of the live version."""
        return self.engines[self.deployment.live].contract

    @property
    def loaded(self) -> Loaded | None:
        return self

    @property
    def lacks(self) -> tuple[Lack, ...]:
        """None of its own: the roster says what it is without."""
        return ()


class Lazy:
    """One model's deployment, proven to be there and whole, and loaded by `wake`. Safe to use from several threads."""

    def __init__(self, deployment: Deployment, contract: Contract, load: Callable[[list[Lack]], Loaded]) -> None:
        """`contract`: of the live version. `load` raises FlyballError or OSError, and appends what it did without."""
        self.deployment = deployment
        self.contract = contract
        #: None: not yet.
        self.loaded: Loaded | None = None
        #: what was missing when it was last tried.
        self.lacks: tuple[Lack, ...] = ()
        self._load = load
        self._once = threading.Lock()
        self._again_at = 0.0

    @property
    def rests(self) -> bool:
        """Whether it failed so lately that it is not tried again yet."""
        return self.loaded is None and time.monotonic() < self._again_at

    def wake(self) -> Loaded | None:
        """Load it, unless that is done or failed lately; None where it failed. Whoever comes meanwhile waits."""
        with self._once:
            if self.loaded is None and not self.rests:
                lacks: list[Lack] = []
                try:
                    self.loaded = self._load(lacks)
                except (FlyballError, OSError) as error:
                    what = f"{self.deployment.model}: v{self.deployment.live} cannot be loaded, the model cannot answer"
                    lacks = [Lack(what, str(error))]
                    self._again_at = time.monotonic() + RETRY_S
                self.lacks = tuple(lacks)
            return self.loaded


Held = Loaded | Lazy
