# Two commands do all: `make demo` and `make test`. Both install what they need into .venv.
# The Python that .venv is made with; left empty, deploy/python.sh takes the first that fits.
PYTHON ?=
BIN := .venv/bin
LOCK := deploy/lock
# Where the usual index serves torch with CUDA, name the index of its CPU builds here.
TORCH_INDEX ?=
# Two workers share the tests of a step; tests/conftest.py says which stay together. A whole platform has a step to itself.
SHARED := -n 2

.PHONY: demo test test-long check install install-dev python system browser lock clean

demo: python system install
	$(BIN)/python samples/demo.py

test: python system install-dev browser check
	$(BIN)/python -m pytest tests/contract tests/integration $(SHARED) -m "not long" --reruns 1 --durations 30
	$(BIN)/python -m pytest tests/e2e tests/browser -m "not long" --reruns 1 --durations 30

test-long: python system install-dev browser
	$(BIN)/python -m pytest tests -m long --timeout 3600
	$(BIN)/python -m benchmarks

check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/unit -q $(SHARED)

install: .venv/runtime
install-dev: .venv/dev

# Shows the Python of .venv, or says what is wrong with those at hand or with a .venv from before.
python:
	@sh deploy/python.sh $(PYTHON)

.venv/pip: | python
	"$$(sh deploy/python.sh $(PYTHON))" -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip==26.3"
	touch $@

.venv/runtime: .venv/pip $(LOCK)/torch.lock $(LOCK)/runtime.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -r $(LOCK)/torch.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(LOCK)/runtime.lock
	@$(BIN)/python -c "import torch" || { echo "This torch is not a CPU build: remove .venv and name the index" \
	  "of torch's CPU builds, as in: make demo TORCH_INDEX=URL" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev: .venv/runtime $(LOCK)/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(LOCK)/dev.lock
	touch $@

# vLLM for CPU is linked against libnuma, which a slim machine may lack.
system:
	@ldconfig -p | grep -q libnuma.so.1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends libnuma1 >/dev/null; } || \
	  { echo "vLLM needs libnuma: install the package libnuma1 (numactl-libs), then try again." >&2; exit 1; }

# Browser tests drive a real Chromium; without one, and without the right to install it, they skip with a reason.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || echo "no Chromium: browser tests will skip"

# KEEP=1 keeps all versions and looks their wheels up again.
lock: python
	"$$(sh deploy/python.sh $(PYTHON))" -m venv .venv/lock && .venv/lock/bin/pip install --quiet "pip==26.3" "packaging==26.3"
	.venv/lock/bin/python $(LOCK)/make_lock.py $(if $(KEEP),--keep)
	.venv/lock/bin/python $(LOCK)/subsets.py
	.venv/lock/bin/python $(LOCK)/licences.py

clean:
	rm -rf .venv .tandem
