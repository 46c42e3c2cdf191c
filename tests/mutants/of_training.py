"""Faults of training/ that the suite must notice."""

from tests.mutants.mutant import Mutant

STEP = "tests/test_training_step.py"
SYNC = "tests/test_evaluate_sync.py"
DATA = "tests/test_training_data.py"
FACES = "tests/test_faces_data.py"
OBJECTIVES = "tests/test_objectives.py"
WAV2LIP_STEP = "tests/test_train_wav2lip_step.py"
EVALUATIONS = "tests/test_training_evaluations.py"
DETECTOR = "tests/test_training.py"
RESUMED = "tests/test_resume.py"
TOLD = "tests/test_training_words.py"
CACHED = "tests/test_training_cache.py"
STOPPED = (
    "tests/test_stopping.py::"
    "test_run_stopped_by_a_signal_keeps_its_last_step_and_goes_on_as_if_never_stopped"
)


def _flag(script: str, name: str) -> str:
    """The test of one flag of a training script."""
    file = "tests/test_training_flags.py"
    return f"{file}::test_training_flag_gives_each_value_its_own_result[{script}-{name}]"


def _tool(script: str, name: str) -> str:
    """The test of one flag of another program in training/."""
    file = "tests/test_training_flags_tools.py"
    return f"{file}::test_tool_flag_gives_each_value_its_own_result[{script}-{name}]"


JUDGING = (
    Mutant(
        "a clip is kept when three in ten pieces agree",
        "training/judging.py",
        "AGREEMENT = 2 / 3 ",
        "AGREEMENT = 0.3 ",
        (f"{SYNC}::test_own_offset_at_the_bounds_of_agreement_and_lag",),
    ),
    Mutant(
        "a lag of almost eleven frames is taken out",
        "training/judging.py",
        "LARGEST_LAG_MS = 8 * FRAME_MS",
        "LARGEST_LAG_MS = 10.9 * FRAME_MS",
        (f"{SYNC}::test_own_offset_at_the_bounds_of_agreement_and_lag",),
    ),
    Mutant(
        "pieces two frames apart agree about a clip's lag",
        "training/judging.py",
        "TOLERANCE_MS = 1.3 * FRAME_MS",
        "TOLERANCE_MS = 2.0 * FRAME_MS",
        (f"{SYNC}::test_own_offset_at_the_bounds_of_agreement_and_lag",),
    ),
    Mutant(
        "a clip is judged by twelve pieces",
        "training/judging.py",
        "LARGEST_JUDGED = 6",
        "LARGEST_JUDGED = 12",
        (f"{SYNC}::test_own_offset_asks_at_most_six_pieces_of_five_seconds",),
    ),
    Mutant(
        "two pieces that agree keep a clip",
        "training/judging.py",
        "LEAST_AGREEING = 3 ",
        "LEAST_AGREEING = 2 ",
        (f"{SYNC}::test_own_offset_takes_an_answer_at_the_search_edge_for_none",),
    ),
    Mutant(
        "an answer at the search edge counts",
        "training/judging.py",
        "        if piece is not None and not piece.at_search_edge\n",
        "        if piece is not None\n",
        (f"{SYNC}::test_own_offset_takes_an_answer_at_the_search_edge_for_none",),
    ),
    Mutant(
        "a clip of one piece is believed whatever it says",
        "training/judging.py",
        "whole is not None and whole.reliable and not whole.at_search_edge",
        "whole is not None and not whole.at_search_edge",
        (f"{SYNC}::test_own_offset_of_a_clip_of_one_piece_is_believed_where_it_is_reliable",),
    ),
    Mutant(
        "a clip of one piece is believed at the search edge",
        "training/judging.py",
        "whole is not None and whole.reliable and not whole.at_search_edge",
        "whole is not None and whole.reliable",
        (f"{SYNC}::test_own_offset_of_a_clip_of_one_piece_is_believed_where_it_is_reliable",),
    ),
    Mutant(
        "pieces of clips below 15 s do not overlap",
        "training/judging.py",
        "    step = length if clip.frames >= LEAST_AGREEING * PIECE_FRAMES else length // 2\n",
        "    step = length\n",
        (f"{SYNC}::test_own_offset_asks_at_most_six_pieces_of_five_seconds",),
    ),
    Mutant(
        "nothing holds the zero of all clips",
        "training/judging.py",
        "    zero_ms = population_lag(kept)\n",
        "    zero_ms = 0.0\n",
        (f"{SYNC}::test_refine_holds_the_zero_at_the_median_person",),
    ),
    Mutant(
        "the zero is that of clips, not of people",
        "training/judging.py",
        "[clip.frames / frames[clip.who] for clip in order]) / len(frames)",
        "[1 / len(order) for clip in order])",
        (f"{SYNC}::test_population_lag_counts_people_and_not_their_clips",),
    ),
    Mutant(
        "an earlier refine is forgotten where nobody can be judged",
        "training/judging.py",
        "return clips if current is None else current, []",
        "return clips, []",
        (f"{SYNC}::test_refine_goes_on_with_earlier_lags_where_nobody_can_be_judged",),
    ),
    Mutant(
        "a drifting clip has one lag",
        "training/judging.py",
        "    if len(answers) >= LEAST_FOR_A_LINE:\n",
        "    if len(answers) >= 99:\n",
        (f"{SYNC}::test_own_offset_of_a_drifting_clip_is_a_line",),
    ),
    Mutant(
        "any four pieces on a line are a drift",
        "training/judging.py",
        "along >= max(agreeing, LEAST_FOR_A_LINE)",
        "along >= max(agreeing, 4)",
        (f"{SYNC}::test_own_offset_of_pieces_on_no_line_is_none",),
    ),
    Mutant(
        "any slope is a drift",
        "training/judging.py",
        "        if steep and slow and along",
        "        if steep and along",
        (f"{SYNC}::test_own_offset_of_pieces_on_no_line_is_none",),
    ),
    Mutant(
        "a drift counts from the clip's start",
        "training/samples.py",
        "(frame - self.frames / 2) / (60 * FRAME_RATE)",
        "frame / (60 * FRAME_RATE)",
        (f"{SYNC}::test_refine_keeps_the_drift_in_the_clip_and_its_sound_follows",),
    ),
    Mutant(
        "pieces agree when they are two frames apart",
        "training/agreement.py",
        "TOLERANCE = 1  #",
        "TOLERANCE = 2  #",
        (f"{SYNC}::test_agreement_allows_one_frame",),
    ),
    Mutant(
        "known shifts go one way only",
        "training/agreement.py",
        "rng.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1)",
        "rng.integers(0, LARGEST_SHIFT + 1)",
        (f"{SYNC}::test_agreement_moves_sound_by_up_to_eight_frames_and_reports_the_rest",),
    ),
    Mutant(
        "the known shift is added instead of taken away",
        "training/agreement.py",
        "found.offset_frames - lead",
        "found.offset_frames + lead",
        (f"{SYNC}::test_a_perfect_network_agrees_whatever_the_native_lag",),
    ),
    Mutant(
        "the fine shift is not taken away from the answer",
        "training/evaluate_sync.py",
        "abs(moved.offset_ms - plain.offset_ms - shift_ms)",
        "abs(moved.offset_ms - plain.offset_ms)",
        (f"{SYNC}::test_fine_error_is_measured_against_the_unmoved_estimate",),
    ),
    Mutant(
        "silence and strangers change places in the table",
        "training/evaluate_sync.py",
        "((strange, foreign), (mute, silent))",
        "((strange, silent), (mute, foreign))",
        (f"{SYNC}::test_strangers_and_silence_are_counted_apart",),
    ),
    Mutant(
        "clips left out of the card calibrate it all the same",
        "training/card.py",
        "on_screen = [clip for clip in data.unseen if clip.reference not in without]",
        "on_screen = list(data.unseen)",
        (f"{STEP}::test_clips_left_out_of_the_card_do_not_calibrate",),
    ),
)

RESUME = (
    Mutant(
        "a resumed run takes another seed, rate or objective",
        "training/resume.py",
        'return str(one.metadata.get("resume", "fixed"))',
        'return str(one.metadata.get("resume", "fixed")).replace("fixed", "free")',
        (f"{RESUMED}::test_resume_with_one_option_that_changes_the_result_names_it_alone",),
    ),
    Mutant(
        "a resumed run names only the first option in its way",
        "training/resume.py",
        "options: {', '.join(refused)}; ",
        "options: {refused[0]}; ",
        (
            f"{RESUMED}::test_resume_with_options_that_change_the_result_is_refused_and_names_every_one",
        ),
    ),
    Mutant(
        "the seed may be changed by a resumed run",
        "training/syncnet_run.py",
        "    seed: int = resume.fixed()",
        "    seed: int = resume.free()",
        (f"{RESUMED}::test_every_option_says_whether_a_resumed_run_may_change_it",),
    ),
    Mutant(
        "data in another folder is taken by a resumed run",
        "training/resume.py",
        'elif kind != "clips" or clips != now.clips:',
        'elif kind != "clips":',
        (f"{RESUMED}::test_data_in_another_folder_is_another_run_unless_its_clips_are_the_same",),
    ),
    Mutant(
        "a new clip waits for the next judgement of the clips",
        "training/syncnet.py",
        "            *joining,\n",
        "",
        (f"{RESUMED}::test_new_clip_joins_a_resumed_run_at_once_and_a_gone_one_is_named",),
    ),
    Mutant(
        "a dropped clip joins at every resume",
        "training/syncnet.py",
        "if c.name not in known and c.name not in self.dropped]",
        "if c.name not in known]",
        (f"{RESUMED}::test_dropped_clip_stays_out_of_a_resumed_run_until_it_is_another",),
    ),
    Mutant(
        "a checkpoint that is a list is read on",
        "training/loop.py",
        "if not isinstance(state, dict):",
        "if state is None:",
        (f"{RESUMED}::test_checkpoint_that_is_something_else_is_one_sentence[list]",),
    ),
    Mutant(
        "a stopped run of SyncNet does not save its last step",
        "training/syncnet_run.py",
        "save=bool(ended_by)",
        "save=False",
        (f"{STOPPED}[SIGINT-syncnet]",),
    ),
    Mutant(
        "a stopped run of Wav2Lip does not save its last step",
        "training/wav2lip_run.py",
        "save=bool(ended_by)",
        "save=False",
        (f"{STOPPED}[SIGTERM-expert]",),
    ),
    Mutant(
        "SIGTERM breaks a step off",
        "training/stopping.py",
        "SIGNALS = (signal.SIGINT, signal.SIGTERM)",
        "SIGNALS = (signal.SIGINT,)",
        (f"{STOPPED}[SIGTERM-expert]",),
    ),
    Mutant(
        "a checkpoint as weights is the network in training, not the averaged one",
        "models/weights.py",
        'best, average = held.get("best"), held.get("average")',
        'best, average = None, held.get("lesson")',
        ("tests/test_stopping.py::test_checkpoint_of_a_run_is_weights_of_its_averaged_network",),
    ),
)

WORDS = (
    Mutant(
        "clips of one video are not warned of",
        "training/journal.py",
        "        if videos == 1:",
        "        if videos == 0:",
        (f"{TOLD}::test_run_that_cannot_generalise_is_warned_of",),
    ),
    Mutant(
        "how long a run takes is estimated from its first step",
        "training/journal.py",
        "ESTIMATE_STEPS = 3 ",
        "ESTIMATE_STEPS = 1 ",
        (f"{TOLD}::test_estimate_comes_once_after_the_first_steps",),
    ),
    Mutant(
        "an expert that was asked about no pair is exported without a word",
        "training/wav2lip_run.py",
        "data.taught_size and run.step <= options.taught_steps:",
        "data.taught_size and run.step < 0:",
        (f"{TOLD}::test_expert_that_was_asked_about_no_pair_is_warned_of",),
    ),
    Mutant(
        "a card says --refine_at 300 800 1400 where it was never",
        "training/loop.py",
        'MEANT_EMPTY = ("refine_at",)',
        "MEANT_EMPTY = ()",
        (f"{STEP}::test_command_of_a_card_says_what_changes_the_result",),
    ),
)

CACHE = (
    Mutant(
        "what nobody asks for any more keeps clips out of the cache",
        "training/samples.py",
        "self._left_bytes + sum(self._oldest_first[key] for key in unused)",
        "self._left_bytes",
        (f"{CACHED}::test_clip_that_was_cut_again_takes_the_place_of_its_older_self",),
    ),
    Mutant(
        "the entry used last makes room first",
        "training/samples.py",
        "self._remove(unused.pop(0))",
        "self._remove(unused.pop())",
        (f"{CACHED}::test_least_recently_used_entry_makes_room",),
    ),
    Mutant(
        "an entry that is read stays as old as it was",
        "training/samples.py",
        "        os.utime(path)",
        "        pass",
        (f"{CACHED}::test_least_recently_used_entry_makes_room",),
    ),
    Mutant(
        "an entry in use makes room",
        "training/samples.py",
        "if self._pictures(key) not in _SHOWN]",
        "]",
        (f"{CACHED}::test_entry_in_use_makes_no_room",),
    ),
    Mutant(
        "a full disk is the fault of a clip",
        "training/samples.py",
        "    except CacheUnwritable:\n        raise\n",
        "",
        (f"{CACHED}::test_full_disk_while_decoding_is_no_fault_of_a_clip",),
    ),
    Mutant(
        "heads of another seed are taken from the cache",
        "training/samples.py",
        'about = f"drawn {drawing_version()} {seed} {number}',
        'about = f"drawn {drawing_version()} {number}',
        (f"{CACHED}::test_drawn_heads_are_drawn_once_and_found_by_the_next_run",),
    ),
    Mutant(
        "a folder that cannot be written is found out after decoding",
        "training/loop.py",
        '    check_writable("run", options.run)\n',
        "",
        (f"{CACHED}::test_folder_that_cannot_be_written_is_refused_before_decoding",),
    ),
    Mutant(
        "weights that do not fit are found out after decoding",
        "training/wav2lip_run.py",
        "        check_weights(options)\n",
        "",
        (f"{CACHED}::test_weights_that_do_not_fit_are_refused_before_decoding",),
    ),
)

SYNCNET = (
    Mutant(
        "a step is bf16 unless asked otherwise, whatever the device can",
        "training/loop.py",
        "return precisions.chosen(options.precision, published=False, device=device)",
        'return options.precision.replace("auto", "bf16")',
        (_flag("train_syncnet", "precision"), _flag("train_wav2lip", "precision")),
    ),
    Mutant(
        "training sound is not normalised",
        "training/excerpts.py",
        "columns = syncnet.normalise_mfcc(columns, config)",
        "columns = columns",
        (f"{DATA}::test_a_batch_holds_windows_of_both_streams",),
    ),
    Mutant(
        "pictures for the published network are in 0 to 1",
        "training/excerpts.py",
        "lips = lips * 255",
        "lips = lips * 1",
        (f"{DATA}::test_batch_for_the_published_network_is_not_normalised",),
    ),
    Mutant(
        "--val of train_syncnet.py is read from --data",
        "training/syncnet_run.py",
        "files = samples.clip_files(options.val)",
        "files = samples.clip_files(options.data)",
        (_flag("train_syncnet", "val"),),
    ),
    Mutant(
        "--max_offset of train_syncnet.py is ignored",
        "training/syncnet_run.py",
        "max_offset=options.max_offset",
        "max_offset=10",
        (_flag("train_syncnet", "max_offset"),),
    ),
    Mutant(
        "--min_confidence of train_syncnet.py is ignored",
        "training/syncnet_run.py",
        "min_confidence=options.min_confidence",
        "min_confidence=1.0",
        (_flag("train_syncnet", "min_confidence"),),
    ),
    Mutant(
        "--seed of train_syncnet.py does not reach the first weights",
        "training/syncnet_run.py",
        "torch.manual_seed(options.seed)",
        "torch.manual_seed(1)",
        (_flag("train_syncnet", "seed"),),
    ),
    Mutant(
        "--seed, --excerpts of train_syncnet.py do not reach the batches",
        "training/syncnet_run.py",
        "Draw(options.seed, options.excerpts, options.grey,",
        "Draw(1, options.excerpts, options.grey,",
        (_flag("train_syncnet", "seed"),),
    ),
    Mutant(
        "--grey is ignored",
        "training/syncnet_run.py",
        "options.excerpts, options.grey, group.rank",
        "options.excerpts, 0.1, group.rank",
        (_flag("train_syncnet", "grey"),),
    ),
    Mutant(
        "--dropout is ignored",
        "training/syncnet_run.py",
        "if options.dropout is not None:\n        model.config",
        "if False:\n        model.config",
        (_flag("train_syncnet", "dropout"),),
    ),
    Mutant(
        "--negatives is ignored",
        "training/syncnet_run.py",
        "OBJECTIVES[options.objective](negatives=options.negatives)",
        "OBJECTIVES[options.objective]()",
        (_flag("train_syncnet", "negatives"),),
    ),
    Mutant(
        "drawn heads are made and not trained on",
        "training/syncnet_run.py",
        "run.clips + data.drawn,",
        "run.clips,",
        (_flag("train_syncnet", "drawn"),),
    ),
    Mutant(
        "--drawn is ignored",
        "training/syncnet_run.py",
        "count=options.drawn",
        "count=1",
        (_flag("train_syncnet", "drawn"),),
    ),
    Mutant(
        "--weight_decay of train_syncnet.py is ignored",
        "training/syncnet_run.py",
        "weight_decay=options.weight_decay",
        "weight_decay=0.02",
        (_flag("train_syncnet", "weight_decay"),),
    ),
    Mutant(
        "--workers of train_syncnet.py is ignored",
        "training/syncnet_run.py",
        "workers=options.workers",
        "workers=1",
        (_flag("train_syncnet", "workers"),),
    ),
    Mutant(
        "clips are judged by the network in training, not the averaged one",
        "training/syncnet_run.py",
        "run.average.model, data.real, group, current=run.clips",
        "run.lesson.model, data.real, group, current=run.clips",
        (f"{STEP}::test_clips_and_other_people_are_judged_by_the_averaged_network",),
    ),
    Mutant(
        "clips once dropped are never judged again",
        "training/syncnet_run.py",
        "run.average.model, data.real, group, current=run.clips",
        "run.average.model, run.clips, group, current=run.clips",
        (f"{STEP}::test_clips_and_other_people_are_judged_by_the_averaged_network",),
    ),
    Mutant(
        "other people are judged by the network in training",
        "training/syncnet_run.py",
        "agreement(run.average.model, data.unseen, group, seed=seed)",
        "agreement(run.lesson.model, data.unseen, group, seed=seed)",
        (f"{STEP}::test_clips_and_other_people_are_judged_by_the_averaged_network",),
    ),
    Mutant(
        "a network as good as the best replaces it",
        "training/syncnet_run.py",
        'score > run.best["score"]',
        'score >= run.best["score"]',
        (f"{STEP}::test_best_network_is_the_first_of_equals",),
    ),
    Mutant(
        "the best network's weights go on changing",
        "training/syncnet_run.py",
        "{k: v.clone() for k, v in run.average.model.state_dict().items()}",
        "{k: v for k, v in run.average.model.state_dict().items()}",
        (f"{STEP}::test_best_network_is_the_first_of_equals",),
    ),
    Mutant(
        "a guess among other excerpts counts the own one's windows",
        "training/syncnet_run.py",
        "windows * (share - 1) + 1,",
        "windows * share,",
        (f"{STEP}::test_guessing_network_is_told_of_at_step_400",),
    ),
    Mutant(
        "weights do not decay",
        "training/syncnet.py",
        '{"params": model.parameters(), "weight_decay": weight_decay}',
        '{"params": model.parameters(), "weight_decay": 0.0}',
        (f"{STEP}::test_weights_decay_where_the_loss_asks_for_nothing",),
    ),
    Mutant(
        "the objective's scale decays",
        "training/syncnet.py",
        '{"params": objective.parameters(), "weight_decay": 0.0}',
        '{"params": objective.parameters(), "weight_decay": weight_decay}',
        (f"{STEP}::test_weights_decay_where_the_loss_asks_for_nothing",),
    ),
    Mutant(
        "large gradients of a SyncNet are not clipped",
        "training/syncnet.py",
        "LARGEST_GRADIENT = 3.0",
        "LARGEST_GRADIENT = 3e9",
        (f"{STEP}::test_large_gradients_are_clipped_to_three_and_reported_as_they_were",),
    ),
    Mutant(
        "there is no warm-up",
        "training/loop.py",
        "return peak * (step + 1) / warmup_steps",
        "return peak",
        (f"{STEP}::test_learning_rate_warms_up_and_falls_to_a_hundredth",),
    ),
    Mutant(
        "the rate never falls",
        "training/loop.py",
        "return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))",
        "return peak",
        (f"{STEP}::test_learning_rate_warms_up_and_falls_to_a_hundredth",),
    ),
    Mutant(
        "the average remembers its random start",
        "training/loop.py",
        "decay = min(self._decay, (1 + step) / (10 + step))",
        "decay = self._decay",
        (f"{STEP}::test_average_forgets_the_random_start_faster_at_first",),
    ),
)

LOSSES = (
    Mutant(
        "which lips belong to a sound is not asked",
        "training/objectives.py",
        "return (loss + back) / 2, (likeness",
        "return loss, (likeness",
        (f"{OBJECTIVES}::test_many_ways_are_asked_in_both_directions",),
    ),
    Mutant(
        "the margin is 5",
        "training/objectives.py",
        "margin = 20.0",
        "margin = 5.0",
        (f"{OBJECTIVES}::test_margin_pushes_wrong_pairs_twenty_apart",),
    ),
    Mutant(
        "the scale of many ways starts at one",
        "training/objectives.py",
        "torch.tensor(math.log(10.0))",
        "torch.tensor(math.log(1.0))",
        (f"{OBJECTIVES}::test_many_ways_are_asked_in_both_directions",),
    ),
    Mutant(
        "wrong pairs are cheap however similar",
        "training/objectives.py",
        "floor = 0.05",
        "floor = 0.5",
        (f"{OBJECTIVES}::test_a_negative_cosine_costs_by_a_straight_line",),
    ),
    Mutant(
        "the discriminator learns that drawn faces are real",
        "training/wav2lip_objectives.py",
        "_cross_entropy(real, real=True) + _cross_entropy(fake, real=False)",
        "_cross_entropy(real, real=False) + _cross_entropy(fake, real=True)",
        (f"{FACES}::test_discriminator_learns_that_real_faces_are_real",),
    ),
    Mutant(
        "the discriminator's loss reaches the generator",
        "training/wav2lip_objectives.py",
        "fake = discriminator(drawn.detach().flatten(0, 1))",
        "fake = discriminator(drawn.flatten(0, 1))",
        (f"{FACES}::test_discriminator_learns_that_real_faces_are_real",),
    ),
    Mutant(
        "the generator wants to be found out",
        "training/wav2lip_objectives.py",
        "_cross_entropy(discriminator(drawn.flatten(0, 1)), real=True)",
        "_cross_entropy(discriminator(drawn.flatten(0, 1)), real=False)",
        (f"{FACES}::test_discriminator_learns_that_real_faces_are_real",),
    ),
    Mutant(
        "wrong pairs of other clips count twice",
        "training/wav2lip_objectives.py",
        "wrong = (wrong + unlikely[far].mean()) / 2",
        "wrong = (wrong + 2 * unlikely[far].mean()) / 3",
        (f"{FACES}::test_experts_loss_of_two_excerpts_by_hand",),
    ),
    Mutant(
        "wrong pairs of the same clip do not count",
        "training/wav2lip_objectives.py",
        "wrong = (wrong + unlikely[far].mean()) / 2",
        "wrong = unlikely[far].mean()",
        (f"{FACES}::test_experts_loss_of_two_excerpts_by_hand",),
    ),
    Mutant(
        "the teacher's share of the expert's loss is halved",
        "training/wav2lip_objectives.py",
        "loss = loss + 2 * (1 - alike)",
        "loss = loss + (1 - alike)",
        (f"{FACES}::test_taught_loss_compares_what_sets_windows_apart",),
    ),
    Mutant(
        "the excerpt's mean is taught as well",
        "training/wav2lip_objectives.py",
        "(vectors - vectors.mean(dim=1, keepdim=True) for vectors in (one, other))",
        "(vectors for vectors in (one, other))",
        (f"{FACES}::test_taught_loss_compares_what_sets_windows_apart",),
    ),
    Mutant(
        "structure counts in the generator's loss by the weight of detail",
        "training/wav2lip_objectives.py",
        "loss = loss + weights.structure * unlike + weights.detail * unsharp",
        "loss = loss + weights.detail * unlike + weights.structure * unsharp",
        (f"{FACES}::test_a_generators_loss_is_the_sum_of_its_parts",),
    ),
    Mutant(
        "the expert's belief is not its logarithm",
        "training/wav2lip_objectives.py",
        "return -cosine.clamp(1e-6, 1).log().mean()",
        "return 1 - cosine.clamp(1e-6, 1).mean()",
        (f"{FACES}::test_sync_loss_is_the_logarithm_of_the_cosine",),
    ),
)

WAV2LIP = (
    Mutant(
        "--val of train_wav2lip.py is read from --data",
        "training/wav2lip_run.py",
        'strangers = load(val, "val.txt", say=False)',
        'strangers = load(options.data, "val.txt", say=False)',
        (_flag("train_wav2lip", "val"),),
    ),
    Mutant(
        "other people are judged by the training clips",
        "training/wav2lip_run.py",
        "_batch(options, strangers, seed=UNSEEN_SEED",
        "_batch(options, clips, seed=UNSEEN_SEED",
        (_flag("train_wav2lip", "val"),),
    ),
    Mutant(
        "--taught_steps is ignored: the expert never asks its own question",
        "training/wav2lip_run.py",
        "data.taught_size > 0 and run.step < options.taught_steps",
        "data.taught_size > 0",
        (_flag("train_wav2lip", "taught_steps"),),
    ),
    Mutant(
        "--adversarial_weight is ignored",
        "training/wav2lip_run.py",
        "adversarial=options.adversarial_weight if other else 0.0",
        "adversarial=0.0",
        (_flag("train_wav2lip", "adversarial_weight"),),
    ),
    Mutant(
        "--weight_decay of train_wav2lip.py is ignored",
        "training/wav2lip_run.py",
        "weight_decay=options.weight_decay, weighted",
        "weight_decay=0.0, weighted",
        (_flag("train_wav2lip", "weight_decay"),),
    ),
    Mutant(
        "--structure_weight and --detail_weight change places",
        "training/wav2lip_run.py",
        "structure=options.structure_weight,\n        detail=options.detail_weight,",
        "structure=options.detail_weight,\n        detail=options.structure_weight,",
        (_flag("train_wav2lip", "structure_weight"),),
    ),
    Mutant(
        "the expert's loss is switched on when it is high",
        "training/wav2lip_run.py",
        'judged.get("sync", float("inf")) < options.sync_from',
        'judged.get("sync", float("inf")) > options.sync_from',
        (_flag("train_wav2lip", "sync_from"),),
    ),
    Mutant(
        "--cache_gb of train_wav2lip.py is ignored",
        "training/wav2lip_run.py",
        "cache_gb=options.cache_gb",
        "cache_gb=20.0",
        (_flag("train_wav2lip", "cache_gb"),),
    ),
    Mutant(
        "--device of train_wav2lip.py is ignored",
        "training/wav2lip_run.py",
        "with processes(cli.torch_device(options.device)) as group:",
        'with processes(cli.torch_device("auto")) as group:',
        (_flag("train_wav2lip", "device"),),
    ),
    Mutant(
        "lists of a preprocessed_root change places",
        "training/wav2lip_run.py",
        'load(options.data, "train.txt", say=say)',
        'load(options.data, "val.txt", say=say)',
        (_flag("train_wav2lip", "filelists"),),
    ),
    Mutant(
        "weights of Wav2Lip's networks do not decay",
        "training/wav2lip.py",
        "torch.optim.AdamW(trained, weight_decay=weight_decay)",
        "torch.optim.AdamW(trained, weight_decay=0.0)",
        (f"{WAV2LIP_STEP}::test_generator_decays_and_discriminator_does_not",),
    ),
    Mutant(
        "the discriminator remembers long",
        "training/wav2lip.py",
        "betas=(0.5, 0.999)",
        "betas=(0.9, 0.999)",
        (f"{WAV2LIP_STEP}::test_generator_decays_and_discriminator_does_not",),
    ),
    Mutant(
        "the teacher's translation is not trained",
        "training/wav2lip.py",
        "trained += lesson.translation.parameters()",
        "pass",
        (f"{WAV2LIP_STEP}::test_generator_decays_and_discriminator_does_not",),
    ),
    Mutant(
        "the discriminator never moves",
        "training/wav2lip.py",
        "_descend(run.rival, other, lr, group, step=run.step)",
        "pass",
        (f"{WAV2LIP_STEP}::test_step_moves_both_networks_at_the_rate_given_and_the_average_after",),
    ),
    Mutant(
        "gradients of Wav2Lip's networks are not clipped",
        "training/wav2lip.py",
        "LARGEST_GRADIENT = 5.0",
        "LARGEST_GRADIENT = 5e9",
        (f"{WAV2LIP_STEP}::test_gradient_is_clipped_to_five_and_reported_as_it_was",),
    ),
    Mutant(
        "the generator's loss pushes the discriminator as well",
        "training/wav2lip.py",
        "    optimizer.zero_grad(set_to_none=True)\n",
        "",
        (
            f"{WAV2LIP_STEP}"
            "::test_gradients_of_the_generators_loss_do_not_reach_the_discriminators_step",
        ),
    ),
    Mutant(
        "a loss that is no number goes on",
        "training/wav2lip.py",
        "if not torch.isfinite(norm):",
        "if False:",
        (f"{WAV2LIP_STEP}::test_loss_that_is_no_number_stops_before_a_weight_moves",),
    ),
    Mutant(
        "other people are judged by Wav2Lip's network in training",
        "training/wav2lip.py",
        "Lesson(run.average.model, expert=run.lesson.expert, discriminator=None)",
        "Lesson(run.lesson.model, expert=run.lesson.expert, discriminator=None)",
        (f"{WAV2LIP_STEP}::test_other_people_are_judged_by_the_averaged_network_in_use",),
    ),
    Mutant(
        "a resumed discriminator starts anew",
        "training/wav2lip.py",
        'self.lesson.discriminator.load_state_dict(state["discriminator"])',
        "pass",
        ("tests/test_train_wav2lip.py::test_a_killed_and_resumed_run_equals_one_never_killed",),
    ),
    Mutant(
        "a resumed translation starts anew",
        "training/wav2lip.py",
        'self.lesson.translation.load_state_dict(state["translation"])',
        "pass",
        (
            "tests/test_train_wav2lip.py"
            "::test_a_killed_and_resumed_run_equals_one_never_killed[expert-stopped]",
        ),
    ),
    Mutant(
        "a resumed discriminator's optimiser starts anew",
        "training/wav2lip.py",
        'self.rival.load_state_dict(state["rival"])',
        "pass",
        ("tests/test_train_wav2lip.py::test_a_killed_and_resumed_run_equals_one_never_killed",),
    ),
    Mutant(
        "what the teacher hears does not count",
        "training/wav2lip.py",
        "loss = loss + weighted.taught * unlike",
        "loss = loss + 0 * unlike",
        (f"{WAV2LIP_STEP}::test_what_the_teacher_says_counts_by_its_weight",),
    ),
)

TOOLS = (
    Mutant(
        "a resumed detector loads nothing",
        "training/detector.py",
        "part.load_state_dict(state[name])",
        "pass",
        (f"{DETECTOR}::test_resumed_detector_equals_one_never_stopped",),
    ),
    Mutant(
        "--per_clip is ignored",
        "training/detector.py",
        "per_clip=args.per_clip",
        "per_clip=16",
        (_tool("detector", "per_clip"),),
    ),
    Mutant(
        "the detector's rate is not the one asked for",
        "training/detector.py",
        "step, peak=args.lr, warmup_steps=100",
        "step, peak=2e-3, warmup_steps=100",
        (_tool("detector", "lr"),),
    ),
    Mutant(
        "--without of evaluate_sync is ignored",
        "training/evaluate_sync.py",
        "figures(model, clips, without=without, seed=args.seed, device=device)",
        "figures(model, clips, without=frozenset(), seed=args.seed, device=device)",
        (_tool("evaluate_sync", "without"),),
    ),
    Mutant(
        "--without of evaluate_expert leaves the others out",
        "training/evaluate_expert.py",
        "not in args.without",
        "in args.without",
        (_tool("evaluate_expert", "without"),),
    ),
    Mutant(
        "wrong sound of an expert's question is a neighbour's",
        "training/evaluate_expert.py",
        "np.abs(starts[:, None] - starts) >= EXPERT_FRAMES",
        "np.abs(starts[:, None] - starts) > 0",
        (f"{EVALUATIONS}::test_wrong_sound_of_the_same_clip_is_five_frames_away",),
    ),
    Mutant(
        "an expert is right about wrong sound above the threshold",
        "training/evaluate_expert.py",
        "(wrong <= THRESHOLD).mean()",
        "(wrong > THRESHOLD).mean()",
        (f"{EVALUATIONS}::test_separation_counts_both_kinds_alike_and_ties_half",),
    ),
    Mutant(
        "sharpness is the real mouth's beside the drawn one's",
        "training/evaluate_mouths.py",
        "sharpness(a) / max(sharpness(b), LEAST_SHARPNESS)",
        "sharpness(b) / max(sharpness(a), LEAST_SHARPNESS)",
        (f"{EVALUATIONS}::test_sharpness_of_half_the_contrast_is_a_quarter",),
    ),
    Mutant(
        "the new mouth is scored against the old sound",
        "training/evaluate_mouths.py",
        "scorer.judge(made, exchange.sound)",
        "scorer.judge(made, own)",
        (f"{EVALUATIONS}::test_foreign_sound_figures_are_of_the_clip_as_it_was_and_as_it_is",),
    ),
    Mutant(
        "a clip may get the sound of its own video",
        "training/evaluate_mouths.py",
        "if stranger.clip.reference == face.clip.reference:",
        "if stranger is face:",
        (f"{EVALUATIONS}::test_clips_exchange_sound_with_another_video_far_along_the_list",),
    ),
    Mutant(
        "the stranger's offset is not taken out of its sound",
        "training/evaluate_mouths.py",
        "lead_ms=-stranger.clip.offset_ms",
        "lead_ms=0.0",
        (f"{EVALUATIONS}::test_clips_exchange_sound_with_another_video_far_along_the_list",),
    ),
    Mutant(
        "Inception sees blue for red",
        "training/fid.py",
        "np.ascontiguousarray(faces[..., ::-1])",
        "np.ascontiguousarray(faces)",
        (f"{EVALUATIONS}::test_fid_of_known_distributions",),
    ),
    Mutant(
        "the file of a table lacks its clips",
        "training/tables.py",
        "write_json(file, table)",
        'write_json(file, {key: value for key, value in table.items() if key != "clips"})',
        (f"{EVALUATIONS}::test_table_is_shown_by_clip_and_in_one_line_and_written_whole",),
    ),
)

MUTANTS: tuple[Mutant, ...] = (
    *JUDGING,
    *RESUME,
    *WORDS,
    *CACHE,
    *SYNCNET,
    *LOSSES,
    *WAV2LIP,
    *TOOLS,
)
