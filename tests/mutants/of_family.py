"""Faults of the relatives that are trained by presets, which the suite must notice."""

from tests.mutants.mutant import Mutant

PRESETS = "tests/test_presets.py"
LOOP = "tests/test_fit.py"

OF_PRESETS = (
    Mutant(
        "a preset's flags win over those typed",
        "training/presets/preset.py",
        "return [*(shlex.split(presets[name].flags) if name in presets else []), *argv]",
        "return [*argv, *(shlex.split(presets[name].flags) if name in presets else [])]",
        (f"{PRESETS}::test_flags_of_a_preset_come_before_those_typed",),
    ),
    Mutant(
        "quoted words of a preset are cut",
        "training/presets/preset.py",
        "shlex.split(presets[name].flags)",
        "presets[name].flags.split()",
        (f"{PRESETS}::test_flags_of_a_preset_come_before_those_typed",),
    ),
    Mutant(
        "train_syncnet.py does not read its presets from the command line",
        "train_syncnet.py",
        "expanded(sys.argv[1:] if argv is None else argv, PRESETS)",
        "expanded(argv or [], PRESETS)",
        (f"{PRESETS}::test_the_script_itself_reads_presets",),
    ),
    Mutant(
        "train_wav2lip.py names its presets and does not use them",
        "train_wav2lip.py",
        "expanded(sys.argv[1:] if argv is None else argv, PRESETS)",
        "argv",
        (f"{PRESETS}::test_the_script_itself_reads_presets",),
    ),
    Mutant(
        "the options of a preset are not in the log",
        "training/loop/fit.py",
        "            journal.record(run.step, run.origin.options)\n",
        "",
        (f"{LOOP}::test_log_of_a_run_by_a_preset_holds_its_options_once",),
    ),
    Mutant(
        "options are said again whenever a run goes on",
        "training/loop/journal.py",
        "if not said or said[-1] != options:",
        "if True:",
        (f"{LOOP}::test_log_of_a_run_by_a_preset_holds_its_options_once",),
    ),
    Mutant(
        "a new run keeps the log of one that left no checkpoint",
        "training/loop/journal.py",
        'if row["step"] <= step and step]',
        'if row["step"] <= step]',
        (f"{LOOP}::test_log_of_a_run_by_a_preset_holds_its_options_once",),
    ),
)

MUTANTS: tuple[Mutant, ...] = (*OF_PRESETS,)
