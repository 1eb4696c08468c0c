"""One walk over a run's steps in their order: records each, retries, falls back, keeps what is done already."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path

from flyball.errors import StepFailed
from flyball.pipeline.artifact import Artifact, is_intact
from flyball.pipeline.attempts import StepRecord, step_begun, step_done, step_failed
from flyball.pipeline.earlier import made_before
from flyball.pipeline.fallback import copy_result, last_good, reaching
from flyball.pipeline.graph import StepCall
from flyball.pipeline.logs import tail
from flyball.pipeline.runs import RunRecord
from flyball.pipeline.step import RunContext
from flyball.pipeline.task import Outcome, Task, read_result, write_result
from flyball.pipeline.workers import StepWorkers
from flyball.store.checkpoints import Checkpoint
from flyball.store.clock import stamp
from flyball.store.database import Database

log = logging.getLogger("flyball.pipeline")

#: where a run can die: `checkpoint` is called with each of these names as it is passed.
TRANSITIONS = (
    "step-begun",  # recorded as running; its process not yet asked for
    "step-started",  # its process asked for
    "step-ended",  # its process has ended; not yet recorded
    "step-done",  # its result is recorded
    "step-failed",  # its failed attempt is recorded
    "fallback-taken",  # an earlier run's result is copied in its place; not yet recorded
    "step-kept",  # found done, not run again
)


@dataclass(slots=True, kw_only=True)
class Walk:
    """One walk over a run's steps. All of it happens in the caller's thread; only steps run beside it."""

    database: Database
    #: the folder of all runs.
    runs: Path
    run: RunRecord
    workers: StepWorkers
    calls: Mapping[str, StepCall]
    context: RunContext
    #: step -> digest of how it is made, of the user's steps.
    recipes: Mapping[str, str]
    passed: Checkpoint
    #: what the database said of each step when the walk began.
    recorded: Mapping[str, StepRecord]
    order: TopologicalSorter[str]
    #: step -> how long the run goes on from its beginning, by what the last run took.
    ways: Mapping[str, float]
    parallel: int
    results: dict[str, Artifact] = field(default_factory=dict)
    #: step -> monotonic time from which its next attempt may begin.
    due: dict[str, float] = field(default_factory=dict)
    running: dict[str, Task] = field(default_factory=dict)
    #: failed attempts in this walk.
    failures: dict[str, int] = field(default_factory=dict)
    failed: StepFailed | None = None

    def finish(self) -> dict[str, Artifact]:
        while self.order.is_active():
            self._look()
            if self.failed is None:
                self._start_due()
            if self.running:
                self._settle(self.workers.wait(self._patience()))
            elif self.failed is not None:
                raise self.failed
            elif self.due:
                time.sleep(max(0.0, min(self.due.values()) - time.monotonic()))
        return self.results

    def _look(self) -> None:
        """Steps that may run now: kept if they are done already, else due at once."""
        for name in self.order.get_ready():
            kept = self._kept(self.calls[name])
            if kept is None:
                self.due[name] = 0.0
            else:
                self.results[name] = kept
                self.order.done(name)

    def _kept(self, call: StepCall) -> Artifact | None:
        """The result of an earlier walk, if it is of the same call and intact."""
        was = self.recorded.get(call.name)
        if was is None:
            return None
        task = self._task(call, was.attempts)
        left = read_result(task)
        if left is None or left.artifact is None or not is_intact(left.artifact, self.context.path):
            log.info("run %s: step %s was %s, runs again", self.context.id, call.name, was.status)
            return None
        if was.status == "done":
            log.info("run %s: step %s is done, not run again", self.context.id, call.name)
            self.passed("step-kept")
        else:
            # Its process had ended well when the one that watched it died.
            log.info("run %s: step %s had ended unrecorded, not run again", self.context.id, call.name)
            self._record_done(call.name, left)
        return left.artifact

    def _start_due(self) -> None:
        now = time.monotonic()
        due = sorted((name for name, at in self.due.items() if at <= now), key=self.ways.__getitem__, reverse=True)
        for name in due[: self.parallel - len(self.running)]:
            del self.due[name]
            call = self.calls[name]
            with self.database.write() as tx:
                attempt = step_begun(tx, run=self.context.id, name=name, recipe=self.recipes.get(name))
            self.passed("step-begun")
            task = self.running[name] = self._task(call, attempt)
            self.workers.start(task, call.timeout_s)
            self.passed("step-started")

    def _patience(self) -> float | None:
        """Seconds until another step could start: never, while all places are taken or nothing waits."""
        if self.failed is not None or len(self.running) >= self.parallel or not self.due:
            return None
        return max(0.0, min(self.due.values()) - time.monotonic())

    def _settle(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        self.passed("step-ended")
        task = self.running.pop(outcome.name)
        if outcome.artifact is None:
            self._record_failed(self.calls[outcome.name], task, outcome.error or "failed without a word")
        else:
            self._go_on(outcome)

    def _go_on(self, outcome: Outcome) -> None:
        """Record a result, and let the steps come that wait for it."""
        assert outcome.artifact is not None
        self._record_done(outcome.name, outcome)
        self.results[outcome.name] = outcome.artifact
        self.order.done(outcome.name)

    def _record_done(self, name: str, outcome: Outcome) -> None:
        assert outcome.artifact is not None
        with self.database.write() as tx:
            step_done(
                tx,
                run=self.context.id,
                name=name,
                artifact=outcome.artifact,
                seconds=outcome.seconds,
                fallback_run=outcome.fallback,
            )
        self.passed("step-done")

    def _record_failed(self, call: StepCall, task: Task, error: str) -> None:
        """Note it, and let it be tried again later, or fail the run."""
        with self.database.write() as tx:
            step_failed(tx, run=self.context.id, name=call.name, error=error)
        self.passed("step-failed")
        failures = self.failures[call.name] = self.failures.get(call.name, 0) + 1
        if failures <= call.retries:
            self.due[call.name] = time.monotonic() + call.backoff_s * 2 ** (failures - 1)
            return
        no_fallback = ""
        # With another step failed the run fails anyway: who resumes it has this one tried again, for newer data.
        if call.on_failure == "use_last_good" and self.failed is None:
            why_not = self._fall_back(call)
            if why_not is None:
                return
            no_fallback = f'; on_failure is "use_last_good", but no result may stand in ({why_not})'
        attempts = "" if failures == 1 else f" after {failures} attempts"
        text = (
            f"step {call.name!r} of run {self.context.id} failed{attempts}: {error}{no_fallback}\n"
            f"{task.log} ends with\n{tail(task.log)}"
        )
        if self.failed is None:
            self.failed = StepFailed(text, run=self.context.id, step=call.name)

    def _fall_back(self, call: StepCall) -> str | None:
        """Let the last good result stand in for what could not be made; why not, None if it does.

        It counts as one more attempt, with a result like any other: who is killed from here on resumes as ever.
        """
        recipe = self.recipes.get(call.name)
        good, why_not = last_good(
            made_before(self.database, self.run, call.name),
            self.run,
            runs=self.runs,
            recipe=recipe,
            made_of=reaching(self.calls, call.name),
        )
        if good is None:
            return why_not
        with self.database.write() as tx:
            attempt = step_begun(tx, run=self.context.id, name=call.name, recipe=recipe)
        self.passed("step-begun")
        task, began = self._task(call, attempt), time.perf_counter()
        task.context.folder.mkdir()
        artifact = copy_result(good, task.context.folder, runs=self.runs, root=self.context.path)
        seconds = time.perf_counter() - began
        said = f"its last good result stands in, from run {good.run}, decided at {stamp(good.decided_at)}"
        log.warning("run %s: step %s failed; %s", self.context.id, call.name, said)
        with task.log.open("a", encoding="utf-8") as lines:
            lines.write(f"--- {call.name}, attempt {attempt}: {said}\n")
        write_result(task, seconds=seconds, artifact=artifact, error=None, fallback=good.run)
        self.passed("fallback-taken")
        self._go_on(Outcome(name=call.name, seconds=seconds, artifact=artifact, error=None, fallback=good.run))
        return None

    def _task(self, call: StepCall, attempt: int) -> Task:
        folder = self.context.path / call.name
        folder.mkdir(parents=True, exist_ok=True)
        return Task(
            name=call.name,
            target=call.target,
            inputs={parameter: self.results[name] for parameter, name in call.inputs.items()},
            given=call.given,
            constants=call.constants,
            context=replace(self.context, folder=folder / str(attempt), refit=call.refit),
            log=folder / "log.txt",
        )
