# make demo     a phantom study's way through the gateway, told stage by stage (ONCE=1: ends by itself)
# make run      the gateway with conf/gateway.yaml
# make test     every test but the benchmarks
# make check    format, lint, types
# make bench    the benchmarks
# make soak     a gateway under mixed senders and intruders (MINUTES=2, SEED=1): nothing may be lost
# make fuzz     strange bytes at what reads them, guided by coverage (MINUTES=5)
# make chaos    a randomised run in which everything is killed, drawn from a seed (MINUTES=10, SEED=1)
# make lock     renew the lock files in deploy/
# make clean    remove what these targets made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= conf/gateway.yaml
BENCHES ?= intake passage deid score codec pixels delivery restore memory growth uplink

# The stamp carries the digest of what it was installed from: nothing is installed again until that changes.
digest = $(firstword $(shell cat $(1) | sha256sum))
INSTALLED := $(VENV)/.installed-$(call digest,deploy/requirements.lock pyproject.toml)
FUZZ_INSTALLED := $(VENV)/.fuzz-installed-$(call digest,deploy/requirements-fuzz.lock)
BENCH_INSTALLED := $(VENV)/.bench-installed-$(call digest,deploy/requirements-bench.lock)

DEMO_PEERS := dicom3tools
PEERS := dcmtk orthanc orthanc-dicomweb dicom3tools plastimatch libgdcm-tools strace fatrace chromium chromium-driver

.PHONY: setup demo run test check bench chaos soak fuzz lock clean peers

setup: $(INSTALLED)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || deploy/install-peers python3-venv
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r deploy/requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-* && touch $@

$(BENCH_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r deploy/requirements-bench.lock
	@rm -f $(VENV)/.bench-installed-* && touch $@

$(FUZZ_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r deploy/requirements-fuzz.lock
	@rm -f $(VENV)/.fuzz-installed-* && touch $@

peers:
	@deploy/install-peers $(PEERS)

demo: setup
	@deploy/install-peers $(DEMO_PEERS)
	@$(BIN)/gateway demo $(if $(ONCE),--once) $(if $(JSON),--json)

run: setup
	@$(BIN)/gateway run -c $(CONFIG)

test: setup peers
	$(BIN)/python -m pytest --ignore=tests/bench $(TESTS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(BENCH_INSTALLED) peers
	@for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python -m tests.bench.$$bench; done

soak: setup peers
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),2) --seed $(or $(SEED),1)

fuzz: $(FUZZ_INSTALLED)
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),5)

chaos: setup peers
	@$(BIN)/python -m tests.chaos $(or $(SEED),1) $(or $(MINUTES),10)

lock: setup
	deploy/renew-locks $(BIN)/python

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find gateway tests -name __pycache__ -type d -prune -exec rm -rf {} +
