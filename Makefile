# make demo [PHOTO=me.jpg]   an avatar from a photo, turning and walking, into out/demo
# make test                  the whole test suite
# Both make a virtual environment in .venv first; nothing else has to be installed by hand.

PYTHON ?= python3
BIN := .venv/bin
PHOTO ?=

.PHONY: demo test lint setup clean browser

setup: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("dinar needs Python 3.10 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/.done
	$(BIN)/dinar demo $(if $(PHOTO),"$(PHOTO)") --out out/demo

test: .venv/.done
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pyright
	$(BIN)/python -m pytest --durations=10

lint: .venv/.done
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pyright

clean:
	rm -rf .venv build dist out

# What the GLB tests need beyond Python: the validator and three.js from npm, and Chromium from Debian.
browser:
	cd tests/gltf && npm ci --no-audit --no-fund
	command -v chromium || (apt-get update -qq && apt-get install -y -qq chromium)
