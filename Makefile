# make demo [PHOTO=me.jpg]   an avatar from a photo, turning and walking, into out/demo
# make test                  the whole test suite
# make nano                  the neural avatar from nothing: data, four small stages, an avatar, figures
# make quality               how good avatars are, on generated people and photos, into out/quality
# make gpu                   the tables of docs/speed.md on this machine, with its GPU, into out/speed
# make addon                 the Blender add-on, into out/dinar-blender.zip
# They make a virtual environment in .venv first; nothing else has to be installed by hand.
#
# On Linux, PyPI's torch brings gigabytes of CUDA libraries. Without an NVIDIA GPU, install the CPU build:
#   make TORCH_INDEX=https://download.pytorch.org/whl/cpu demo
# On macOS and Windows PyPI's torch is the CPU build already.

PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
PHOTO ?=

.PHONY: demo test lint test-web nano quality gpu setup clean browser addon web

setup: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("dinar needs Python 3.10 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/.done
	$(BIN)/dinar demo $(if $(PHOTO),"$(PHOTO)") --out out/demo

test: .venv/.done
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pyright
	$(BIN)/python -m pytest -n auto --maxprocesses=4 --durations=10

# A photo dropped on the page of `dinar serve`, and WebGPU, in Chromium: minutes where it draws without a GPU.
test-web: .venv/.done
	DINAR_MINUTES=1 $(BIN)/python -m pytest tests/test_serve.py tests/test_view.py -k chromium

lint: .venv/.done
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pyright

# Every line goes on where it was stopped.
NANO := out/nano
nano: .venv/.done
	$(BIN)/dinar synthesize -o $(NANO)/people --people 100 --views 6 --size 128 --plain --jobs 2
	$(BIN)/dinar synthesize -o $(NANO)/others --people 4 --views 6 --size 512 --plain --seed 1 --jobs 2
	$(BIN)/dinar train avatar --preset nano --data $(NANO)/people --run $(NANO)/avatar --threads 2
	$(BIN)/dinar train compression --preset nano --data $(NANO)/people --init $(NANO)/avatar/weights --run $(NANO)/compression --threads 2
	$(BIN)/dinar train finetune --preset nano --data $(NANO)/people --init $(NANO)/compression/weights --run $(NANO)/finetune --threads 2
	$(BIN)/dinar train inpainting --preset nano --data $(NANO)/people --init $(NANO)/finetune/weights --run $(NANO)/inpainting --threads 2
	$(BIN)/dinar create src/dinar/data/demo.jpg -o $(NANO)/me.avatar --weights $(NANO)/inpainting/weights
	$(BIN)/dinar evaluate views $(NANO)/others -o $(NANO)/evaluation --size 256 --weights $(NANO)/inpainting/weights --renderer mesh neural \
		--metrics PSNR MS-SSIM LPIPS-AlexNet IoU
	@echo "look at $(NANO)/*/pictures, $(NANO)/me.preview.png and $(NANO)/evaluation"

quality: .venv/.done
	$(BIN)/python benchmarks/quality.py --out out/quality

# Seconds and rates of everything, on the CPU and on the GPU; without one a few calls of each, to see that all runs.
gpu: .venv/.done
	$(BIN)/python benchmarks/speed.py --out out/speed

clean:
	rm -rf .venv build dist out

# The Blender add-on, as a package to install from disk.
addon:
	mkdir -p out
	$(PYTHON) -m zipfile -c out/dinar-blender.zip blender/__init__.py blender/blender_manifest.toml

# What the GLB tests need beyond Python: the validator and three.js from npm, and Chromium from Debian.
browser:
	cd tests/gltf && npm ci --no-audit --no-fund
	command -v chromium || (apt-get update -qq && apt-get install -y -qq chromium)

# Bundles three.js and ONNX Runtime for the pages of `dinar view` and `dinar serve` again; the result is committed, so
# only a new release of these needs npm.
PAGE = src/dinar/web/page
ORT = scripts/web/node_modules/onnxruntime-web
web:
	cd scripts/web && npm ci --no-audit --no-fund && npm run -s build
	cp scripts/web/node_modules/three/LICENSE $(PAGE)/LICENSE-three.txt
	xz -9ef $(PAGE)/three.min.js
	grep -v sourceMappingURL $(ORT)/dist/ort.webgpu.bundle.min.mjs | xz -9ec > $(PAGE)/ort.min.js.xz
	xz -9ec $(ORT)/dist/ort-wasm-simd-threaded.jsep.wasm > $(PAGE)/ort.wasm.xz
