# make demo and make test are all that a fresh machine with Python 3.11 and make needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(firstword $(shell command -v python3.11 python3 2>/dev/null))
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out
SOURCE ?=
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
# The proof takes the Pi's Python from Debian's arm64 packages.
PROVE := $(if $(and $(shell command -v qemu-aarch64-static),$(shell command -v apt-get)),--prove)
comma := ,
INPUTS := setup.cfg setup.py pyproject.toml constraints.txt .ci/install_torch.py
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: help setup demo test test-all lint format bench clean

help:  ## this list
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 /p' $(MAKEFILE_LIST) | awk '{ printf "  make %-10s", $$2; $$1 = $$2 = ""; print }'

demo: $(OUT)/lane.edgeseg $(OUT)/lane-pi.edgeseg $(OUT)/lane-jetson.edgeseg  ## pack lane-unet for this machine, a Raspberry Pi and a Jetson, run it [SOURCE=photo or video], write a report
	$(BIN)/edge-seg run $(OUT)/lane.edgeseg lane-test --trust -o $(OUT)/masks
	@$(BIN)/edge-seg inspect $(OUT)/lane.edgeseg --report $(OUT)/report.html
	@echo
	@echo "the bundle            $(OUT)/lane.edgeseg"
	@echo "its report            $(OUT)/report.html   (open it in a browser)"
	@echo "the tournament        $(OUT)/pack.json"
	@echo "for a Raspberry Pi    $(OUT)/lane-pi.edgeseg$(if $(PROVE),, (not proven: sudo apt install qemu-user-static))"
	@echo "for a Jetson          $(OUT)/lane-jetson.edgeseg"
	@echo "masks, shipped frames $(OUT)/masks"
ifneq ($(SOURCE),)
	@echo "masks, your frames    $(OUT)/source"
	$(BIN)/edge-seg run $(OUT)/lane.edgeseg "$(SOURCE)" --trust -o $(OUT)/source
else
	@echo "on your own picture   make demo SOURCE=road.jpg"
endif

$(OUT)/lane.edgeseg: $(VENV)/.pack edge_seg/models/weights/lane-unet.safetensors $(wildcard calibration_sets/lane-*/frameset.json)
	@mkdir -p $(OUT)
	@echo "== packing: every engine is measured, about 3 minutes on 2 free cores"
	$(BIN)/edge-seg pack --target x86 -o $@ --json $(OUT)/pack.json

$(OUT)/lane-pi.edgeseg: $(OUT)/lane.edgeseg
	@echo "== packing for a Raspberry Pi$(if $(PROVE),$(comma) proven on its emulated processors): about 3 minutes"
	$(BIN)/edge-seg pack --target raspberry-pi $(PROVE) -o $@ --json $(OUT)/pack-pi.json

$(OUT)/lane-jetson.edgeseg: $(OUT)/lane.edgeseg
	@echo "== packing for a Jetson, checked by NVIDIA's builder: about 2 minutes"
	$(BIN)/edge-seg pack --target jetson -o $@ --json $(OUT)/pack-jetson.json

setup: $(VENV)/.dev  ## install everything for development into .venv (demo and test do it too)

test: lint  ## style, types and every quick test, with coverage; what CI runs
	$(BIN)/pytest -m "not slow" --cov --cov-report=term:skip-covered

test-all: lint  ## the same with the slow tests
	$(BIN)/pytest --cov --cov-report=term:skip-covered

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## let ruff put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev  ## the bundle against each engine's usual pipeline, side by side
	$(BIN)/python -m benchmarks pipelines

clean:  ## remove .venv, out and caches
	rm -rf $(VENV) $(OUT) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up: each step is skipped while what it depends on has not changed ---

$(VENV)/.venv:
	@test -n "$(PYTHON)" || { echo "error: no python3 found: sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11: install Python 3.11, then make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: $(PYTHON) cannot make virtual environments: sudo apt install python3-venv" >&2; exit 1; }
	@echo "== 1/3 virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@touch $@

# A new pip: older ones download whole wheels to answer what they would install.
$(VENV)/.torch: $(VENV)/.venv .ci/install_torch.py constraints.txt
	$(INSTALL) --quiet pip
	@echo "== 2/3 torch $(TORCH), CPU build"
	$(BIN)/python .ci/install_torch.py $(TORCH)
	@touch $@

$(VENV)/.pack: $(VENV)/.torch $(INPUTS)
	@echo "== 3/3 edge-seg with what packing needs"
	$(INSTALL) -e '.[pack,jetson-check]'
	@touch $@

$(VENV)/.dev: $(VENV)/.torch $(INPUTS)
	@echo "== 3/3 edge-seg with what development needs"
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.pack
