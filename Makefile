# `make` without a target lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.PHONY: help dev demo test test-ha check bench services clean

# Installs missing servers. Sets DATABASE_URL and AMQP_URL, unless private servers are used.
servers = urls=$$(scripts/install-servers); eval "$$urls"
# One set of features for all checks, so that everything is built once.
features = --features failpoints
# Further arguments of `make test-ha`, as `--only R1,B4`.
ROUNDS =

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

# In the same build as the tests. The servers come from a root of a newer Debian: SERVERS_ROOT, or scripts/newer-servers makes one.
test-ha: ## Break three RabbitMQ nodes and two PostgreSQL servers under load (as root, half an hour)
	@$(servers)
	cargo build --example orders $(features)
	if [ -z "$${SERVERS_ROOT:-}" ]; then root=$$(scripts/newer-servers forky); eval "$$root"; fi
	scripts/ha/run.py --root "$$SERVERS_ROOT" $(ROUNDS)

check: ## Run all checks that need no server: less than a minute once built
	@cargo fmt --check
	cargo clippy --all-targets $(features) -- -D warnings
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run $(features) --lib --test tidy --test documents
	else
		cargo test $(features) --lib --test tidy --test documents
	fi

bench: ## Run the benchmarks and print the table
	@$(servers)
	cargo run --release -- bench

services: ## Start the private servers and print their URLs
	@$(servers)
	cargo run --quiet -- sandbox start

clean: ## Stop the private servers and delete their data
	@scripts/stop-servers --remove .leveret
