# Everything that can be done with a checkout, from `make help`.
# Build output goes to $CARGO_TARGET_DIR, or target/ where that is not set.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

# Just after rustup has run, the shell does not have cargo in its path yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
export PYTHONDONTWRITEBYTECODE := 1

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
PORT ?= 8080
VARIANTS ?= $(TARGET)/variants
DENY_VERSION := 0.20.2
KUSTOMIZE_VERSION := v5.7.1
IMAGE ?= lenslet:$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)

PYTHON := $(TARGET)/venv/bin/python
# What a show exits with when the corpus it needs is not there.
SKIPPED := 77
# first_run stands last: its clone builds the last commit into the same target folder, and the others
# are about the binary of this tree.
SHOWS := mirror stampede srcset freshness corpus cost memory start slow first_run
# What it takes to be run: stores, peers, events, manifests.
RUN_SHOWS := manifests seed events info purge warm replicas outages observe
# Comparisons of speed, which whoever else uses the machine would falsify; not part of .ci/run.
SPEED_SHOWS := hit

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1|\2/p' Makefile | \
		while IFS='|' read -r target text; do printf '%-20s %s\n' "$$target" "$$text"; done

setup: ## Install the build tools that are missing (Debian, Ubuntu), or name them
	@.ci/setup build

run: setup ## Build and serve a folder of pictures: make run [DIR=~/photos] [PORT=8080]
	cargo build --locked --release
	@DIR='$(DIR)' PORT='$(PORT)' VARIANTS='$(VARIANTS)' TARGET='$(TARGET)' .ci/serve

test: setup ## Run every test
	cargo test --locked --profile checked --lib --bins --tests
	cargo test --locked --profile checked --doc

show: show-tools ## Prove the promises with the release binary and real photographs
	@failed=() skipped=(); \
	for show in $(SHOWS); do \
		printf '\n===== show-%s =====\n' "$${show//_/-}"; \
		status=0; $(PYTHON) tests/show/$$show.py || status=$$?; \
		case $$status in 0) ;; $(SKIPPED)) skipped+=("$${show//_/-}") ;; *) failed+=("$${show//_/-}") ;; esac; \
	done; \
	if (( $${#failed[@]} )); then printf '\nshow: FAILED: %s\n' "$${failed[*]}"; exit 1; fi; \
	if (( $${#skipped[@]} )); then printf '\nshow: passed, but SKIPPED: %s\n' "$${skipped[*]}"; exit 0; fi; \
	printf '\nshow: all passed\n'

show-run: ## Prove that it can be run: stores, several pods, events, manifests
	@.ci/setup servers || true
	@$(MAKE) --no-print-directory show SHOWS='$(RUN_SHOWS)'

show-speed: ## Prove how fast it is, against others on this machine: let nothing else run meanwhile
	@.ci/setup speed || true
	@$(MAKE) --no-print-directory show SHOWS='$(SPEED_SHOWS)'

# Each of them alone: make show-mirror, make show-first-run, …
SHOW_TARGETS := $(sort $(foreach show,$(SHOWS) $(RUN_SHOWS) $(SPEED_SHOWS),show-$(subst _,-,$(show))))
$(SHOW_TARGETS): show-%: show-tools
	$(PYTHON) tests/show/$(subst -,_,$*).py || (( $$? == $(SKIPPED) ))

# Other people's servers, each by name and version; PARTS='nginx azure' runs those alone. What could
# not be installed is skipped, loudly, by the part that needs it; with CI set that is a failure.
test-stores: show-tools ## Run Lenslet against real stores and caches: versitygw, Azurite, nginx, Varnish, …
	@.ci/setup servers || true
	@$(PYTHON) tests/stores/main.py $(PARTS)

show-tools: setup $(TARGET)/venv/ready
	cargo build --locked --release
	cargo build --locked --profile checked --example s3wire

$(TARGET)/venv/ready: tests/show/requirements.txt
	@.ci/setup python
	python3 -m venv "$(TARGET)/venv"
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement tests/show/requirements.txt
	@touch "$@"

lint: lint-tools fmt-check clippy doc deny ## Check format, lints, documentation, dependencies

fmt-check: lint-tools ## Check the format of the code
	cargo fmt --check

clippy: lint-tools ## Run the lints, warnings denied
	cargo clippy --locked --profile checked --all-targets -- --deny warnings

doc: setup ## Build the documentation, warnings denied
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --profile checked --no-deps --document-private-items

lint-tools:
	@.ci/setup lint

deny: $(TARGET)/tools/bin/cargo-deny ## Check licences, bans and sources of every dependency
	"$(TARGET)/tools/bin/cargo-deny" --locked check bans licenses sources

advisories: $(TARGET)/tools/bin/cargo-deny ## Check for known vulnerabilities; fetches the RustSec database
	"$(TARGET)/tools/bin/cargo-deny" --locked check advisories

# A tool that runs for two seconds: built quickly rather than well.
$(TARGET)/tools/bin/cargo-deny: Makefile
	@.ci/setup build
	@if [[ "$$("$@" --version 2>/dev/null || true)" != 'cargo-deny $(DENY_VERSION)' ]]; then \
		CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
		CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
		CARGO_TARGET_DIR="$(TARGET)/tools/build" \
		cargo install cargo-deny --locked --version $(DENY_VERSION) --root "$(TARGET)/tools" --force; \
		rm -rf "$(TARGET)/tools/build"; \
	fi
	@touch "$@"

image: ## Build the container image with docker, podman or buildah: make image [IMAGE=lenslet:dev]
	@.ci/image "$(IMAGE)"

check-deploy: $(TARGET)/deploy-venv/ready $(TARGET)/tools/bin/kustomize ## Check Dockerfile, manifests and capacity plan
	$(TARGET)/deploy-venv/bin/python tests/deploy/check.py

measure: show-tools ## Measure what requests cost on this machine, for k8s/CAPACITY.md
	$(PYTHON) tests/deploy/measure.py

capacity: $(TARGET)/deploy-venv/ready ## Draw tables and plots of k8s/CAPACITY.md anew, from measured.json and the simulation
	$(TARGET)/deploy-venv/bin/python tests/deploy/capacity.py

rules: $(TARGET)/deploy-venv/ready ## Write the PrometheusRule of k8s/ from config/alerts.yaml
	$(TARGET)/deploy-venv/bin/python tests/deploy/alert_rules.py

$(TARGET)/deploy-venv/ready: tests/deploy/requirements.txt
	@.ci/setup deploy
	python3 -m venv "$(TARGET)/deploy-venv"
	$(TARGET)/deploy-venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/deploy/requirements.txt
	@touch "$@"

# From source, by the module proxy. Where there is no Go, or too old a one, an installed kustomize or
# kubectl does.
$(TARGET)/tools/bin/kustomize: Makefile
	@.ci/setup deploy
	@if command -v go >/dev/null && \
		GOBIN="$(TARGET)/tools/bin" GOFLAGS= go install sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION); then \
		touch "$@"; \
	elif command -v kustomize >/dev/null || command -v kubectl >/dev/null; then \
		echo 'kustomize $(KUSTOMIZE_VERSION) could not be built; the one that is installed will do'; \
	else \
		echo 'kustomize is missing: install it, or kubectl, or Go 1.22.7 or newer to build it with' >&2; \
		exit 69; \
	fi

bench: setup ## Run the benchmarks
	cargo bench --locked

# PARTS='singles srcset' runs those alone and writes nothing; ROUNDS=3 is quicker and says less.
bench-peers: show-tools ## Measure against sharp, thumbor, vipsthumbnail, … in turns, into benches/RESULTS.md
	@.ci/setup peers || true
	@ROUNDS='$(ROUNDS)' $(PYTHON) benches/peers/run.py $(PARTS)

bench-cost: ## Work out what a million transformations cost, of Lenslet and of the peers
	@$(MAKE) --no-print-directory bench-peers PARTS=cost

bench-instructions: show-tools ## Count the instructions of renders and hits, against benches/instructions.json
	@.ci/setup valgrind
	$(PYTHON) benches/instructions.py $(if $(ACCEPT),--accept) || (( $$? == $(SKIPPED) ))

bench-memory: show-tools ## Measure what renders take in memory, into benches/RESULTS.md
	$(PYTHON) tests/show/memory.py --write

clean: ## Remove everything that was built, drawn and stored
	cargo clean
	rm -rf "$(TARGET)/samples" "$(TARGET)/variants" "$(TARGET)/venv" "$(TARGET)/deploy-venv" \
		"$(TARGET)/stores-venv" "$(TARGET)/npm" "$(TARGET)/tools" "$(TARGET)/peers"

.PHONY: help setup run test show show-run show-speed $(SHOW_TARGETS) test-stores show-tools lint lint-tools fmt-check clippy doc deny advisories image check-deploy measure capacity rules bench bench-instructions bench-memory bench-peers bench-cost clean
