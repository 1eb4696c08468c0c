"""Flyball's worker, with one call of a native model for each request, for measuring what gathering them gains.

Takes the worker's arguments. It takes the place of a name in Flyball's modules, which nothing but a benchmark may do.
"""

from __future__ import annotations

import sys

from flyball.serving import batching, worker

if __name__ == "__main__":
    if not hasattr(batching, "MAX_ROWS"):
        raise SystemExit("batching has no MAX_ROWS any more: say here anew how one call answers one request")
    batching.MAX_ROWS = 1
    worker.main(sys.argv[1:])
