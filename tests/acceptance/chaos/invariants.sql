-- What must hold of a life, whatever was killed, full, away or wrong about the time in it.
--
-- Each query names what it looks for in the line before it and returns the rows that break the rule: none, if all is
-- well. DuckDB runs them over the tables of the home's database, the views of the lake (`predictions`, `shadow`, `outcomes`,
-- `scored`), and what the asker has kept: `answered` (id, key, version, while_full: answered while there was no room for a
-- record), `told` (key, value: the outcomes that were taken) and `settings` (budget, budget_window_s).

-- name: an answered prediction is missing from the lake
SELECT id, key FROM answered WHERE NOT while_full AND id NOT IN (SELECT id FROM predictions)
  AND key NOT IN (SELECT key FROM answered WHERE while_full);

-- name: a prediction is in the lake twice
SELECT id, count(*) AS times FROM predictions GROUP BY id HAVING count(*) > 1;

-- name: a flight was predicted twice
SELECT key, count(*) AS times FROM predictions GROUP BY key HAVING count(*) > 1;

-- name: the lake says another version answered than the asker was told
SELECT answered.id, answered.version, predictions.version AS recorded
FROM answered JOIN predictions USING (id) WHERE answered.version <> predictions.version;

-- name: a prediction is in the lake that nobody asked for
SELECT id, key FROM predictions WHERE key NOT IN (SELECT key FROM asked);

-- name: an outcome that was taken is missing from the lake
SELECT key FROM told WHERE key NOT IN (SELECT key FROM outcomes WHERE key IS NOT NULL);

-- name: an outcome is in the lake twice
SELECT outcome_id, count(*) AS times FROM outcomes GROUP BY outcome_id HAVING count(*) > 1;

-- name: a prediction is scored twice
SELECT id, count(*) AS times FROM scored GROUP BY id HAVING count(*) > 1;

-- name: an outcome was joined with another value, or not at all
SELECT told.key, told.value, scored.label FROM told JOIN scored USING (key)
WHERE scored.label IS DISTINCT FROM told.value::DOUBLE;

-- name: a shadow scored a row twice
SELECT id, version, count(*) AS times FROM shadow GROUP BY id, version HAVING count(*) > 1;

-- name: a version answered that was not live in the deployment it names
SELECT predictions.id, predictions.version, deployment.live
FROM predictions LEFT JOIN deployment USING (generation, model)
WHERE predictions.version IS DISTINCT FROM deployment.live;

-- name: a model has not exactly one version in production
SELECT model, count(*) FILTER (stage = 'production') AS live FROM version GROUP BY model HAVING live <> 1;

-- name: the stage production is not the newest deployment's
SELECT model, version.number, deployment.live FROM version JOIN deployment USING (model)
WHERE version.stage = 'production' AND deployment.generation = (SELECT max(generation) FROM deployment)
  AND version.number <> deployment.live;

-- name: the stage shadow is not that of a rollout under way
SELECT model, number, stage FROM version
WHERE (stage = 'shadow') <> ((model, number) IN (SELECT (model, candidate) FROM rollout WHERE status = 'shadow'));

-- name: more than one rollout is under way
SELECT model, count(*) AS under_way FROM rollout WHERE status = 'shadow' GROUP BY model HAVING count(*) > 1;

-- name: two versions were live at one time
SELECT earlier.generation, later.generation AS next, earlier.at, later.at AS before
FROM deployment earlier JOIN deployment later ON later.model = earlier.model AND later.generation > earlier.generation
WHERE later.at < earlier.at;

-- name: a version is half registered
SELECT version.model, number, version.run, run.status FROM version LEFT JOIN run ON run.id = version.run
WHERE run.id IS NULL OR run.version IS DISTINCT FROM version.number OR run.status NOT IN ('released', 'refused');

-- name: a run says released, and made no version
SELECT id, status, version FROM run WHERE status = 'released' AND version NOT IN (SELECT number FROM version);

-- name: a run or a step is still running
SELECT id, 'run' AS what FROM run WHERE status = 'running'
UNION ALL SELECT step.run, step.name FROM step JOIN run ON run.id = step.run
WHERE step.status = 'running' AND run.status <> 'failed';

-- name: more retrains than the budget in some span
SELECT one.id, count(*) AS runs FROM run one JOIN run other ON other.model = one.model
  AND other.decided_at <= one.decided_at
  AND epoch(other.decided_at::TIMESTAMPTZ) > epoch(one.decided_at::TIMESTAMPTZ) - (SELECT budget_window_s FROM settings)
WHERE one.status <> 'failed' AND other.status <> 'failed' AND one.reason <> 'manual'
GROUP BY one.id HAVING count(*) > (SELECT budget FROM settings);

-- name: one thing was decided twice
SELECT model, kind, subject, count(*) AS times FROM decision
WHERE kind IN ('drift', 'performance', 'retrain', 'gate') GROUP BY model, kind, subject HAVING count(*) > 1;

-- name: a signal was obeyed, and there is no run for it
SELECT decision.id, decision.subject FROM decision WHERE kind = 'retrain' AND verdict = 'retrain'
  AND NOT EXISTS (SELECT 1 FROM run WHERE run.model = decision.model AND run.decided_at = decision.at);

-- name: a window was judged twice, or overlaps another
SELECT one.kind, one.start, one.ends, other.start AS other FROM "window" one JOIN "window" other
  ON other.model = one.model AND other.kind = one.kind AND other.start > one.start AND other.start < one.ends;

-- name: a window was judged without a decision
SELECT kind, start FROM "window" WHERE NOT EXISTS (
  SELECT 1 FROM decision WHERE decision.kind = "window".kind AND decision.model = "window".model
    AND decision.verdict = "window".verdict AND decision.at = "window".ends) AND kind = 'drift';

-- name: an alert is open twice
SELECT model, name, count(*) AS open FROM alert WHERE resolved_at IS NULL GROUP BY model, name HAVING count(*) > 1;

-- name: an alert was never told
SELECT alert.id, alert.name FROM alert
WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.dedup = 'alert:' || alert.model || ':' || alert.name || ':' || alert.id || ':firing');

-- name: something waits to be told for ever
SELECT id, kind, attempts, error FROM outbox WHERE done_at IS NULL;

-- name: a batch of the journal is half carried
SELECT id, plan FROM lake_batch WHERE done_at IS NULL;
