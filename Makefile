# Two commands matter: `make lab` (set-up and the reference rehearsal) and `make test` (set-up and all tests).
# Only Python >= 3.11 and make are needed beforehand; no root, no Docker.

PYTHON ?= $(shell scripts/find-python)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOPOLOGY ?= topologies/peering-service.yaml
JOBS ?= 2

.PHONY: lab down test check unit live golden bench clean setup daemons daemons-test images docker-test

setup: $(STAMP)

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "peerlab needs Python 3.11 or newer with the venv module; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(STAMP)

lab: $(STAMP)
	$(BIN)/peerlab rehearse $(TOPOLOGY) --keep

down: $(STAMP)
	$(BIN)/peerlab down --all

test: check live

check: $(STAMP)
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(JOBS) tests/unit tests/golden tests/replay tests/contract -m "not live"

live: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests -m live

daemons:
	scripts/install-daemons

daemons-test: $(STAMP)
	PEERLAB_DAEMONS=1 $(BIN)/python -m pytest tests/daemons

images: $(STAMP)
	scripts/build-images

docker-test: $(STAMP)
	PEERLAB_DOCKER=1 $(BIN)/python -m pytest tests/docker tests/contract -m docker

golden: $(STAMP)
	PEERLAB_GOLDEN=rewrite $(BIN)/python -m pytest tests/golden

bench: $(STAMP)
	$(BIN)/python bench/rings.py
	$(BIN)/python bench/rehearsal.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
