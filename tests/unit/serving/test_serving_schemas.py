"""What clients are told of a model's timestamps before their first request."""

from __future__ import annotations

from flyball.engine.contract import Contract, Feature
from flyball.serving.protocols import v1, v2
from flyball.serving.protocols.schemas import feature_schema, row_schema

ASKED = Feature(
    name="asked",
    kind="timestamp",
    nullable=True,
    timezone="Europe/Berlin",
    earliest="2013-01-01T00:00:00.000000Z",
    latest="2013-12-31T23:00:00.000000Z",
)
BORN = Feature(name="born", kind="timestamp", nullable=False)
OF = Contract(
    model="m",
    task="regression",
    features=(ASKED, BORN),
    classes=(),
    positive=None,
    example={"asked": "2013-08-01T12:00:00.000000Z", "born": "1980-02-29T00:00:00.000000"},
)


def test_a_time_with_a_zone_is_an_rfc_3339_date_time() -> None:
    """With the range seen in training, and the zone that the model sees it in."""
    assert feature_schema(ASKED) == {
        "type": ["string", "null"],
        "format": "date-time",
        "description": (
            "In training: 2013-01-01T00:00:00.000000Z to 2013-12-31T23:00:00.000000Z."
            " With Z or an offset; the model sees it in Europe/Berlin."
        ),
        "x-range-seen": ["2013-01-01T00:00:00.000000Z", "2013-12-31T23:00:00.000000Z"],
    }


def test_a_time_without_a_zone_is_a_local_date_time() -> None:
    """RFC 3339 has none without a zone; OpenAPI's registry of formats has."""
    assert feature_schema(BORN) == {"type": "string", "format": "date-time-local", "description": "Without a zone."}


def test_the_example_is_one_that_the_contract_allows() -> None:
    """As OpenAPI shows it."""
    assert row_schema(OF)["examples"] == [dict(OF.example)]


def test_tensors_of_times_are_text() -> None:
    """In the metadata of both inference protocols; there is no tensor of all features."""
    assert [item["datatype"] for item in v2.metadata(OF, 1)["inputs"]] == ["BYTES", "BYTES"]
    inputs = v1.metadata(OF, 1)["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    assert [item["dtype"] for item in inputs.values()] == ["DT_STRING", "DT_STRING"]
    assert v2.MATRIX not in str(v2.describe(OF).note)
