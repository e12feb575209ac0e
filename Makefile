# Three commands for a fresh machine: `make run`, `make demo` and `make test`. All use the same build profile.
.DEFAULT_GOAL := help
.PHONY: attack-tables bench-audit bench-judge bench-pipeline help run demo build judge-server test test-judge chaos lint fmt bench deny tools runtimes

ASSAY := target/debug/assay
RUNTIMES := .assay/runtimes
# Worker and floor are measured with the allocator of the image (deploy/Dockerfile), where it is installed.
JEMALLOC := $(firstword $(wildcard /usr/lib/*/libjemalloc.so.2))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Verify the fixture jobs on SQLite, without model or broker
	@$(ASSAY) run --report html=.assay/report.html --report json=.assay/report.json
	@echo "report: .assay/report.html; the log of a job: $(ASSAY) log job_csv_cleaned"

demo: build ## The whole pool for a minute: RabbitMQ, PostgreSQL, two workers, settlement, all fixtures
	@deploy/demo

build: tools runtimes ## Build what is missing
	@cargo build --locked --bin assay
	@for runtime in $(RUNTIMES)/*.wasm; do test ! -e $$runtime || $(ASSAY) check --inspect $$runtime >/dev/null || exit; done

runtimes: $(RUNTIMES)/python.wasm.sha256 $(RUNTIMES)/javascript.wasm.sha256 ## Build the interpreters of Python and JavaScript checks

$(RUNTIMES)/%.wasm.sha256: graders/runtimes/build $(wildcard graders/wit/*.wit)
	@graders/runtimes/build $* $(RUNTIMES)

$(RUNTIMES)/python.wasm.sha256: $(wildcard graders/runtimes/python/*.*)
$(RUNTIMES)/javascript.wasm.sha256: $(wildcard graders/runtimes/javascript/*.*)

# Many tests wait for leases and servers: one more at a time than there are processors.
test: lint build ## Everything: format, lints, plans, all tests against private servers
	tests/servers run cargo test --locked -- --test-threads $$(($$(nproc) + 1))
	$(ASSAY) plan check
	@echo "all good"

judge-server: ## Install a small real model for tests: llama.cpp's server, built once, and SmolLM2 135M
	@tests/judge-server install

# Tests that ask a real model are ignored elsewhere, so that none that was skipped counts as passed.
test-judge: build ## Rubric, streaming, recording and calibration against that model
	tests/judge-server run cargo test --locked --test it judge_server:: -- --ignored --test-threads 1 --nocapture

attack-tables: build ## The tables of attacks in docs/judging.md, made anew
	@tests/attack-tables

chaos: build ## 2,000 jobs a scenario, disputes of 500, while processes are killed and servers restarted: nothing is lost or doubled
	ASSAY_CHAOS_JOBS=2000 tests/servers run cargo test --locked --test it -- pool:: reverify::sets:: --nocapture --test-threads 1 --include-ignored

lint: tools ## Format and lints, also of what only the feature otel compiles
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --lib --bins --features otel -- -D warnings

fmt: ## Format the code
	cargo fmt

bench: build ## Measure: checks beside bare wasmtime, python3 and node; comparators beside GNU diff
	cargo bench --locked --profile dev --bench check
	cargo bench --locked --profile dev --bench compare
	cargo bench --locked --profile dev --bench scripts

bench-pipeline: build ## Measure: one worker beside a bare floor, on private RabbitMQ and PostgreSQL
	@test -n "$(JEMALLOC)" || echo "without jemalloc, which the image has: apt-get install libjemalloc2" >&2
	cargo bench --locked --profile dev --bench pipeline --no-run
	tests/servers run env $(addprefix LD_PRELOAD=,$(JEMALLOC)) cargo bench --locked --profile dev --bench pipeline

bench-judge: build ## Measure: rubric calls beside the ideal, and a budget that three processes share
	tests/servers run cargo bench --locked --profile dev --bench judge

bench-audit: build ## Measure: an audit of 10,000 verifications
	tests/servers run cargo bench --locked --profile dev --bench audit

deny: ## Licences, sources and advisories (needs cargo-deny and its database)
	cargo deny check

# A C compiler is needed once, for SQLite and aws-lc; everything else is Rust.
tools:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs, then run this again" >&2; exit 2; }
	@command -v cc >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq gcc libc6-dev; \
	  else echo "a C compiler is missing: apt-get install gcc libc6-dev" >&2; exit 2; fi; }
