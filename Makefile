# Each target sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
NATIVE := CMakeLists.txt pyproject.toml $(wildcard native/*.* native/*/*.*)

.PHONY: help demo test lint format bench fuzz stress kills cluster rehearse floors docs clean
help:
	@grep -E '^#\? ' $(MAKEFILE_LIST) | cut -c4-

#? make demo    train a small network on generated photos, and show what it learned (two minutes)
demo: .venv/demo
	rm -rf demo
	$(BIN)/freqvision demo --output demo

#? make test    run all tests
test: .venv/all
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

#? make lint    ruff, mypy, clang-format
lint: .venv/all
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.h')

#? make format  format with ruff and clang-format
format: .venv/all
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $$(git ls-files '*.cpp' '*.h')

#? make bench   speed and bytes compared with other libraries, on ../shared (or FOLDER=photos)
bench: .venv/all
	$(BIN)/python benchmarks/loading.py $(FOLDER)

#? make fuzz    anything into reader and pipeline, with sanitizers (SECONDS=60 each, ENGINE=both: mutations, libfuzzer)
SECONDS ?= 60
ENGINE ?= both
fuzz: .venv/all
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/fuzz/run.py --seconds $(SECONDS) --engine $(ENGINE)

#? make stress  decode random batches on many threads, with the thread sanitizer
stress: .venv/all
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/stress/run.py --sanitize thread --decodes 640
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/stress/run.py --sanitize address,undefined --allocations

#? make cluster  run on two Ray nodes of this machine, one of which is killed (where Ray is installed)
cluster: .venv/all
	$(BIN)/python tests/stress/ray_nodes.py || [ $$? = 77 ]

#? make kills   kill trainings at 20 random steps each (KINDS=folder: also shards, table, detection)
KINDS ?= folder shards table detection
kills: .venv/all
	$(BIN)/python tests/stress/kills.py --data $(KINDS)

#? make rehearse  train on two machines, of which one is killed (network namespaces; needs root)
rehearse: .venv/all
	$(BIN)/python tests/training/two_nodes.py || [ $$? = 77 ]

#? make floors  quick tests with the oldest versions of all dependencies
floors:
	tests/floors.sh

#? make docs    build the documentation into docs/_build
docs: .venv/docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build

clean:
	rm -rf .venv .venv-floors build docs/_build demo

# The package with some of its extras; native code is rebuilt when it changes.
.venv/bin/python:
	$(PYTHON) -m venv .venv
.venv/demo: EXTRAS = train,report
.venv/all: EXTRAS = all,dev
.venv/docs: EXTRAS = all,docs
.venv/demo .venv/all .venv/docs: $(NATIVE) | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@
