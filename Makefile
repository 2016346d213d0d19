# make demo   environment, install, main job, a picture at the end
# make test   the test suite
# make test-apps   the Swift and Kotlin libraries and the sample apps, as far as Linux can test them
# make bench  the benchmarks that need no data of yours, into benchmarks/results; hours
# make docs   the documentation, in site/index.html
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# glibc gives big buffers back to the kernel at each call, which makes PyTorch on a CPU up to 4x slower.
export MALLOC_MMAP_THRESHOLD_ = 4294967296
export MALLOC_TRIM_THRESHOLD_ = 8589934592
export MALLOC_TOP_PAD_ = 1073741824

.PHONY: demo test test-slow test-conformance test-apps lint docs bench clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev,docs]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m tinysam_mobile.demo --out demo

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow and not conformance"

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

test-conformance: $(VENV)/.installed
	$(BIN)/python -m pytest -m conformance

test-apps:
	PYTHON=$(BIN)/python sample_apps/test-apps

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.conversion
	$(BIN)/python -m benchmarks.decoding
	$(BIN)/python -m benchmarks.tflite
	$(BIN)/python -m benchmarks.bench_mil
	$(BIN)/python -m benchmarks.photos
	$(BIN)/python -m benchmarks.everything_memory
	$(BIN)/python -m benchmarks.cost
	$(BIN)/python -m benchmarks.history --out history.html

clean:
	rm -rf $(VENV) demo site build dist *.egg-info
