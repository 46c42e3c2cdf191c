"""Faults of the relatives that are trained by presets, which the suite must notice."""

from tests.mutants.mutant import Mutant

PRESETS = "tests/test_presets.py"
LOOP = "tests/test_fit.py"
SIAMESE = "tests/test_siamese.py"
FLAGS = "tests/test_training_flags.py::test_training_flag_gives_each_value_its_own_result"

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

OF_SIAMESE = (
    Mutant(
        "near pairs are improbable",
        "models/syncnet.py",
        "(self.threshold - distance)",
        "(distance - self.threshold)",
        (f"{SIAMESE}::test_probability_of_a_pair_falls_with_its_distance",),
    ),
    Mutant(
        "the slope of a pair's probability is its logarithm",
        "models/syncnet.py",
        "return self.log_slope.exp() * (",
        "return self.log_slope * (",
        (f"{SIAMESE}::test_probability_of_a_pair_falls_with_its_distance",),
    ),
    Mutant(
        "the slope stays where embeddings grow",
        "models/syncnet.py",
        "        self.log_slope.sub_(math.log(factor))\n",
        "",
        (f"{SIAMESE}::test_longer_embeddings_are_as_probable_with_a_rescaled_sigmoid",),
    ),
    Mutant(
        "the threshold starts at nothing",
        "models/syncnet.py",
        "PairSigmoid(config.typical_distance)",
        "PairSigmoid(0.0)",
        (f"{SIAMESE}::test_threshold_starts_where_the_distances_of_a_new_network_are",),
    ),
    Mutant(
        "calibration forgets the threshold of pairs",
        "training/tasks/calibration.py",
        "model.pair_sigmoid.rescale(factor)",
        "pass",
        ("tests/test_training_step.py::test_export_makes_confidence_3_mean_reliable",),
    ),
    Mutant(
        "the rule of thumb of published weights holds for every free embedding",
        "models/syncnet_config.py",
        "is_published = self.has_towers_of(PUBLISHED)",
        "is_published = self.full_precision",
        (f"{SIAMESE}::test_rule_of_thumb_of_published_weights_is_not_that_of_a_siamese_network",),
    ),
    Mutant(
        "every short clip stands out for a siamese network in training",
        "training/evaluate/judging.py",
        "if not (config.is_calibrated or config.embedding_scale):",
        "if not (config.is_calibrated or True):",
        (f"{SIAMESE}::test_rule_of_thumb_of_published_weights_is_not_that_of_a_siamese_network",),
    ),
    Mutant(
        "the objective judges pairs by a sigmoid of its own",
        "training/tasks/syncnet.py",
        'more = {"sigmoid": model.pair_sigmoid} if kind is DistanceBCE else {}',
        "more = {} if kind is DistanceBCE else {}",
        (f"{SIAMESE}::test_preset_goes_on_as_if_it_had_never_been_stopped",),
    ),
    Mutant(
        "an excerpt gives its first windows",
        "training/batches/excerpts.py",
        "np.sort(rng.permutation(taken)[: draw.windows])",
        "taken[: draw.windows]",
        (f"{SIAMESE}::test_an_excerpt_gives_as_many_windows_as_are_asked_for",),
    ),
    Mutant(
        "windows of an excerpt are out of order",
        "training/batches/excerpts.py",
        "np.sort(rng.permutation(taken)[: draw.windows])",
        "rng.permutation(taken)[: draw.windows]",
        (f"{SIAMESE}::test_an_excerpt_gives_as_many_windows_as_are_asked_for",),
    ),
    Mutant(
        "an excerpt for many windows is short",
        "training/batches/excerpts.py",
        "return max(SHORT_EXCERPT_FRAMES, 2 * (half + config.side_frames))",
        "return SHORT_EXCERPT_FRAMES",
        (f"{SIAMESE}::test_many_windows_take_a_longer_excerpt",),
    ),
    Mutant(
        "the only window of an excerpt may keep its own sound as wrong",
        "training/objectives/contrastive.py",
        '(1.0 if only or self.negatives == "cross" else 0.5)',
        '(1.0 if self.negatives == "cross" else 0.5)',
        (f"{SIAMESE}::test_the_only_window_of_an_excerpt_gets_sound_of_another",),
    ),
    Mutant(
        "weights of any network are trained as --network says",
        "training/tasks/syncnet.py",
        "if options.network and not model.config.has_towers_of(config):",
        "if options.network and not model.config.has_towers_of(model.config):",
        (f"{SIAMESE}::test_weights_of_another_network_are_refused_beside_network",),
    ),
    Mutant(
        "--network is ignored",
        "training/tasks/syncnet.py",
        'config = SIAMESE if options.network == "siamese" else SMALL',
        "config = SMALL",
        (f"{FLAGS}[train_syncnet-network]",),
    ),
)

MUTANTS: tuple[Mutant, ...] = (*OF_PRESETS, *OF_SIAMESE)
