# Two commands for a stranger: `make run` and `make test`. The rest is for us.
.PHONY: run test test-rust loom test-python test-versions watch soak lint fuzz bench bench-dask bench-python
SHELL := /bin/bash

CARGO ?= cargo
PYTHON ?= python3
# `make run` serves the scheduler's metrics here; the scheduler itself listens on SCHEDULER_PORT.
PORT ?= 8787
SCHEDULER_PORT ?= 8786

# Python environments live below target/, one for the newest Dask, one for each older that is tested.
VENV := target/venv
OLDER := 2023.9.3 2024.8.0 2025.7.0
# `make test` leaves out what lies between two that it has.
OLDER_IN_TEST := 2023.9.3 2024.8.0
.PHONY: $(OLDER:%=test-with-%)

# $(call environment,DIRECTORY,GROUP,PACKAGES): a virtual environment with what pyproject.toml lists in
# GROUP, and with PACKAGES.
define environment
@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
$(PYTHON) -m venv --clear $(1)
$(1)/bin/python -m pip install --quiet --upgrade pip
$(1)/bin/python -m pip install --quiet --group $(2) $(3)
touch $@
endef

# $(call install,DIRECTORY): this package built and installed there, as `pip install .` would but quicker to build.
define install
rm -rf target/wheels
$(VENV)/bin/maturin build --quiet --profile quick --out target/wheels
$(1)/bin/python -m pip install --quiet --force-reinstall --no-deps target/wheels/*.whl
endef

$(VENV)/ready: pyproject.toml
	$(call environment,$(VENV),test)

$(OLDER:%=$(VENV)-%/ready): $(VENV)-%/ready: pyproject.toml
	$(call environment,$(VENV)-$*,older,dask==$* distributed==$*)

run: $(VENV)/ready
	$(call install,$(VENV))
	@exec $(VENV)/bin/python tests/dask/demo.py --port $(PORT) --scheduler-port $(SCHEDULER_PORT)

test: test-rust loom test-python $(OLDER_IN_TEST:%=test-with-%)

# The tests of clusters on every Dask that is supported: the newest and all older ones.
test-versions: test-python $(OLDER:%=test-with-%)

test-rust:
	$(CARGO) test --features gzip,cli
	$(CARGO) test -p stethoscope-python --no-default-features

# Every cell and table in all orders that its atomics allow.
loom:
	RUSTFLAGS="--cfg loom" $(CARGO) test --profile model --target-dir target/loom --lib models

test-python: $(VENV)/ready watch
	$(call install,$(VENV))
	$(VENV)/bin/python -m pytest

$(OLDER:%=test-with-%): test-with-%: $(VENV)-%/ready $(VENV)/ready watch
	$(call install,$(VENV)-$*)
	$(VENV)-$*/bin/python -m pytest -m "not newest" tests/dask tests/python/test_package.py

# The scrapers that the soak is watched with.
watch:
	$(CARGO) build --quiet --profile quick --example watch

# A cluster under churn for so many seconds; a minute of it is among the tests.
soak: SECONDS ?= 600
soak: $(VENV)/ready watch
	$(call install,$(VENV))
	$(VENV)/bin/python tests/dask/soak.py --seconds $(SECONDS)

lint: $(VENV)/ready
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-features --all-targets -- -D warnings
	$(CARGO) clippy --all-targets -- -D warnings
	@test "$$($(CARGO) tree --edges normal --prefix none | cut -d' ' -f1 | sort | xargs)" = "itoa ryu smallvec stethoscope" \
		|| { echo "The plain crate depends on more than itoa, ryu and smallvec:"; $(CARGO) tree --edges normal; exit 1; }
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check

# Each fuzz target for SECONDS, which needs a nightly compiler. What is found new is kept below target/,
# what ends a target in fuzz/artifacts/.
fuzz: SECONDS ?= 60
FUZZ_TARGETS := parse rewrite round_trip escaping numbers negotiation request

target/tools/bin/cargo-fuzz:
	$(CARGO) install --quiet --root target/tools cargo-fuzz

fuzz: target/tools/bin/cargo-fuzz
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) +nightly fuzz build --target-dir target/fuzz
	@set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p target/fuzz/corpus/$$target; \
		PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) +nightly fuzz run --target-dir target/fuzz $$target \
			target/fuzz/corpus/$$target fuzz/corpus/$$target -- -max_total_time=$(SECONDS) -print_final_stats=1; \
	done

# Every benchmark: ours, then those beside the rivals, which compile only here.
bench:
	$(CARGO) bench --features gzip,cli
	$(CARGO) bench -p stethoscope-python --no-default-features
	cd benches/rivals && $(CARGO) bench

bench-dask: $(VENV)/ready
	$(call install,$(VENV))
	$(VENV)/bin/python benches/dask

bench-python: $(VENV)/ready
	$(call install,$(VENV))
	$(VENV)/bin/python benches/own_metrics.py
	$(VENV)/bin/python benches/parse_python.py
