# `make` alone lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.PHONY: help dev demo test check bench services clean

# Installs what is missing; afterwards DATABASE_URL and AMQP_URL are set if the servers are not private ones.
servers = urls=$$(scripts/install-servers); eval "$$urls"
# One set of features for everything that is tested, so that it is built once.
features = --features failpoints

help: ## List what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

dev: ## Start servers and every role, apply the examples, and stay
	@$(servers)
	cargo run --example orders -- dev

demo: ## Run one example from start to end, print its history, and exit
	@$(servers)
	cargo run --example orders -- demo

test: ## Everything a change needs: format, lints, documentation, unit and integration tests
	@$(servers)
	cargo fmt --check
	cargo clippy --all-targets $(features) -- -D warnings
	cargo test --doc $(features)
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run $(features)
	else
		cargo test --lib --bins --tests --examples $(features)
	fi

check: ## Everything that needs no server, in less than a minute once built
	@cargo fmt --check
	cargo clippy --all-targets $(features) -- -D warnings
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run $(features) --lib --test tidy --test documents
	else
		cargo test $(features) --lib --test tidy --test documents
	fi

bench: ## Measure, and print the table
	@$(servers)
	cargo run --release -- bench

services: ## Start the private servers and print their addresses
	@$(servers)
	cargo run --quiet -- sandbox start

clean: ## Stop the private servers and delete their data
	@scripts/stop-servers --remove .leveret
