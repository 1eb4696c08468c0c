"""What a gate's rules ask of a bundle itself."""

from __future__ import annotations

from pathlib import Path

from flyball.engine.bundle import write_bundle
from flyball.loop.evidence import measured
from flyball.project.rules import parse_rule


def test_the_size_is_that_of_what_a_server_loads(tmp_path: Path) -> None:
    """Model and contract, in millions of bytes; not the manifest, the proof, or the profile that drift is judged by."""
    files = {"model.onnx": 1_500_000, "contract.json": 250_000, "profile.json": 700_000, "parity.json": 90}
    write_bundle(tmp_path / "bundle", {name: b"x" * size for name, size in files.items()})
    assert measured(tmp_path / "bundle", [parse_rule("size_mb <= 50")]) == {"size_mb": 1.75}
    assert measured(tmp_path / "bundle", [parse_rule("auc >= 0.6")]) == {}
