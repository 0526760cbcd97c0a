# The developer's interface. `make help` prints it; CI runs `check` and `test` and nothing else.
PYTHON ?= python3
UV ?= uv

.PHONY: lock
lock: ## Pin every dependency again (needs uv): requirements*.lock, hashed, without index addresses
	@OWN="$$(for m in gateway quota router billing contracts chassis devstack; do printf -- '--no-emit-package smartroute-%s ' $$m; done)"; \
	compile="$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header $$OWN"; \
	$$compile pyproject.toml --group build -o requirements.lock && \
	$$compile --group dev -c requirements.lock -o requirements-dev.lock && \
	$$compile --group model --no-deps -o requirements-model.lock
