# Every target that needs Python packages sets itself up first; `make setup` alone is never needed.
PORT ?=

VENV := .venv
MNIST_CNN := $(VENV)/bin/mnist-cnn
# Both are read from the environment, where make puts them, so that no character is parsed.
WHAT = $(if $(EXPERIMENT),"$$EXPERIMENT") $(if $(DATA),--data "$$DATA")

.DEFAULT_GOAL := help
.PHONY: help setup search ui dashboard promote serve test test-compatibility test-faults check bench lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' \
		| awk -F '\t' '{ printf "  make %-19s %s\n", $$1, $$2 }'

setup: $(VENV)/.done ## install the locked packages into .venv

# `.done` has the folder that it was made for. It is made again only when the lock or pyproject.toml
# changed, in a project that was moved or copied, and when its Python is gone.
STALE := $(shell [ -x $(VENV)/bin/python ] && [ "$$(cat $(VENV)/.done 2> /dev/null)" = "$$(pwd -P)" ] \
	|| echo stale)
.PHONY: stale
$(VENV)/.done: requirements.lock pyproject.toml $(STALE)
	@sh setup.sh $(VENV)

search: $(VENV)/.done ## start or resume a search: EXPERIMENT= DATA=path TRIALS= TIMEOUT=seconds WORKERS= STUDY=
	@$(MNIST_CNN) search $(WHAT) $(if $(TRIALS),--trials '$(TRIALS)') \
		$(if $(TIMEOUT),--timeout '$(TIMEOUT)') $(if $(WORKERS),--workers '$(WORKERS)') \
		$(if $(STUDY),--study '$(STUDY)')

ui: $(VENV)/.done ## open the MLflow UI: PORT=
	@$(MNIST_CNN) ui $(if $(PORT),--port '$(PORT)')

dashboard: $(VENV)/.done ## serve optuna-dashboard: PORT=
	@$(VENV)/bin/python -c "import optuna_dashboard" 2> /dev/null \
		|| $(VENV)/bin/uv pip install --quiet --python $(VENV) --no-deps -r requirements-dashboard.lock
	@$(MNIST_CNN) dashboard $(if $(PORT),--port '$(PORT)')

serve: $(VENV)/.done ## draw digits in a browser, and the champion classifies them: DATA=path PORT=
	@$(MNIST_CNN) serve $(if $(DATA),--data "$$DATA") $(if $(PORT),--port '$(PORT)')

promote: $(VENV)/.done ## test the best model once, and register it: EXPERIMENT= DATA=path RUN= MAX_PARAMETERS= MIN_ACCURACY= ENSEMBLE=1 CALIBRATE=1
	@$(MNIST_CNN) promote $(WHAT) $(if $(RUN),--run '$(RUN)') \
		$(if $(MAX_PARAMETERS),--max-parameters '$(MAX_PARAMETERS)') \
		$(if $(MIN_ACCURACY),--min-accuracy '$(MIN_ACCURACY)') $(if $(ENSEMBLE),--ensemble) \
		$(if $(CALIBRATE),--calibrate)

test: $(VENV)/.done ## run the tests
	@$(VENV)/bin/pytest -n 2 --dist loadfile -m 'not slow and not compatibility'

test-compatibility: $(VENV)/.done ## run the tests with models, tools and folders of all kinds
	@$(VENV)/bin/pytest -n 2 --dist loadfile -m 'compatibility and not slow'

test-faults: $(VENV)/.done ## run the fault-injection tests (half an hour)
	@$(VENV)/bin/pytest -n 2 --dist loadfile -m slow tests/system

check: $(VENV)/.done ## lint, formatting, types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

bench: $(VENV)/.done ## compare with KerasTuner, Optuna and Ray Tune (hours): SECONDS= SEEDS=
	@$(VENV)/bin/python benchmarks/bench.py $(if $(SECONDS),--seconds '$(SECONDS)') \
		$(if $(SEEDS),--seeds '$(SEEDS)')

UV_LOCK := $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes \
	--no-emit-index-url --no-header --python-version 3.11 --upgrade pyproject.toml

lock: $(VENV)/.done ## refresh requirements.lock, and those of the extras, from pyproject.toml
	@$(UV_LOCK) --extra dev -o requirements.lock
	@for extra in jax gpu dashboard cluster; do \
		$(UV_LOCK) --extra $$extra --no-annotate -c requirements.lock -o requirements-$$extra.lock \
			$$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock) \
			|| exit 1; \
	done

clean: ## remove .venv and caches; mlruns/ stays
	@rm -rf $(VENV) $(VENV)-* .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
