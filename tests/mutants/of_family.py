"""Faults of the relatives that are trained by presets, which the suite must notice."""

from tests.mutants.mutant import Mutant

PRESETS = "tests/test_presets.py"
LOOP = "tests/test_fit.py"
SIAMESE = "tests/test_siamese.py"
VOICE = "tests/test_voice.py"
FACES = "tests/test_faces_data.py"
DATA = PEOPLE = "tests/test_training_data.py"
FLAGS = "tests/test_training_flags.py::test_training_flag_gives_each_value_its_own_result"
INIT_SHARE = f"{FLAGS}[train_syncnet-init_share]"

OF_PRESETS = (
    Mutant(
        "a preset's flags win over those typed",
        "training/presets/preset.py",
        "return [*(shlex.split(presets[name].flags) if name in presets else []), *words]",
        "return [*words, *(shlex.split(presets[name].flags) if name in presets else [])]",
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
        "expanded(argv, PRESETS)",
        "expanded(argv or [], PRESETS)",
        (f"{PRESETS}::test_the_script_itself_reads_presets",),
    ),
    Mutant(
        "train_wav2lip.py names its presets and does not use them",
        "train_wav2lip.py",
        "expanded(argv, PRESETS)",
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
        '        more = {"sigmoid": model.pair_sigmoid}\n',
        "        pass\n",
        (f"{SIAMESE}::test_preset_goes_on_as_if_it_had_never_been_stopped",),
    ),
    Mutant(
        "an excerpt gives its first windows",
        "training/batches/excerpts.py",
        "np.sort(rng.permutation(count)[: draw.windows])",
        "np.arange(draw.windows)",
        (f"{SIAMESE}::test_an_excerpt_gives_as_many_windows_as_are_asked_for",),
    ),
    Mutant(
        "windows of an excerpt are out of order",
        "training/batches/excerpts.py",
        "np.sort(rng.permutation(count)[: draw.windows])",
        "rng.permutation(count)[: draw.windows]",
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

OF_EXPERT = (
    Mutant(
        "what sounds on is kept in the long windows",
        "models/voice.py",
        "_filtered(samples, LONG_WINDOW, kept=1)",
        "_filtered(samples, LONG_WINDOW, kept=0)",
        (f"{VOICE}::test_a_voice_is_taken_out_of_music_that_repeats",),
    ),
    Mutant(
        "clicks stay beside the voice",
        "models/voice.py",
        "_without_clicks(_without_tones(around))",
        "_without_tones(around)",
        (f"{VOICE}::test_a_voice_is_taken_out_of_clicks",),
    ),
    Mutant(
        "blocks of sound see nothing of their neighbours",
        "models/voice.py",
        "BLOCK_SAMPLES, MARGIN_SAMPLES = 480 * STEP, 32 * STEP",
        "BLOCK_SAMPLES, MARGIN_SAMPLES = 480 * STEP, 0 * STEP",
        (f"{VOICE}::test_long_sounds_are_separated_in_blocks_without_a_seam",),
    ),
    Mutant(
        "an expert's excerpts are of the whole sound",
        "training/batches/expert_excerpts.py",
        "        face.heard,\n",
        "        face.clip,\n",
        (f"{VOICE}::test_networks_hear_the_voice_and_the_clip_keeps_its_sound",),
    ),
    Mutant(
        "frames hear the whole sound",
        "training/data/faces.py",
        "features.mel(self.heard.samples)",
        "features.mel(self.clip.samples)",
        (f"{VOICE}::test_networks_hear_the_voice_and_the_clip_keeps_its_sound",),
    ),
    Mutant(
        "separated voices are not kept in the cache",
        "training/data/cache.py",
        "    if clip_cache.take(sound.nbytes):\n",
        "    if False:\n",
        (f"{VOICE}::test_voices_are_separated_once_and_found_in_the_cache",),
    ),
    Mutant(
        "any two sounds have one voice in the cache",
        "training/data/face_data.py",
        'about = f"separate_voice {voice.VERSION} {digest}"',
        'about = f"separate_voice {voice.VERSION}"',
        (f"{VOICE}::test_voices_are_separated_once_and_found_in_the_cache",),
    ),
    Mutant(
        "driving audio is never separated",
        "pipeline/dubbing/driving_audio.py",
        "        samples = voice.separate_voice(samples)\n",
        "        pass\n",
        (f"{VOICE}::test_the_driving_audio_of_such_a_generator_is_separated_too",),
    ),
    Mutant(
        "run_wav2lip.py does not ask what its generator hears",
        "pipeline/dubbing/stage.py",
        "separate_voice=model.config.separate_voice",
        "separate_voice=False",
        ("tests/test_dub_runs.py::test_a_generator_of_separated_voices_hears_nothing_else",),
    ),
    Mutant(
        "--separate_voice is not said in the weights",
        "training/tasks/wav2lip_options.py",
        "return kind(self.width, self.separate_voice)",
        "return kind(self.width)",
        (f"{FLAGS}[train_wav2lip-separate_voice]",),
    ),
    Mutant(
        "a generator of whole sound learns from an expert of voices",
        "training/tasks/wav2lip_options.py",
        "    if config.separate_voice and not options.separate_voice:\n",
        "    if False:\n",
        (f"{VOICE}::test_generator_and_expert_must_hear_the_same",),
    ),
    Mutant(
        "a generator of voices learns from an expert of whole sound",
        "training/tasks/wav2lip_options.py",
        "    if options.separate_voice and not config.separate_voice:\n",
        "    if False:\n",
        (f"{VOICE}::test_generator_and_expert_must_hear_the_same",),
    ),
    Mutant(
        "an expert of voices is evaluated on whole sound",
        "training/evaluate_expert.py",
        "separate_voice=expert.config.separate_voice",
        "separate_voice=False",
        (f"{VOICE}::test_expert_is_evaluated_on_the_sound_it_was_trained_on",),
    ),
    Mutant(
        "a generator of voices is evaluated on whole sound",
        "training/evaluate_mouths.py",
        "    if generator.model.config.separate_voice:\n",
        "    if False:\n",
        (f"{VOICE}::test_generator_is_evaluated_on_the_sound_it_was_trained_on",),
    ),
    Mutant(
        "who is kept back is drawn again when a run goes on",
        "training/data/people.py",
        "if (again := {*everybody} & {*(earlier or ())})",
        "if (again := set[str]())",
        (f"{PEOPLE}::test_people_kept_back_stay_so_when_a_run_goes_on",),
    ),
    Mutant(
        "people kept back are trained on",
        "training/tasks/wav2lip.py",
        "if face.clip.who not in kept_back]",
        "]",
        (f"{FLAGS}[train_wav2lip-val_share]",),
    ),
    Mutant(
        "the checkpoint does not say who is kept back",
        "training/tasks/wav2lip.py",
        '"val_people": self.data.val_people}',
        '"val_people": []}',
        (f"{VOICE}::test_expert_of_separated_voices_is_trained_evaluated_and_resumed",),
    ),
    Mutant(
        "--shift_s counts frames",
        "training/tasks/wav2lip.py",
        "math.ceil((options.shift_s or 0) * FRAME_RATE / EXPERT_FRAMES)",
        "math.ceil((options.shift_s or 0) * FRAME_RATE)",
        (f"{FLAGS}[train_wav2lip-shift_s]",),
    ),
    Mutant(
        "sound too near for a wrong pair is asked for all the same",
        "training/objectives/wav2lip_objectives.py",
        "own.masked_fill((away > 0) & (away < apart), -torch.inf)",
        "own.masked_fill((away < 0), -torch.inf)",
        (f"{FACES}::test_sound_too_near_for_a_wrong_pair_counts_as_neither",),
    ),
    Mutant(
        "sound too near for a wrong pair is wrong all the same",
        "training/objectives/wav2lip_objectives.py",
        "(away >= apart).repeat(excerpts, excerpts)",
        "(away >= 1).repeat(excerpts, excerpts)",
        (f"{FACES}::test_sound_too_near_for_a_wrong_pair_counts_as_neither",),
    ),
    Mutant(
        "the loss on other people is filed as that of the training",
        "training/loop/journal.py",
        '"val_loss.csv": "unseen loss"}',
        '"val_loss.csv": "loss"}',
        (f"{DATA}::test_losses_are_tables_and_other_people_lie_over_the_training",),
    ),
)

OF_SHARES = (
    # Between the weights of the start and of the end.
    Mutant(
        "the share of the start is that of the end",
        "training/tasks/syncnet.py",
        "value.device), share)",
        "value.device), 1 - share)",
        (INIT_SHARE,),
    ),
    Mutant(
        "reports are of weights that are not exported",
        "training/tasks/syncnet.py",
        "mixed = self._mixed(average)",
        "mixed = average",
        (INIT_SHARE,),
    ),
    Mutant(
        "the weights of the end are exported alone",
        "training/tasks/syncnet.py",
        "average = self._mixed(average)",
        "average = copy.deepcopy(average)",
        (INIT_SHARE,),
    ),
    Mutant(
        "weights of the start follow the run",
        "training/tasks/syncnet.py",
        "{name: value.clone() for",
        "{name: value for",
        (INIT_SHARE,),
    ),
)

MUTANTS: tuple[Mutant, ...] = (*OF_PRESETS, *OF_SIAMESE, *OF_EXPERT, *OF_SHARES)
