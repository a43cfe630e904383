# The targets below; `make` alone lists them.
PYTHON ?= python3
# UPGRADE=1: take the newest releases that the ranges allow, and not only what is missing.
LOCK = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-emit-index-url --no-emit-find-links --no-header $(if $(UPGRADE),--upgrade)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run ## serve on 127.0.0.1:8000 (PORT changes it), with a first user and token if there are none
	@.venv/bin/flask quickstart && exec .venv/bin/gunicorn --bind 127.0.0.1:$${PORT:-8000} wsgi:app

check: .venv/dev ## lint, format and types
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

format: .venv/dev ## sort the imports and format the code
	@.venv/bin/ruff check --select I --fix . && .venv/bin/ruff format .

unit: .venv/dev ## the tests that need no server and no more than a moment
	@.venv/bin/pytest -n auto -m "not server and not stress"

test: .venv/dev ## install what the tests need, and run them all
	@./tests/install-servers && .venv/bin/pytest -n 2 --dist worksteal

image-test: .venv/dev ## build the image of the Dockerfile without Docker, and run it
	@./tests/install-servers && .venv/bin/pytest tests/image

coverage: .venv/dev ## all tests, and which branches of billing/ they took
	@./tests/install-servers && .venv/bin/pytest --cov --cov-report=term-missing:skip-covered

soak: .venv/dev ## drills of minutes, before a release: faults and fuzz
	@./tests/install-servers && .venv/bin/pytest soak

audit: .venv/dev ## known vulnerabilities of the locked dependencies
	@./soak/audit

release-check: .venv/dev ## what must hold before a release is tagged: tree, versions, changelog, locks
	@.venv/bin/python soak/release_check.py $(LOCK)

bench: .venv/dev wrk ## what a request costs beside a bare Flask route, in about 9 minutes
	@.venv/bin/python bench/run.py

bench-data: .venv/dev .bench/logs.db ## what daily costs take over millions of log rows; makes 4 GB of them first
	@.venv/bin/python bench/daily.py .bench/logs.db

bench-cache: .venv/dev .bench/written.db .bench/lean.db ## what the usage cache costs, at 5 and 50 million log rows; makes 11 GB of them first
	@.venv/bin/python bench/cache.py .bench/written.db --mariadb-rows 2000000
	@.venv/bin/python bench/cache.py .bench/lean.db --parts warm light
	@rm -f .bench/written.db .bench/lean.db

.bench/logs.db .bench/written.db: bench/data.py
	@mkdir -p .bench && rm -f $@ && .venv/bin/python bench/data.py $@

.bench/lean.db: bench/data.py
	@mkdir -p .bench && rm -f $@ && .venv/bin/python bench/data.py $@ --rows 50000000 --lean

wrk:
	@./tests/install-servers && { command -v wrk >/dev/null || apt-get install -y -qq wrk; }

lock: .venv/dev ## write requirements.txt and requirements-dev.txt from their .in files; UPGRADE=1: newest releases
	@$(LOCK) -o requirements.txt requirements.in && $(LOCK) -o requirements-dev.txt requirements-dev.in

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 …")'
	@$(PYTHON) -m venv .venv

.venv/run: requirements.txt | .venv/bin/pip
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt && touch $@

# mysqlclient comes as source: what builds it must be there before pip asks.
.venv/dev: requirements-dev.txt | .venv/bin/pip
	@./tests/install-servers build && .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt && touch $@ .venv/run

.PHONY: help run check format unit test image-test coverage soak audit release-check bench bench-data bench-cache wrk lock
