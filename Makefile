# Each target installs what it needs into .venv first; nothing is assumed beyond Python 3.11, make and a package index.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test test-slow check hooks format docs bench lock clean

setup: $(VENV)/.installed  ## create .venv with every pinned dependency

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

demo: setup  ## the main job on real films: prepare, train, evaluate, export, serve, recommend
	$(BIN)/recstack demo $(ARGS)

test: setup  ## the fast tests
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadscope $(ARGS)

# Slow tests kill processes and wait for servers. Where some fail (1) and nothing else went wrong, these run once more
# with nothing beside them, and decide; the log has both.
test-slow: setup  ## the tests that train or serve for minutes
	$(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadfile $(ARGS) || \
	{ [ $$? -eq 1 ] && $(BIN)/python -m pytest -m slow --last-failed --last-failed-no-failures none; }

check: setup  ## format, lint, types, arrows between packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

hooks: setup  ## have git run `make check` before each commit
	$(BIN)/pre-commit install

bench: setup  ## the benchmarks, side by side with their peers; one at a time
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/optimizers.py
	$(BIN)/python benchmarks/encoders.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/processes.py
	$(BIN)/python benchmarks/embedding_tables.py --config configs/movielens.toml --epochs 3 --dimension 32
	$(BIN)/python benchmarks/warm_start.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/evaluation.py --users 256 --items 1000000 --only-ours
	$(BIN)/python benchmarks/index.py 100000 1000000
	$(BIN)/python benchmarks/serving_speed.py all
	$(BIN)/python benchmarks/serving_start.py made 1000000
	$(BIN)/python benchmarks/second_stage.py

format: setup  ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup  ## write docs/configuration.md and docs/modules.md anew from the docstrings
	$(BIN)/python -m recstack.reference > docs/configuration.md
	$(BIN)/python -m tests.test_module_map

lock: setup  ## compile constraints.txt anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 --no-emit-index-url --no-header --quiet -o constraints.txt

clean:
	rm -rf $(VENV) build *.egg-info
