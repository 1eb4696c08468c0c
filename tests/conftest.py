"""How thoroughly properties are tried: quickly in `make test`, thoroughly in the slow stage of .ci/run."""

from __future__ import annotations

import gc
import os

from hypothesis import settings

# Modules and tests live as long as the process: garbage is not looked for among them again and again, neither while they
# are collected nor after.
gc.disable()

settings.register_profile("quick", max_examples=30, deadline=None)
settings.register_profile("thorough", max_examples=1_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
