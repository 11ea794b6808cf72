# make demo    set up, then run the whole job on a synthetic cord: open demo/report.html
# make test    set up, then run all tests
# make help    the other targets

.DEFAULT_GOAL := help
PYTHON := .venv/bin/python

.PHONY: help setup demo test check lint types coverage accuracy bench bench-docs requirements clean

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

setup:          ## make .venv with pinned, hash-checked packages
	@scripts/setup

demo: setup     ## run the whole job on a synthetic cord: demo/report.html
	@.venv/bin/scimage demo demo

test: setup     ## run all tests
	@scripts/system-packages
	@scripts/with-display $(PYTHON) -m pytest

check: setup lint types test coverage  ## all that CI asks for

lint: setup     ## style, formatting, and the floors of the house
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports --no-logo

types: setup    ## strict type check of the library
	.venv/bin/mypy

coverage: setup ## kernels as plain Python, line by line, and compiled with bounds checked
	@scripts/kernel-coverage

accuracy: setup ## every data set and phantom against its truth: one table
	$(PYTHON) -m tests.accuracy.evaluate

bench: setup    ## scimage beside its peers: one table (CASES="reading detection" for a part)
	@scripts/bench-setup
	.venv-bench/bin/python -m benchmarks $(CASES)

bench-docs:     ## docs/explanation/benchmarks.md and its plots, from the last `make bench`
	.venv-bench/bin/python -m benchmarks --docs

requirements:   ## pin the newest packages that fit pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-annotate --no-header --no-emit-index-url --group dev pyproject.toml -o requirements.txt

clean:          ## remove what the other targets made
	rm -rf .venv .tools demo .coverage* .hypothesis .pytest_cache .mypy_cache .ruff_cache
