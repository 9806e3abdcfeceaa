# The two that matter: `make demo` and `make up`. `make` alone lists them all.
PYTHON ?= python3.11
BIN := .venv/bin
PACKAGES := greenlight core events access registry approvals webhooks runners serving mlflow_api console demo
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help venv demo up test check docs e2e bench bench-quick clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: .venv/installed  ## make the virtual environment with the locked dependencies

# runs again only when a list of dependencies changed
.venv/installed: requirements.txt constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@

demo: .venv/installed  ## the whole story on real data, in a few minutes
	@$(BIN)/python -m demo

# One plain command, so that make runs it without a shell between them.
up: .venv/installed  ## run the stack in the foreground; GREENLIGHT_HOME, GREENLIGHT_PORT
	@$(BIN)/python manage.py up

# a home of their own: no test rings in a stack that runs in the default one
test e2e: export GREENLIGHT_HOME := $(CURDIR)/.tmp/tests

test: .venv/installed-dev  ## the test suite
	@rm -f .tmp/tests/broker.sqlite3*
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

e2e: .venv/installed-dev  ## only the stories through real processes and a browser
	$(BIN)/python -m pytest -m e2e -n 2 --dist loadfile tests

check: .venv/installed-dev  ## everything that reads the code without running it
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/codespell -L aproval,sav $(PACKAGES) bench tests docs README.md CHANGELOG.md
	find console/templates -name '*.html' -exec $(BIN)/djade --check --target-version 5.2 {} +
	$(BIN)/djlint --lint --ignore H015 console/templates

docs: .venv/installed  ## write the pages of docs/reference that are made from the code
	$(BIN)/python manage.py make-docs

bench: .venv/installed-dev  ## measure against peers; one line of JSON each
	$(BIN)/python -m bench

bench-quick: .venv/installed-dev  ## the same with few rounds
	$(BIN)/python -m bench --quick

clean:  ## remove what the other targets made, but no state of a stack
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
