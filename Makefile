# The two commands: `make run` starts GPT.R1, `make test` runs every test. `make bench` measures,
# `make soak` breaks.
.PHONY: run build test soak bench bench-model help

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

build: ## Build the release binary
	@cargo build --release --locked --bin gpt-r1

run: build ## Build, fetch the local model if it is missing, and start
	@./target/release/gpt-r1 model pull --if-needed
	@exec ./target/release/gpt-r1 serve

test: ## Run every test; the last line is "N passed, N failed"
	@./scripts/test

soak: ## Kills, cuts and interleavings for hours; prints seeds, stops at the first failure (R1_SEED=… R1_ROUNDS=…)
	@./scripts/soak

bench: build ## Measure beside a bare relay and nginx; writes docs/bench (BENCH="--only cost --anyway")
	@cargo run --release --locked --quiet -p gpt-r1-bench -- $(BENCH)

bench-model: build ## Measure the local model beside llama.cpp, which it builds once (ROUNDS=5 THREADS="1 2")
	@./target/release/gpt-r1 model pull --if-needed
	@python3 -B bench/model.py
