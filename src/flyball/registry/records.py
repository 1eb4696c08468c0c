"""Versions, deployments and verdicts as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from flyball.stats.estimate import Estimate

Stage = Literal["none", "staging", "shadow", "production", "archived"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """A step for which an earlier run's result stood in."""

    step: str
    #: the run that made it, and when that was decided: nothing newer is in it.
    run: str
    decided_at: datetime

    def __str__(self) -> str:
        return f"{self.step} from run {self.run[:12]} ({self.decided_at:%Y-%m-%d})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a version comes from."""

    run: str
    reason: str
    #: SHA-256 over the training table's rows, in order; with how many they were and which time they span.
    data_digest: str
    data_rows: int
    data_start: datetime | None
    #: no row at or after this time was seen in training.
    data_end: datetime | None
    #: SHA-256 of the recipe: pipeline source and parameters; another digest means "change", the same "refresh".
    recipe_digest: str
    git_commit: str | None
    git_dirty: bool
    params: Mapping[str, Any]
    seed: int
    #: package -> version of what was imported.
    environment: Mapping[str, str]
    hardware: str
    parent: int | None
    #: the model that faced the gate when this one is its refit: folder and digest of that bundle.
    gated_twin: Mapping[str, str] | None
    mlflow_run: str | None
    #: of a version that was not trained here: source, flavour, digest of its files, the reference table with its digest,
    #: and `seen`: whether it was trained on those rows, "unknown" or "no". None: trained by its run.
    adopted: Mapping[str, str] | None = None
    #: the data files of `[pipeline] source` -> their `sha256`, and what DVC says of them: dvc, md5, state, revision.
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: steps the model is made of for which earlier runs' results stood in; empty: all were made by its run.
    degraded: tuple[Fallback, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One registered version. Immutable but for its stage."""

    model: str
    number: int
    #: `flight-delay-20130701-d3f9a1c2-lgbm`: training date, data digest, experiment condition.
    label: str
    #: decision time of its training.
    created_at: datetime
    #: folder with model.onnx, contract.json, profile.json, manifest.json; relative to the home.
    bundle: str
    #: SHA-256 of manifest.json, which holds the SHA-256 of every other file.
    digest: str
    #: on the held-out rows; for a refit, its gated twin's.
    metrics: Mapping[str, Estimate]
    parity: Mapping[str, Any]
    lineage: Lineage
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a list of versions shows of one; fields as in `Version` and its lineage."""

    number: int
    label: str
    stage: Stage
    created_at: datetime
    metrics: Mapping[str, Estimate]
    data_rows: int
    data_end: datetime | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What workers serve for one model: a whole record, replaced, never edited."""

    model: str
    #: database-wide, monotonic; 0 = not yet written.
    generation: int
    #: version that answers.
    live: int
    #: folder and digest of each bundle that workers need: live and shadow.
    bundles: Mapping[int, tuple[str, str]]
    #: versions that score the same rows after the answer has left.
    shadow: tuple[int, ...]
    #: what the journal does with a column, where not kept: "hash" or "drop".
    columns: Mapping[str, Literal["keep", "hash", "drop"]]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """One line of a verdict."""

    rule: str
    candidate: float | None
    champion: float | None
    #: candidate - champion with its interval; None for absolute rules.
    difference: Estimate | None
    passed: bool
    why: str
    #: the smallest true difference these rows would have told from none with a probability of 80 %.
    detectable: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A gate's answer, with all of its evidence."""

    model: str
    run: str
    #: first | change | refresh
    occasion: Literal["first", "change", "refresh"]
    champion: int | None
    rows: int
    days: int
    data_start: datetime | None
    data_end: datetime | None
    results: tuple[RuleResult, ...]
    passed: bool
    at: datetime
    #: what must be known of the rows to judge by the verdict: which the candidate may have seen, which the champion had.
    caveat: str | None = None
