# The front door. Each target is one line that calls the real tool; `scripts/setup.sh` does what a bare machine needs.
.PHONY: setup build demo test bench efficacy lint wheel clean

VENV := .venv
BIN := $(VENV)/bin

setup:
	@scripts/setup.sh

build:
	@scripts/build.sh

demo: setup
	@$(BIN)/atlascore demo

test: setup
	@scripts/test.sh

bench: setup
	@scripts/bench.sh

efficacy: setup
	@scripts/efficacy.sh

lint: setup
	@$(BIN)/python -m pytest tests/test_codebase.py

wheel: setup
	@$(BIN)/python -m build --wheel

clean:
	rm -rf build dist
