# Every target makes the environment first, if it is not there. `make` alone lists them.
VENV ?= .venv
PYTHON ?=
PIP_ARGS ?=
DURATION ?= 30
INPUT ?=
RECORD ?=
SEGMENTER ?=
VIEW ?=
OUTPUT ?= demo_output
TESTS ?= test
PYTEST_ARGS ?=
BENCH_ARGS ?=
DOCS_BUILDER ?= html

PY := $(abspath $(VENV))/bin/python
# The demo, the benchmark and the tests choose a ROS domain of their own unless ROS_DOMAIN_ID is set.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

.DEFAULT_GOAL := help
.PHONY: help env demo animation test test-slow bench bench-gpu docs lint lock ros-deps ros-build ros-test test-ros clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 8
	@echo 'Variables: VENV=folder (default .venv; may be shared), PYTHON=interpreter, PIP_ARGS="options for pip install"'

env: ## Make the Python environment (ROS 2, torch, tools); returns at once if it is there
	@python3 environment/make_env.py --venv '$(VENV)' --python '$(PYTHON)' --pip-args '$(PIP_ARGS)'

demo: env ## Pose objects of a synthetic camera, a recording or a folder: DURATION=seconds OUTPUT=folder INPUT=path RECORD=1 SEGMENTER=shipped|labels|yolo:weights VIEW=1
	@'$(PY)' -m clipose_ros.cli.demo --duration '$(DURATION)' --output '$(OUTPUT)' $(if $(INPUT),--input '$(INPUT)') \
		$(if $(SEGMENTER),--segmenter '$(SEGMENTER)') $(if $(filter-out 0,$(RECORD)),--record) \
		$(if $(filter-out 0,$(VIEW)),--view)

animation: env ## Make the moving picture of the README: a simulated table with true masks
	@'$(PY)' -m clipose_ros.cli.demo --segmenter labels --seed 8 --rate 10 --duration 13 --animation 11.8 --output '$(OUTPUT)'
	cp '$(OUTPUT)/demo.webp' docs/images/demo.webp

test: env ## Run the tests but for the slow ones: TESTS=path PYTEST_ARGS=options
	ROS_PYTHON_CHECK_FIELDS=1 '$(PY)' -m pytest $(TESTS) $(PYTEST_ARGS)

test-slow: env ## Run the slow tests (training runs, notebooks, browser, long fuzzing): TESTS=path PYTEST_ARGS=options
	ROS_PYTHON_CHECK_FIELDS=1 '$(PY)' -m pytest -m slow $(TESTS) $(PYTEST_ARGS)

bench: env ## Measure stages and the whole way on this machine, which should be idle: BENCH_ARGS=options
	@'$(PY)' -m clipose_ros.cli.benchmark $(BENCH_ARGS)

bench-gpu: env ## Measure engines, pipeline and training step on a GPU in under 8 minutes; fails without a GPU: BENCH_ARGS=options
	@timeout --signal=INT 470 '$(PY)' -m clipose_ros.cli.benchmark --gpu $(BENCH_ARGS)

docs: env ## Build the documentation site in docs/_build: DOCS_BUILDER=html|linkcheck
	@'$(PY)' environment/make_docs_env.py --venv '$(VENV)' --pip-args '$(PIP_ARGS)'
	PYTHONPATH='$(abspath $(VENV))/docs-packages:$(PYTHONPATH)' '$(PY)' -m sphinx -W --keep-going -q -b $(DOCS_BUILDER) docs docs/_build/$(DOCS_BUILDER)
	@echo 'docs/_build/$(DOCS_BUILDER)/index.html'

lint: env ## Style, types and layers
	'$(PY)' -m ruff check .
	'$(PY)' -m ruff format --check .
	'$(PY)' -m mypy
	'$(dir $(PY))lint-imports'

lock: env ## Renew the constraints files in environment/
	'$(PY)' environment/lock.py

ros-deps: ## Install what the package needs from the sourced ROS 2 distribution (rosdep, apt)
	.ci/ros deps

ros-build: ## Build with colcon against the sourced ROS 2 distribution
	.ci/ros build '$(VENV)'

ros-test: ## Run tests, launch tests and ament linters with colcon; after ros-build
	.ci/ros test '$(VENV)'

test-ros: ## Run the tests of the node and of the ROS packages against the sourced ROS 2 distribution, without colcon: PYTEST_ARGS=options
	.ci/ros pytest '$(VENV)' test/ros test/underlay $(PYTEST_ARGS)

clean: ## Remove what builds, tests and the demo leave behind; the environment stays
	rm -rf build install log docs/_build demo_output benchmark_output .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
