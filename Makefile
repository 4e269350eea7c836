# `make` without a target lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.PHONY: help dev demo test test-newest test-pooler test-ha faults check supply bench services clean

# Installs missing servers. Sets DATABASE_URL and AMQP_URL, unless private servers are used.
servers = urls=$$(scripts/install-servers); eval "$$urls"
# One set of features for all checks, so that everything is built once.
features = --features failpoints
# The Debian whose servers `make test-newest` uses: forky (RabbitMQ 4.3, PostgreSQL 18) or trixie (4.0, 17).
SUITE = forky
# Parts of names: only these tests are run by `make test-newest`; empty: all.
TESTS =
# The integration tests whose names contain one of these words; one test more than cores at a time, as many only wait for a server.
integration = if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run $(features) -E 'binary(it)' --test-threads $$(( $$(nproc) + 1 )) $(1); \
	else \
		cargo build --examples $(features); \
		cargo test --test it $(features) -- $(1); \
	fi
# Further arguments of `make test-ha`, as `--only R1,B4`; and how often `make faults` runs each test.
ROUNDS =
# Parts of names: only these tests are run by `make faults`, as `crash::,races::`; empty: all.
ONLY =

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

dev: ## Start servers and every role, apply the examples, and run until Ctrl-C
	@$(servers)
	cargo run --example orders -- dev

demo: ## Run one order, then a thousand, print how they ended, and exit
	@$(servers)
	cargo run --example orders -- demo

# One test more than cores at a time: many only wait for a server.
test: ## Run all checks: format, lints, documentation, unit and integration tests
	@$(servers)
	cargo fmt --check
	cargo clippy --all-targets $(features) -- -D warnings
	cargo test --doc $(features)
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run $(features) --test-threads $$(( $$(nproc) + 1 ))
	else
		cargo test --lib --bins --tests --examples $(features)
	fi
	scripts/check-supply

# All of it, also without TESTS, is bounded: a root by scripts/newer-servers, each test by .config/nextest.toml.
test-newest: ## Run the integration tests on RabbitMQ 4.3 and PostgreSQL 18, of Debian forky (as root)
	@$(servers)
	root=$$(scripts/newer-servers $(SUITE))
	eval "$$root"
	unset DATABASE_URL AMQP_URL LEVERET_DATABASE__URL LEVERET_BROKER__URL
	$(call integration,$(TESTS))

test-pooler: ## Run the tests of crashes and races behind PgBouncer in transaction mode
	@$(servers)
	export TEST_POOLER=$${TEST_POOLER:-off}
	$(call integration,crash:: races::)

# In the same build as the tests. The servers come from a root of a newer Debian: SERVERS_ROOT, or scripts/newer-servers makes one.
test-ha: ## Break three RabbitMQ nodes and two PostgreSQL servers under load (as root, half an hour)
	@$(servers)
	cargo build --example orders $(features)
	if [ -z "$${SERVERS_ROOT:-}" ]; then root=$$(scripts/newer-servers forky); eval "$$root"; fi
	scripts/ha/run.py --root "$$SERVERS_ROOT" $(ROUNDS)

# A build of its own, with the bugs that it puts in.
faults: ## Run every test of a fault three times, then with seeded bugs; write docs/reliability.md (half an hour)
	@$(servers)
	scripts/faults/run.py --rounds $(or $(ROUNDS),3) $(if $(ONLY),--only $(ONLY))

check: ## Run all checks that need no server: less than a minute once built
	@cargo fmt --check
	cargo clippy --all-targets $(features) -- -D warnings
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run $(features) --lib --test tidy --test documents --test corpora
	else
		cargo test $(features) --lib --test tidy --test documents --test corpora
	fi
	scripts/check-supply

supply: ## Check licences, sources, duplicates and advisories of all crates (cargo-deny)
	@scripts/check-supply

bench: ## Run the benchmarks and print the table
	@$(servers)
	cargo run --release -- bench

services: ## Start the private servers and print their URLs
	@$(servers)
	cargo run --quiet -- sandbox start

clean: ## Stop the private servers and delete their data
	@scripts/stop-servers --remove .leveret
