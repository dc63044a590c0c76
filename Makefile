# Two commands: `make demo` shows what this does, `make test` proves it. Each sets itself up.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test test-browser check clean

demo: .venv/installed
	$(BIN)/sega-session demo

test: .venv/installed-test
	$(BIN)/python -m pytest

# In JupyterLab and in Voilà. Debian's chromium runs where browsers from elsewhere may not.
test-browser: .venv/installed-browser
	command -v chromium || { \
	  sudo=$$(test "$$(id -u)" = 0 || echo sudo); \
	  $$sudo apt-get update && $$sudo apt-get install -y --no-install-recommends chromium; \
	}
	$(BIN)/python -m pytest tests/browser

check: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,check]"
	touch $@

.venv/installed-browser: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[browser]"
	touch $@
