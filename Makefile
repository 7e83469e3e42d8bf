# Two commands on a fresh machine: `make demo` and `make test`. All targets build the environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := $(addprefix -p cmdiad.,runtime calibration training export fleet reproduce viewing cli pretraining benchmarks)

.DEFAULT_GOAL := help
.PHONY: help demo test tests lint style types format bench docs release clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	@echo "== environment: $(VENV) (torch is large, this takes a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,train,calibrate,dev]'
	@# 240 MB that not every platform has a wheel of: 7 to 20 s here.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[tensorrt-rtx]' \
		|| echo "   no wheel of TensorRT-RTX for this platform or in this index: its tests are skipped"
	@mkdir -p $(VENV)/typing && ln -sfn ../.. $(VENV)/typing/cmdiad
	@touch $@

demo: $(READY)  ## The whole loop on synthetic parts, ending with two inspections
	@$(BIN)/cmdiad demo

test: $(READY) style  ## All checks and tests
	@# Types beside the tests: mypy has one thread, and the other processors would wait for it.
	@$(MAKE) --no-print-directory -j2 types tests

# The tests start some hundred interpreters, which need not compile the same modules each.
tests: export PYTHONDONTWRITEBYTECODE =
tests: $(READY)
	@echo "== tests: a worker a processor, each with one thread"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadscope

lint: style types

style: $(READY)
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY)
	@echo "== mypy, import contract"
	@MYPYPATH=$(VENV)/typing $(BIN)/mypy $(PACKAGES)
	@$(BIN)/lint-imports --no-cache

bench: $(READY)  ## All benchmarks; writes docs/benchmarks.md and .json
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[baselines]'
	@$(BIN)/python benchmarks/run_all.py

docs: $(READY)  ## The site, into site/, without a warning and without the internet
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "site: site/index.html"

release: $(READY)  ## Wheel, source, bill of materials and digests, into dist/; docs/release.md
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	@$(BIN)/python scripts/release.py

format: $(READY)  ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## Remove the environment and everything generated
	rm -rf $(VENV) build dist site *.egg-info demo runs bundle inspections bench .pytest_cache .mypy_cache .ruff_cache .hypothesis
