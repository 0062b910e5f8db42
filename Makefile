# Two commands for a stranger: `make run` and `make test`. The rest is for us.
.PHONY: bench lint test
CARGO ?= cargo

# Every benchmark: ours, then those beside the rivals, which compile only here.
bench:
	$(CARGO) bench
	cd benches/rivals && $(CARGO) bench

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --all-features

test:
	$(CARGO) test --features gzip
