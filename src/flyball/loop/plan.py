"""Which calls a run is made of: the user's steps, Flyball's own after them, and the part trained again at a refit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flyball.pipeline.graph import StepCall, calls_of
from flyball.project.records import MonitorSettings, PipelineSettings, ServingSettings
from flyball.project.steps import StepDeclaration, upstream

REFIT = "refit."


def candidate_calls(
    declarations: Sequence[StepDeclaration],
    pipeline: PipelineSettings,
    *,
    model: str,
    refit: bool,
    serving: ServingSettings | None = None,
    monitor: MonitorSettings | None = None,
) -> tuple[StepCall, ...]:
    """The user's steps in order, then the candidate's bundle. `refit`: what passes will be trained once more."""
    bundle = _bundle_call(
        "deploy.bundle",
        declarations,
        pipeline,
        model=model,
        prefix="",
        profiled=not refit,
        serving=serving,
        monitor=monitor,
    )
    return (*calls_of(declarations), bundle)


def score_call(
    pipeline: PipelineSettings,
    *,
    champions: Sequence[Mapping[str, Any]],
    cluster: str | None,
    slices: Sequence[str] = (),
) -> StepCall:
    """Candidate and champion on the same held-out rows, which are cut by the columns `slices`."""
    assert pipeline.holdout is not None
    return StepCall(
        name="deploy.score",
        target="flyball.loop.steps:score",
        inputs={"candidate": "deploy.bundle", "holdout": pipeline.holdout},
        given=("run",),
        constants={
            "champions": [dict(item) for item in champions],
            "cluster": cluster,
            "slices": list(slices),
            "timezone": pipeline.timezone,
        },
    )


def refit_calls(
    declarations: Sequence[StepDeclaration],
    pipeline: PipelineSettings,
    *,
    model: str,
    serving: ServingSettings | None = None,
    monitor: MonitorSettings | None = None,
) -> tuple[StepCall, ...]:
    """The steps that training on all rows changes: those that take `run`, and what follows from them, up to the model; its
    bundle; last whether it agrees with the candidate, which alone needs that one.
    """
    again = _changed_by_refit(declarations, pipeline.model)
    calls = [
        replace(
            call,
            name=REFIT + call.name,
            inputs={name: REFIT + step if step in again else step for name, step in call.inputs.items()},
            after=(),
            refit=True,
        )
        for call in calls_of(declarations)
        if call.name in again
    ]
    bundle = _bundle_call(
        "refit.deploy.bundle",
        declarations,
        pipeline,
        model=model,
        prefix=REFIT,
        again=again,
        serving=serving,
        monitor=monitor,
    )
    return (*calls, bundle, _agree_call(bundle))


def _agree_call(bundle: StepCall) -> StepCall:
    return StepCall(
        name="refit.deploy.agree",
        target="flyball.loop.steps:agree",
        inputs={
            "refitted": bundle.name,
            "twin": "deploy.bundle",
            "rows": bundle.inputs.get("holdout", bundle.inputs["table"]),
        },
        given=("run",),
        refit=True,
    )


def adopted_calls(
    params: Mapping[str, Any],
    *,
    servers: Sequence[str],
    model: str,
    timezone: str,
    serving: ServingSettings,
    monitor: MonitorSettings,
    champions: Sequence[Mapping[str, Any]],
    cluster: str | None,
    slices: Sequence[str],
) -> tuple[StepCall, ...]:
    """A model that exists already, up to its bundle and its scores on the reference table. `params`: the run's."""
    here = "flyball.loop.adopted:"
    constants = {"table": params["reference"], "sha256": params["reference_sha256"]}
    return (
        StepCall(
            name="adopt.fetch",
            target=f"{here}fetch",
            given=("run",),
            constants={"source": params["source"], "servers": list(servers)},
        ),
        StepCall(
            name="adopt.reference",
            target=f"{here}reference",
            inputs={"found": "adopt.fetch"},
            given=("run",),
            constants=constants,
        ),
        StepCall(
            name="deploy.bundle",
            target=f"{here}bundle",
            inputs={"found": "adopt.fetch", "table": "adopt.reference"},
            given=("run",),
            constants={
                "name": model,
                "timezone": timezone,
                "engine": serving.engine,
                "tolerance": serving.parity_tolerance,
                "watched": watched(monitor),
            },
        ),
        StepCall(
            name="deploy.score",
            target="flyball.loop.steps:score",
            inputs={"candidate": "deploy.bundle", "holdout": "adopt.reference"},
            given=("run",),
            constants={
                "champions": [dict(item) for item in champions],
                "cluster": cluster,
                "slices": list(slices),
                "timezone": timezone,
            },
        ),
    )


def track_adopted_call(
    *, name: str, uri: str, artifacts: str, bundle: str, values: Mapping[str, Any], taken: Sequence[int]
) -> StepCall:
    """Link to what MLflow has already, or register a copy there."""
    return StepCall(
        name="deploy.track",
        target="flyball.loop.adopted_tracking:track",
        inputs={"found": "adopt.fetch"},
        given=("run",),
        constants={
            "name": name,
            "uri": uri,
            "artifacts": artifacts,
            "bundle": bundle,
            "values": dict(values),
            "taken": list(taken),
        },
        retries=2,
    )


def track_call(
    *, model_step: str, name: str, uri: str, artifacts: str, bundle: str, values: Mapping[str, Any]
) -> StepCall:
    """Log to MLflow and register there."""
    return StepCall(
        name="deploy.track",
        target="flyball.loop.tracking:track",
        inputs={"model": model_step},
        given=("run",),
        constants={"name": name, "uri": uri, "artifacts": artifacts, "bundle": bundle, "values": dict(values)},
        retries=2,
    )


def _changed_by_refit(declarations: Sequence[StepDeclaration], model: str) -> set[str]:
    """Names of the steps to run again; `declarations` are in topological order."""
    needed = upstream(declarations, model)
    again: set[str] = set()
    for item in declarations:
        if item.name in needed and ("run" in item.given or again.intersection(item.needs)):
            again.add(item.name)
    return again


def watched(monitor: MonitorSettings) -> dict[str, Any]:
    """What a reference must know of how windows will be judged against it."""
    return {"window_s": monitor.window_s, "slices": list(monitor.slices)}


def _bundle_call(
    name: str,
    declarations: Sequence[StepDeclaration],
    pipeline: PipelineSettings,
    *,
    model: str,
    prefix: str,
    profiled: bool = True,
    again: set[str] | None = None,
    serving: ServingSettings | None = None,
    monitor: MonitorSettings | None = None,
) -> StepCall:
    """Its table is the model step's first input; the held-out table, where there is one, keeps its rows out.

    `serving`: which engine the project asks for; `monitor`: how its windows will be judged; None: what a project asks for
    that says nothing.
    """
    table = next((item.needs[0] for item in declarations if item.name == pipeline.model and item.needs), pipeline.model)
    inputs = {
        "model": prefix + pipeline.model,
        "table": prefix + table if again and table in again else table,
    }
    constants: dict[str, Any] = {
        "name": model,
        "timezone": pipeline.timezone,
        "profiled": profiled,
        "trained_by": prefix + pipeline.model,
    }
    if serving is not None:
        constants |= {"engine": serving.engine, "tolerance": serving.parity_tolerance}
    if monitor is not None:
        constants["watched"] = watched(monitor)
    if pipeline.holdout is None:
        constants["holdout"] = None
    else:
        inputs["holdout"] = pipeline.holdout
    return StepCall(
        name=name,
        target="flyball.loop.steps:bundle",
        inputs=inputs,
        given=("run",),
        constants=constants,
        refit=bool(prefix),
    )
