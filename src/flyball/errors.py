"""What can go wrong, as one tree. A message says what, where, what was got, what is allowed and what to do next.

FlyballError                    exit 1   anything Flyball reports on purpose; catch this one
 ├─ Mistake                     exit 2   the caller can mend it: a typo, a missing file, an unknown name
 │   ├─ ProjectError            exit 2   `flyball.toml` or `pipeline.py` cannot be honoured; carries every finding
 │   ├─ NotFound                exit 2   no such model, version, run
 │   └─ NotYet                  exit 2   asked for something this release does not do; never ignored
 ├─ Refused                     exit 3   a gate said no; carries the verdict's text
 ├─ Conflict                    exit 1   somebody else moved first; nothing was changed
 ├─ StepFailed                  exit 1   a pipeline step failed after its retries
 ├─ Corrupt                     exit 1   bytes on disk are not what was written (digest, torn file)
 └─ Unavailable                 exit 1   a database, a port, a server cannot be reached

Domain errors know no HTTP; `serving` and `dashboard` map them once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class FlyballError(Exception):
    """Root of all errors Flyball raises on purpose."""

    exit_code: ClassVar[int] = 1


class Mistake(FlyballError):
    """The caller's mistake; the message names the mend."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing wrong with a project, placed as precisely as the text allows."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.message}"


class ProjectError(Mistake):
    """A project that cannot be honoured: every finding, not only the first."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


class NotFound(Mistake):
    """No such model, version, run or file; the message names what there is."""


class NotYet(Mistake):
    """A setting or verb whose machinery is not in this release."""


class Refused(FlyballError):
    """A gate refused the candidate; the text is the verdict."""

    exit_code: ClassVar[int] = 3


class Conflict(FlyballError):
    """The state moved between reading and writing; nothing was changed, ask again."""


class StepFailed(FlyballError):
    """A pipeline step failed after its retries."""

    def __init__(self, message: str, *, run: str, step: str) -> None:
        super().__init__(message)
        self.run = run
        self.step = step


class Corrupt(FlyballError):
    """Bytes on disk are not the bytes that were written."""


class Unavailable(FlyballError):
    """Something outside cannot be reached just now."""
