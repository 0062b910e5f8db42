# The two commands a new contributor needs: `make run` and `make test`. `make help` lists the others.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test test-all test-rest compile test-rust test-targets test-docs installed test-python test-package \
	test-versions loom deaths churn soak test-soak watch lint lint-docs lint-package fuzz address-sanitizer \
	thread-sanitizer memcheck miri bench bench-hello bench-dask bench-black-box bench-python

CARGO ?= cargo
PYTHON ?= python3
# `make run` serves the scheduler's metrics here; the scheduler itself listens on SCHEDULER_PORT.
PORT ?= 8787
SCHEDULER_PORT ?= 8786

# Python environments live below target/: one for the newest Dask, one for each older version under test.
VENV := target/venv
OLDER := 2023.9.3 2024.8.0 2025.7.0
# `make test-all` leaves out the versions between these and the newest.
OLDER_IN_TEST := 2023.9.3 2024.8.0
.PHONY: $(OLDER:%=test-with-%)

# $(call pytest,DIRECTORY,ARGUMENTS): several clusters at a time, since their tests mostly wait. The tests of a file stay
# together, and share their cluster; tests/conftest.py puts the files in order. Clusters of real processes on a busy
# machine: what fails runs once more, by itself.
define pytest
$(1)/bin/python -m pytest -o cache_dir=$(1)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(2) || \
	{ echo "=== Once more, by itself:"; \
	$(1)/bin/python -m pytest -o cache_dir=$(1)/pytest --last-failed --last-failed-no-failures none $(2); }
endef

# The features under test: all that need no nightly compiler.
export FEATURES := http,gzip,process,segment,cli,metrics,derive,push,tower,arbitrary

# A first build takes two thirds of the time without incremental compilation. Later ones go on as the directory is.
ifeq ($(wildcard target/debug/incremental/*),)
export CARGO_INCREMENTAL := 0
endif

# $(call environment,DIRECTORY,GROUP,PACKAGES): a virtual environment with GROUP of pyproject.toml and PACKAGES.
define environment
@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
$(PYTHON) -m venv --clear $(1)
$(1)/bin/python -m pip install --quiet --upgrade pip
$(1)/bin/python -m pip install --quiet --group $(2) $(3)
touch $@
endef

# Not in Cargo.toml: in the packaged crate, which has no such member, cargo would warn.
GLUE := --config profile.quick.package.stethoscope-python.opt-level=0

# $(call install,DIRECTORY,PROFILE): this package, built and installed there as by `pip install .`.
define install
rm -rf target/wheels
$(VENV)/bin/maturin build --quiet --profile $(2) $(GLUE) --out target/wheels
$(1)/bin/python -m pip install --quiet --force-reinstall --no-deps target/wheels/*.whl
endef

$(VENV)/ready: pyproject.toml
	$(call environment,$(VENV),test)

$(OLDER:%=$(VENV)-%/ready): $(VENV)-%/ready: pyproject.toml
	$(call environment,$(VENV)-$*,older,dask==$* distributed==$*)

help: # This list.
	@sed -nE 's/^([a-z-]+):[^#]*# (.+)$$/make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s '|'

run: $(VENV)/ready # A scheduler and two workers under load; their metrics in the terminal.
	$(call install,$(VENV),quick)
	@exec $(VENV)/bin/python tests/dask/demo.py --port $(PORT) --scheduler-port $(SCHEDULER_PORT)

# Side by side: the tests of clusters mostly wait.
test: # Every test once, on the newest Dask: under 6 minutes on two idle cores, from a fresh clone.
	+@$(MAKE) --no-print-directory --output-sync=line -j3 test-rust test-python

test-all: test test-rest # The same, then everything below that needs no nightly compiler.

# The second half of `test-all`.
test-rest: loom test-package $(OLDER_IN_TEST:%=test-with-%) test-soak

# Together, so that the engine is compiled once, and all before any test of a cluster, which the compiler would slow down.
WORKSPACE := --workspace --no-default-features --features $(FEATURES)
compile:
	$(CARGO) test $(WORKSPACE) --no-run

test-rust: test-targets test-docs # The tests of the engine and of Dask's catalogue.

test-targets: compile
	$(CARGO) test $(WORKSPACE) --lib --bins --tests --examples

test-docs: compile
	$(CARGO) test $(WORKSPACE) --doc

installed: $(VENV)/ready watch
	$(call install,$(VENV),quick)

test-python: compile installed # The tests of the Python package, and of real clusters.
	$(call pytest,$(VENV),-m "not soak")

test-package: $(VENV)/ready # The tests of the unpacked crate, and crates that depend on it.
	$(VENV)/bin/python -m pytest tests/packaging

# The clusters on every supported Dask, the versions between included.
test-versions: test-python $(OLDER:%=test-with-%)

$(OLDER:%=test-with-%): test-with-%: $(VENV)-%/ready $(VENV)/ready watch
	$(call install,$(VENV)-$*,quick)
	$(call pytest,$(VENV)-$*,-m "not newest and not soak" tests/dask tests/python/test_package.py)

loom: # Every cell and table in all orders that its atomics allow.
	RUSTFLAGS="--cfg loom" $(CARGO) test --profile model --target-dir target/loom --lib models

deaths: DEATHS ?= 2000
deaths: # Processes killed at DEATHS (2000) random instants, and stopped at as many.
	STETHOSCOPE_DEATHS=$(DEATHS) $(CARGO) test --features $(FEATURES) --test deaths -- --nocapture

churn: # A million series that come and go in a segment, beside two readers.
	STETHOSCOPE_CHURN=1000000 $(CARGO) test --release --features segment --test segment_churn -- --nocapture

# The scrapers that the soak watches a cluster with.
watch:
	$(CARGO) build --quiet --profile quick $(GLUE) -p stethoscope-python --no-default-features --features watch --bin watch

# A minute of the soak.
test-soak: $(VENV)/ready watch
	$(call install,$(VENV),quick)
	$(VENV)/bin/python -m pytest -m soak tests/dask

soak: SECONDS ?= 600
soak: $(VENV)/ready watch # A cluster under churn for SECONDS (600).
	$(call install,$(VENV),quick)
	$(VENV)/bin/python tests/dask/soak.py --seconds $(SECONDS)

lint: lint-docs lint-package $(VENV)/ready # Formatting, clippy, rustdoc, ruff, dependencies, packaging.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-features --all-targets -- -D warnings \
		-D clippy::missing_errors_doc -D clippy::missing_panics_doc
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check

lint-docs:
	$(PYTHON) .ci/first_sentences.py src benches tests fuzz/targets
	$(PYTHON) .ci/type_names.py

lint-package:
	CARGO="$(CARGO)" .ci/dependencies
	CARGO="$(CARGO)" .ci/features
	CARGO="$(CARGO)" .ci/package

# Each fuzz target for SECONDS, with a nightly compiler. New inputs are kept below target/, failing ones in
# fuzz/artifacts/.
FUZZ_TARGETS := $(sort $(basename $(notdir $(wildcard fuzz/targets/*.rs))))
fuzz: SECONDS ?= 60
fuzz: target/tools/bin/cargo-fuzz # Each fuzz target for SECONDS (60); needs nightly.
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) +nightly fuzz build --target-dir target/fuzz
	@set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p target/fuzz/corpus/$$target; \
		PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) +nightly fuzz run --target-dir target/fuzz $$target \
			target/fuzz/corpus/$$target fuzz/corpus/$$target -- -max_total_time=$(SECONDS) -print_final_stats=1; \
	done

target/tools/bin/cargo-fuzz:
	$(CARGO) install --quiet --root target/tools cargo-fuzz

# The sanitizers need a target of their own, so that build scripts and macros are left alone.
HOST = $(shell rustc -vV | sed -n 's/host: //p')
# Unit tests, and the integration tests in which threads meet.
CONCURRENT := --lib --test cells --test series --test stress

address-sanitizer: # Unit and stress tests under AddressSanitizer; needs nightly.
	RUSTFLAGS="-Zsanitizer=address" $(CARGO) +nightly test --features $(FEATURES) \
		--target $(HOST) --target-dir target/address-sanitizer $(CONCURRENT)

# Without a standard library that is built for it: what it does not see of that one is suppressed.
thread-sanitizer: # The tests in which threads meet under ThreadSanitizer; needs nightly.
	RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
		TSAN_OPTIONS="suppressions=$(CURDIR)/.ci/thread-sanitizer.suppressions" \
		$(CARGO) +nightly test --target $(HOST) --target-dir target/thread-sanitizer \
		--test cells --test series --test stress -- --test-threads=1

memcheck: # The stress tests under valgrind.
	.ci/memcheck

miri: # The unit tests of the lock-free parts under Miri; needs nightly with its component miri.
	MIRIFLAGS="-Zmiri-many-seeds=0..4" $(CARGO) +nightly miri test --target-dir target/miri --lib -- \
		cell:: family::table sync:: label::

# The benchmarks of a quick run: all but those that need minutes for their question.
QUICK_BENCHES := encode gzip memory parse update
BENCH_NAME := $(CURDIR)/target/bench$(if $(QUICK),-quick)
bench: export FIGURES = $(BENCH_NAME).jsonl
bench: # Every benchmark; QUICK=1 for three minutes of it, COMPARE=file.json for the differences.
	@mkdir -p target && rm -f $(FIGURES) && touch $(BENCH_NAME).begin
ifdef QUICK
	cd benches/rivals && QUICK=1 $(CARGO) bench $(QUICK_BENCHES:%=--bench %)
	$(PYTHON) benches/figures.py collect $(FIGURES) $(BENCH_NAME).json
else
	$(CARGO) bench --features $(FEATURES)
	$(CARGO) bench -p stethoscope-python --no-default-features
	cd benches/rivals && $(CARGO) bench
	$(PYTHON) benches/figures.py collect $(FIGURES) $(BENCH_NAME).json target/criterion
endif
ifdef COMPARE
	$(PYTHON) benches/figures.py compare $(COMPARE) $(BENCH_NAME).json
endif

bench-hello: # Compile time and binary size of a small program, beside peers.
	benches/hello/run

bench-dask: $(VENV)/ready # A cluster with this page, with Dask's own, and without.
	$(call install,$(VENV),release)
	$(VENV)/bin/python benches/dask

bench-black-box: $(VENV)/ready # What black boxes cost a cluster, and the pages of what is stopped.
	$(call install,$(VENV),release)
	$(CARGO) build --quiet --release --features cli,gzip,http,segment --bin stethoscope
	$(VENV)/bin/python benches/dask/black_box.py target/release/stethoscope

bench-python: $(VENV)/ready # Updates and parsing from Python.
	$(call install,$(VENV),release)
	$(VENV)/bin/python benches/own_metrics.py
	$(VENV)/bin/python benches/parse_python.py
