"""Columns in, predictions out: a version's bundle, its contract, its ONNX session, its compilation and parity proof."""
