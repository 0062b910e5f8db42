# Two commands for a stranger: `make run` and `make test`. The rest is for us.
.PHONY: lint test
CARGO ?= cargo

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --all-features

test:
	$(CARGO) test --features http
