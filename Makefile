# make demo    hear two voices come apart
# make test    lint, types and tests (WITH_TORCH=1 adds the agreement tests against PyTorch, jax and onnx)
# make law     the law as plain Python with line coverage, then compiled with bounds checks
# make docs    build the documentation site; a warning is an error
# make mutation   faults of every kind in the law: which of them no test sees (half an hour; JOBS=2)
# make fuzz    damaged files of every kind that is read (a quarter of an hour; COUNT=100000 SEED=0 JOBS=2)
# make lint    ruff and mypy alone;  make format, make wheel, make clean, make distclean
#
# Each target makes its own .venv and installs what it needs. Set PYTHON to choose the interpreter
# (3.11 or newer), PYTEST_ARGS to pass options to pytest.

SHELL := /bin/sh
.DEFAULT_GOAL := test
.PHONY: demo test law mutation fuzz lint format docs wheel clean distclean

TORCH := torch==2.13.0
RUN := .venv/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check

# Installed scripts and the editable install hold the full path of this folder, so the stamps carry its
# checksum: after a move everything is installed again.
HERE := $(shell pwd -P | cksum | cut -d ' ' -f 1)
VENV_DONE := .venv/venv-$(HERE).done
TORCH_DONE := .venv/torch-$(HERE).done
DEMO_DONE := .venv/demo-$(HERE).done
TEST_DONE := .venv/test-$(HERE).done
DOCS_DONE := .venv/docs-$(HERE).done

ifeq ($(WITH_TORCH)$(REFBSS_TORCH),)
TORCH_WANTED :=
else
TORCH_WANTED := $(TORCH_DONE)
export REFBSS_TORCH := 1
endif

demo: $(DEMO_DONE)
	@.venv/bin/refbss demo --out demo-out

# Lint does not keep the tests from running: one run shows all that is wrong.
test: $(TEST_DONE)
	@clean=yes; \
	$(RUN) -m ruff check . || clean=; \
	$(RUN) -m mypy || clean=; \
	$(RUN) -m pytest -q $(PYTEST_ARGS) || exit 1; \
	[ -n "$$clean" ] || { echo "the tests passed, but ruff or mypy complained: see above" >&2; exit 1; }

# The tests that need nothing but the law and its judges; tests/fast joins them under bounds checks.
# The test that compiles the kernels three times over asks which process computes, not where it reads.
LAW := tests/contract tests/losses tests/priors tests/math tests/golden
COMPILING := --ignore tests/fast/test_first_process.py

# Compiled kernels are cached without regard to bounds checks, so these have a folder of their own.
law: $(TEST_DONE)
	@mkdir -p build
	@echo "the law as plain Python"
	@NUMBA_DISABLE_JIT=1 $(RUN) -m coverage run -m pytest -q $(LAW)
	@$(RUN) -m coverage report
	@echo "the law compiled with bounds checks"
	@NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=build/boundscheck $(RUN) -m pytest -q $(LAW) tests/fast $(COMPILING)

JOBS := 2
mutation: $(TEST_DONE)
	@mkdir -p build
	@$(RUN) tests/mutation --jobs $(JOBS) --json build/mutation.json

COUNT := 100000
SEED := 0
fuzz: $(TEST_DONE)
	@$(RUN) tests/robustness --count $(COUNT) --seed $(SEED) --jobs $(JOBS)

lint: $(TEST_DONE)
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy

format: $(TEST_DONE)
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

docs: $(DOCS_DONE)
	@rm -rf build/docs build/doctrees
	@$(RUN) -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo "the site: build/docs/index.html"

wheel: $(VENV_DONE)
	@rm -rf build
	@$(RUN) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build refbss.egg-info
	@ls dist

clean:
	@rm -rf build dist demo-out refbss.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find refbss cli tests golden -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	@rm -rf .venv

# PyTorch comes first: whatever else wants it then finds this version.
$(TORCH_DONE): pyproject.toml $(VENV_DONE)
	@echo "installing $(TORCH), jax and onnx"
	@$(PIP) "$(TORCH)"
	@$(PIP) --no-build-isolation -e ".[check]"
	@touch "$@"

$(DEMO_DONE): pyproject.toml $(VENV_DONE)
	@echo "installing refbss into .venv"
	@$(PIP) --no-build-isolation -e ".[plot]"
	@touch "$@"

$(TEST_DONE): pyproject.toml $(VENV_DONE) | $(TORCH_WANTED)
	@echo "installing refbss and its test tools into .venv"
	@$(PIP) --no-build-isolation -e ".[plot,test,dev]"
	@touch "$@" "$(DEMO_DONE)"

$(DOCS_DONE): pyproject.toml $(VENV_DONE)
	@echo "installing refbss and Sphinx into .venv"
	@$(PIP) --no-build-isolation -e ".[docs]"
	@touch "$@"

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

$(VENV_DONE):
	@if ! $(RUN) -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	  new=; found=; \
	  for python in "$(PYTHON)" python3 python3.13 python3.12 python3.11 python; do \
	    [ -n "$$python" ] && "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null || continue; \
	    new="$$python"; \
	    "$$python" -c 'import ensurepip, venv' 2>/dev/null || continue; \
	    found="$$python"; break; \
	  done; \
	  if [ -z "$$new" ]; then \
	    echo "refbss needs Python 3.11 or newer and found none (tried: $(PYTHON) python3 python3.13 python3.12 python3.11 python)." >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	  fi; \
	  if [ -z "$$found" ]; then \
	    echo "$$new cannot make virtual environments: its module ensurepip is missing." >&2; \
	    echo "On Debian and Ubuntu install the package python3-venv, then run make again." >&2; exit 1; \
	  fi; \
	  echo "making .venv with $$found"; \
	  "$$found" -m venv --clear .venv; \
	fi
	@$(PIP) "setuptools>=77"
	@touch "$@"
