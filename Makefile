# Everything a person types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build serve test test-long fuzz bench-peers clean
export PELTON_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pelton
PORT ?= 8080
MODEL ?=
FUZZ_SECONDS ?= 300
PEERS ?=

help:
	@echo 'make build        set-up, then the binary at build/release/bin/pelton'
	@echo 'make serve        the same, then a real model answers on 127.0.0.1:8080'
	@echo '                  (PORT=9000 and MODEL=[NAME=]FILE.gguf choose others)'
	@echo 'make test         set-up, then every test; ends with the summary of ctest'
	@echo 'make test-long    the long forms: TSan, long fuzzing, goldens made anew'
	@echo 'make fuzz         every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) each; keeps what it finds'
	@echo 'make bench-peers  builds llama.cpp from its pinned source, installs OpenVINO GenAI, and takes turns'
	@echo '                  with them on the same files; writes docs/performance.md (PEERS="--quick", "--help")'
	@echo 'make clean        removes build/ (what set-up made stays in $(PELTON_CACHE))'

build:
	@tools/setup/setup.sh build
	@tools/setup/build.sh release pelton

serve:
	@tools/setup/setup.sh serve
	@tools/setup/build.sh release pelton
	@MODEL='$(MODEL)' PORT='$(PORT)' exec tools/setup/serve.sh

test:
	@tools/setup/setup.sh test
	@exec tools/test/run.py

test-long:
	@tools/setup/setup.sh test
	@exec tools/test/run.py --long

fuzz:
	@tools/setup/setup.sh test
	@exec tools/test/fuzz_all.sh $(FUZZ_SECONDS)

bench-peers:
	@tools/setup/setup.sh bench
	@tools/setup/build.sh release pelton pelton-load pelton-generate
	@exec bench/peers/run.py $(PEERS)

clean:
	rm -rf build
