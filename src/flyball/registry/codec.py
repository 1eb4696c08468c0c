"""Registry records as JSON and back. The stored form carries a protocol number; old readers stay."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any, cast

import orjson

from flyball.errors import Corrupt
from flyball.registry.records import Deployment, Fallback, Lineage, Listed, RuleResult, Stage, Verdict, Version
from flyball.stats.estimate import Estimate
from flyball.store import moment

FORMAT = 1


def dump(record: Version | Deployment | Verdict) -> str:
    """The record as JSON text; times as RFC 3339."""
    return orjson.dumps({"format": FORMAT, **_plain(record)}, option=orjson.OPT_NON_STR_KEYS).decode()


def plain(record: object) -> dict[str, Any]:
    """The record as JSON values, for people's and programs' eyes."""
    return _plain(record)


def load_version(text: str, *, stage: Stage) -> Version:
    value = _fields(text)
    lineage = value["lineage"]
    return Version(
        **{
            **value,
            "created_at": moment(value["created_at"]),
            "metrics": {name: Estimate(**item) for name, item in value["metrics"].items()},
            "lineage": Lineage(
                **{
                    **lineage,
                    "data_start": _moment(lineage["data_start"]),
                    "data_end": _moment(lineage["data_end"]),
                    "degraded": tuple(
                        Fallback(**{**item, "decided_at": moment(item["decided_at"])})
                        for item in lineage.get("degraded", ())
                    ),
                }
            ),
            "stage": stage,
        }
    )


def load_listed(text: str, *, stage: Stage, metrics: int) -> Listed:
    """Of a version's record what a list shows, with the first `metrics` of its metrics: a tenth of the work."""
    value = _fields(text)
    lineage = value["lineage"]
    return Listed(
        number=value["number"],
        label=value["label"],
        stage=stage,
        created_at=moment(value["created_at"]),
        metrics={name: Estimate(**item) for name, item in islice(value["metrics"].items(), metrics)},
        data_rows=lineage["data_rows"],
        data_end=_moment(lineage["data_end"]),
        reason=lineage["reason"],
    )


def load_deployment(text: str, *, generation: int) -> Deployment:
    value = _fields(text)
    return Deployment(
        **{
            **value,
            "generation": generation,
            "bundles": {int(number): tuple(bundle) for number, bundle in value["bundles"].items()},
            "shadow": tuple(value["shadow"]),
            "at": moment(value["at"]),
        }
    )


def load_verdict(text: str) -> Verdict:
    value = _fields(text)
    return Verdict(
        **{
            **value,
            "data_start": _moment(value["data_start"]),
            "data_end": _moment(value["data_end"]),
            "results": tuple(
                RuleResult(**{**item, "difference": Estimate(**item["difference"]) if item["difference"] else None})
                for item in value["results"]
            ),
            "at": moment(value["at"]),
        }
    )


def _plain(record: object) -> dict[str, Any]:
    return cast(dict[str, Any], orjson.loads(orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS)))


def _fields(text: str) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(text)
    found = value.pop("format", None)
    if found != FORMAT:
        raise Corrupt(f"a registry record has format {found}, this release reads {FORMAT}; upgrade Flyball")
    return value


def _moment(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
