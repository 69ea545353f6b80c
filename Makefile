# Every target fills .venv by itself; when there is nothing to do it is quick.
# `make demo` installs what running needs and no more, `make test` what testing needs.

PYTHON ?= python3
VENV   := .venv
ifeq ($(OS),Windows_NT)
BIN      := $(VENV)/Scripts
ACTIVATE := $(VENV)\Scripts\activate
else
BIN      := $(VENV)/bin
ACTIVATE := source $(VENV)/bin/activate
endif

.DEFAULT_GOAL := help
.PHONY: help demo chat learn lab train-stories align ship-chat ship-stages llama2 test test-portable book notebooks check-notebooks lint clean

help:
	@echo "make demo   a real model answers (fetches 93 MB of weights the first time)"
	@echo "make chat   talk to it"
	@echo "make lab    the book in JupyterLab, as a copy of your own in my-llama"
	@echo "make book   the book as web pages that need no network: build/web"
	@echo "make learn  the exercises: starters in my-llama, and a terminal that checks what you save"
	@echo "make train-stories  train the model that ships inside again, from STORIES and HELD_OUT (text files)"
	@echo "make align  from the model that ships inside to one that chats: LLaMA 2's stages, 75 minutes of two cores"
	@echo "make ship-chat  measure the chat model of that run, and put it inside the package with its card"
	@echo "make ship-stages  put what the stages of that run left behind into notebooks/stages, small, for the book"
	@echo "make align PRESET=smollm2 PAIRS=hh-rlhf ALIGN=runs/smollm2   the same with real weights and people's preferences"
	@echo "make llama2  the same from a text on: pretraining, too (STORIES and HELD_OUT)"
	@echo "make test   run the tests"
	@echo "make notebooks         build the book: execute notebooks/*.py into the .ipynb beside them"
	@echo "make check-notebooks   execute every chapter without writing"
	@echo "make test-portable   those of the kernels, without special instructions and without compiler"
	@echo "make lint   ruff and mypy"
	@echo "make clean  forget what tests and tools have left behind"

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "minillama needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp says what was installed, and from which list.
$(VENV)/.run: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.train: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --disable-pip-version-check --editable ".[train]"
	@touch $@ $(VENV)/.run

$(VENV)/.test: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --disable-pip-version-check --editable ".[test,lint]"
	@touch $@ $(VENV)/.run

$(VENV)/.book: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --disable-pip-version-check --editable ".[notebooks,test,lint]"
	@touch $@ $(VENV)/.run $(VENV)/.test

$(VENV)/.web: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --disable-pip-version-check --editable ".[web]"
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run
	@$(BIN)/minillama chat --temperature 0 "What is the capital of France?"
	@echo
	@echo "To go on in this terminal:  $(ACTIVATE)    then \`minillama\` lists what there is."
	@echo "To read the book:           make lab"

chat: $(VENV)/.run
	@$(BIN)/minillama chat

learn: $(VENV)/.run
	@$(BIN)/minillama learn start my-llama
	@$(BIN)/minillama learn watch --dir my-llama
	@echo "make learn goes on; without make:  $(ACTIVATE)    then \`minillama learn watch\`."

# The reader's own copy of the book, which a later `git pull` does not touch.
lab: $(VENV)/.book
	@test -d my-llama || $(BIN)/minillama learn start my-llama
	@$(BIN)/minillama learn lab --dir my-llama $(LAB)

# From a text file to the model inside the package: about 40 minutes on two cores. Interrupt it whenever you
# like; the same command continues. Texts: stories with a line <|endoftext|> between them (roneneldan/TinyStories).
DATA     ?= $(or $(MINILLAMA_TEST_DATA),../shared/data)
STORIES  ?= $(DATA)/tinystories/train.txt
HELD_OUT ?= $(DATA)/tinystories/valid.txt
WORK     ?= runs/stories

train-stories: $(WORK)/stories3M.gguf
	@$(BIN)/minillama generate --model $(WORK)/stories3M.gguf --temperature 0 "Once upon a time"

$(WORK)/stories3M.gguf: $(WORK)/tokens/done minillama/stories/train.toml
	cp minillama/stories/train.toml $(WORK)/tokens/train.toml
	$(BIN)/minillama train $(WORK)/tokens/train.toml --out $(WORK)/run --resume
	$(BIN)/minillama convert $(WORK)/run $@ --to Q8_0 --force

$(WORK)/tokens/done: | $(VENV)/.train
	@test -f "$(STORIES)" -a -f "$(HELD_OUT)" || \
		{ echo "no text: make train-stories STORIES=train.txt HELD_OUT=valid.txt"; exit 1; }
	$(BIN)/minillama data filter "$(STORIES)" --out $(WORK)/text --report $(WORK)/filter --rules exact,minhash --force
	$(BIN)/minillama data tokenizer $(WORK)/text --out $(WORK)/tokens/tokenizer --vocab-size 2048 --force
	$(BIN)/minillama data tokens $(WORK)/text --tokenizer $(WORK)/tokens/tokenizer --out $(WORK)/tokens/train --force
	$(BIN)/minillama data tokens "$(HELD_OUT)" --tokenizer $(WORK)/tokens/tokenizer --out $(WORK)/tokens/valid --force
	@touch $@

# LLaMA 2 section 3 on two cores. Interrupt it whenever you like; the same command continues.
# Real weights: make align PRESET=smollm2 PAIRS=hh-rlhf ALIGN=runs/smollm2, six hours, none of its steps above two.
PRESET ?= story
ALIGN  ?= runs/align
PAIRS  ?=

align: $(VENV)/.train
	$(BIN)/minillama align --out $(ALIGN) --preset $(PRESET) $(if $(PAIRS),--pairs "$(PAIRS)") --resume

# What is then committed ships: the file, its figures, its card, and its sum in the registry.
ship-chat: $(VENV)/.train
	$(BIN)/minillama pull smollm2-135m-instruct
	$(BIN)/python benchmarks/ship_chat_model.py $(ALIGN)

# What chapters 15 to 20 load. It is to be the run whose chat model ships.
ship-stages: $(VENV)/.train
	$(BIN)/python benchmarks/ship_stages.py $(ALIGN)

# Everything, from a text file to a model that chats.
llama2: $(WORK)/stories3M.gguf
	$(BIN)/minillama align --out runs/llama2 --preset $(PRESET) --model $(WORK)/stories3M.gguf --text "$(STORIES)" --resume
	@$(BIN)/minillama chat --model runs/llama2/chat.gguf --temperature 0 "Tell me a story about a girl named Ann."

# Two processes: a test may use two cores itself, and larger ones take memory.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

test: $(VENV)/.test
	$(PYTEST)

# The same results without the CPU's special instructions, and without the compiler.
test-portable: $(VENV)/.test
	MINILLAMA_SIMD=portable $(PYTEST) -q tests/compute/test_simd.py tests/quantization/test_repacked.py tests/inference/test_fused.py tests/inference/test_fidelity.py
	NUMBA_DISABLE_JIT=1 $(PYTEST) -q tests/layers tests/quantization tests/inference/test_logprobs.py tests/inference/test_sampling_rows.py

# The web edition, from the notebooks as they are: build/web/index.html.
book: $(VENV)/.web
	$(BIN)/python docs/build.py --open

notebooks: $(VENV)/.book
	$(BIN)/python notebooks/build.py

check-notebooks: $(VENV)/.book
	$(BIN)/python notebooks/build.py --check

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
