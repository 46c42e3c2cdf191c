# demo: the bundled example through all scripts. test: everything a change must keep.
# audit: packages with a known vulnerability. lock: .ci/locked.txt anew.
PYTHON ?= python3
WORK := data/work

.PHONY: demo test coverage readme browser matrix mutants clock slow kills nightly lint audit lock clean

demo: .venv/ready
	.venv/bin/python run_pipeline.py --videofile data/example.mp4 --reference example --data_dir $(WORK) --overwrite
	.venv/bin/python run_syncnet.py --reference example --data_dir $(WORK)
	.venv/bin/python run_visualise.py --reference example --data_dir $(WORK)
	.venv/bin/python run_wav2lip.py --reference example --data_dir $(WORK) --audio data/example.mp4 --tracks 0
	@echo && cat $(WORK)/pywork/example/offsets.txt && echo && ls $(WORK)/pyavi/example/video_*

# Under the bundled ffmpeg, which is the same everywhere; matrix: what starts ffmpeg under the others
# that people have (MATRIX="tests/test_clock.py ..." for some of it). The order is random, its seed is
# printed; SUITE_SEED=N repeats it. A file's tests stay together: they share what is made once.
BUNDLED = "$$(.venv/bin/python -c 'import imageio_ffmpeg as i; print(i.get_ffmpeg_exe())')"
SUITE = FFMPEG_BINARY=$(BUNDLED) OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n 2 --dist loadscope \
    $(if $(SUITE_SEED),-p randomly --randomly-seed=$(SUITE_SEED))

test: lint
	$(SUITE)

coverage: lint
	$(SUITE) --cov --cov-report=term --cov-fail-under=96

readme: .venv/ready
	FFMPEG_BINARY=$(BUNDLED) .venv/bin/python -m pytest -q -m slow tests/test_readme.py

# The page of run_visualise.py in headless Chromium (apt-get install chromium); part of `test`, too.
browser: .venv/ready
	$(SUITE) tests/test_browser.py tests/test_page.py

matrix: .venv/ready
	FFMPEG_BINARY=$(BUNDLED) .venv/bin/python -m tests.matrix $(MATRIX)

# Small faults, made one by one in a copy: each must turn a test red (tests/mutants).
mutants: .venv/ready
	.venv/bin/python -m tests.mutants

clock: .venv/ready
	.venv/bin/python -m tests.benchmarks.clock

slow: .venv/ready
	FFMPEG_BINARY=$(BUNDLED) .venv/bin/python -m pytest -q -m slow

# Every stage of training killed or stopped at twenty random steps, then gone on with: equal to the bit.
kills: .venv/ready
	for seed in $$(seq 1 20); do KILL_SEED=$$seed $(SUITE) -m "slow or not slow" \
	    -k "killed_and_resumed or stopped_by_a_signal" tests/test_train_syncnet.py \
	    tests/test_train_wav2lip.py tests/test_stopping.py || exit 1; done

# What takes longer than a change should wait: slow tests, kills, other Pythons, every fault.
nightly: .venv/ready
	.ci/nightly

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
	.venv/bin/python -m pip install -q $(PIP_FLAGS) -r requirements.txt -r .ci/requirements.txt
	touch .venv/ready

clean:
	rm -rf .venv $(WORK)
