# SPDX-License-Identifier: Apache-2.0
# Everything a newcomer types. `make` alone lists the targets.
BUILD ?= build
JOBS ?= $(shell nproc)
# Some tests mostly wait: for a watchdog, for a process that starts.
TEST_JOBS ?= $(shell expr $$(nproc) + 1)

.PHONY: help setup build quickstart test test-all check-cuda docs format tidy bench clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## install what is missing: Debian packages, the PyTorch wheel into .venv
	@tools/setup.sh

build: setup ## compile everything into build/
	@cmake -S . -B $(BUILD) -G Ninja --log-level=WARNING
	@cmake --build $(BUILD) -j $(JOBS)

quickstart: setup ## compile the program (five minutes on two cores, the first time), train a small GPT on real text for about a minute, generate a sample
	@cmake -S . -B $(BUILD) -G Ninja --log-level=WARNING
	@cmake --build $(BUILD) -j $(JOBS) --target colossal_cli
	@tools/quickstart.sh $(BUILD)/colossal

test: build ## run the fast test suites
	@ctest --test-dir $(BUILD) -L fast --output-on-failure -j $(TEST_JOBS)

test-all: build ## run every suite, the slow ones too
	@ctest --test-dir $(BUILD) --output-on-failure -j $(TEST_JOBS)

check-cuda: setup ## compile and link everything with CUDA and NCCL (needs nvcc and 20 GB of disk, no GPU)
	@tools/check_cuda.sh

docs: build ## write anew what pages quote of the program: docs/config.md, tables and pictures of docs/tensor
	@COLOSSAL_UPDATE_DOCS=1 ctest --test-dir $(BUILD) -R 'train/test_run_config|parallel/test_volume_pages|cli/process_layout' --output-on-failure

format: ## clang-format the tree
	@git ls-files '*.h' '*.cpp' | xargs clang-format -i

tidy: setup ## look for defects with clang-tidy (package of that name; about half an hour on two cores)
	@cmake -S . -B $(BUILD) -G Ninja --log-level=WARNING
	@tools/tidy.py --build $(BUILD) -j $(JOBS)

bench: build ## time build, rebuild and tests, run the benchmark programs (JSON lines)
	@bench/run.sh

clean: ## remove the build folder
	@rm -rf $(BUILD)
