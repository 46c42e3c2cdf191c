# demo: the bundled example through all scripts. test: everything a change must keep.
# audit: packages with a known vulnerability. lock: .ci/locked.txt anew.
PYTHON ?= python3
WORK := data/work

.PHONY: demo test matrix slow lint audit lock clean

demo: .venv/ready
	.venv/bin/python run_pipeline.py --videofile data/example.mp4 --reference example --data_dir $(WORK) --overwrite
	.venv/bin/python run_syncnet.py --reference example --data_dir $(WORK)
	.venv/bin/python run_visualise.py --reference example --data_dir $(WORK)
	.venv/bin/python run_wav2lip.py --reference example --data_dir $(WORK) --audio data/example.mp4 --tracks 0
	@echo && cat $(WORK)/pywork/example/offsets.txt && echo && ls $(WORK)/pyavi/example/video_*

test: lint
	.venv/bin/python -m pytest -q
	$(MAKE) matrix

# The tests of everything that starts ffmpeg, under each other ffmpeg that people have.
matrix: .venv/ready
	.venv/bin/python -m tests.matrix

slow: .venv/ready
	.venv/bin/python -m pytest -q -m slow

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

audit: .venv/ready
	.venv/bin/python .ci/audit.py

lock:
	.ci/lock

# Everything by its hash first. Torch is not: the CPU and the CUDA build are one version with many
# files, not all of them on PyPI; its download is checked against the index only.
# The stamp is written last: a killed install starts again.
.venv/ready: requirements.txt .ci/requirements.txt .ci/locked.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --require-hashes --no-deps -r .ci/locked.txt
	.venv/bin/python -m pip install -q -r requirements.txt -r .ci/requirements.txt
	touch .venv/ready

clean:
	rm -rf .venv $(WORK)
