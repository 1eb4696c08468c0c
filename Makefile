# Two commands for a stranger: `make demo` and `make test`. Each sets itself up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DAYS ?=
ARGS ?=

# Compiled once, whatever the environment says: otherwise every process compiles the whole package again, and the first
# ones do so all at once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check bench docs clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Flyball needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 2; }
	@printf 'Setting up $(VENV) … '; began=$$(date +%s); \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]' --group dev && \
		$(BIN)/python -m compileall -q src && \
		touch $@ && echo "done in $$(( $$(date +%s) - began )) s (once)"

demo: setup
	@$(BIN)/flyball demo $(if $(DAYS),--days $(DAYS))

test: setup
	$(BIN)/python -m pytest -q -n 2 -p no:schemathesis tests/unit
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" tests/integration tests/acceptance

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	@$(BIN)/python -m benchmarks.serving.run $(ARGS)

docs: setup
	$(BIN)/python -m pytest -q tests/acceptance/docs

clean:
	rm -rf $(VENV) .flyball .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
