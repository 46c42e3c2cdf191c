"""Faults of the one training loop and of the model cards that the suite must notice."""

from tests.mutants.mutant import Mutant

LOOP = "tests/test_fit.py"
CARD = "tests/test_card.py"
WAV2LIP_STEP = "tests/test_train_wav2lip_step.py"
SYNCNET_STEP = "tests/test_training_step.py"
RESUMED_WAV2LIP = (
    "tests/test_train_wav2lip.py::test_a_killed_and_resumed_run_equals_one_never_killed"
)

FIT = (
    Mutant(
        "a stopped run does not save its last step",
        "training/loop/fit.py",
        "save=bool(ended_by)",
        "save=False",
        (f"{LOOP}::test_run_that_was_stopped_is_saved_and_goes_on_with_the_next_step",),
    ),
    Mutant(
        "a stopped run goes on to the end",
        "training/loop/fit.py",
        "            if ended_by:\n                return ended_by\n",
        "",
        (f"{LOOP}::test_run_that_was_stopped_is_saved_and_goes_on_with_the_next_step",),
    ),
    Mutant(
        "a run is not saved at its end",
        "training/loop/fit.py",
        " or run.step == options.steps or run.has_ended()",
        " or run.has_ended()",
        (f"{LOOP}::test_checkpoints_are_written_when_due_and_at_the_end",),
    ),
    Mutant(
        "a run that patience has ended is not saved",
        "training/loop/fit.py",
        " or run.step == options.steps or run.has_ended()",
        " or run.step == options.steps",
        (f"{LOOP}::test_patience_ends_a_run_and_it_stays_ended",),
    ),
    Mutant(
        "patience is one report longer",
        "training/loop/task.py",
        "self.since_best >= self.task.patience",
        "self.since_best > self.task.patience",
        (f"{LOOP}::test_patience_ends_a_run_and_it_stays_ended",),
    ),
    Mutant(
        "a network as good as the best replaces it",
        "training/loop/task.py",
        'score > self.best["score"]',
        'score >= self.best["score"]',
        (f"{LOOP}::test_best_average_is_the_first_of_equals_and_is_kept_as_it_was",),
    ),
    Mutant(
        "the best network's weights go on changing",
        "training/loop/task.py",
        "{k: v.clone() for k, v in self.average",
        "{k: v for k, v in self.average",
        (f"{LOOP}::test_best_average_is_the_first_of_equals_and_is_kept_as_it_was",),
    ),
    Mutant(
        "a resumed run forgets its best network",
        "training/loop/task.py",
        'state.get("best"), state.get("since_best", 0)',
        'None, state.get("since_best", 0)',
        ("tests/test_train_syncnet.py::test_a_run_stops_early_and_exports_its_best",),
    ),
    Mutant(
        "the last network is exported, not the best",
        "training/card.py",
        '        average.load_state_dict(run.best["average"])\n',
        "        pass\n",
        (f"{CARD}::test_best_average_is_exported_where_there_is_one",),
    ),
    Mutant(
        "the network in training is judged, not the averaged one",
        "training/loop/fit.py",
        "task.report(run.average.model, run.step)",
        "task.report(task.network, run.step)",
        (f"{LOOP}::test_best_average_is_the_first_of_equals_and_is_kept_as_it_was",),
    ),
    Mutant(
        "the rate is the peak at every step",
        "training/loop/fit.py",
        "train_step(run, batch, lr=lr, group=group)",
        "train_step(run, batch, lr=options.lr, group=group)",
        (f"{LOOP}::test_every_optimizer_moves_by_the_rate_of_its_step",),
    ),
    Mutant(
        "an optimizer keeps the rate it was made with",
        "training/loop/fit.py",
        '        part["lr"] = lr\n',
        "        pass\n",
        (f"{LOOP}::test_every_optimizer_moves_by_the_rate_of_its_step",),
    ),
    Mutant(
        "--warmup is ignored",
        "training/loop/fit.py",
        "warmup_steps=options.warmup",
        "warmup_steps=0",
        (f"{LOOP}::test_every_optimizer_moves_by_the_rate_of_its_step",),
    ),
    Mutant(
        "the second optimizer never moves",
        "training/loop/fit.py",
        "        for name, optimizer in task.optimizers.items()\n",
        "        for name, optimizer in [*task.optimizers.items()][:1]\n",
        (f"{LOOP}::test_every_optimizer_moves_by_the_rate_of_its_step",),
    ),
    Mutant(
        "every optimizer descends the network's loss",
        "training/loop/fit.py",
        "descend(optimizer, losses[name], lr",
        'descend(optimizer, losses["rival" if name == "rival" else next(iter(losses))], lr',
        (f"{LOOP}::test_every_optimizer_moves_by_the_rate_of_its_step",),
    ),
    Mutant(
        "the average never moves",
        "training/loop/fit.py",
        "    run.average.update(task.network, run.step)\n",
        "",
        (f"{LOOP}::test_average_follows_the_network_after_every_step",),
    ),
    Mutant(
        "the average counts from the step after",
        "training/loop/fit.py",
        "run.average.update(task.network, run.step)",
        "run.average.update(task.network, run.step + 1)",
        (f"{LOOP}::test_average_follows_the_network_after_every_step",),
    ),
    Mutant(
        "a gradient that is no number goes on",
        "training/loop/fit.py",
        "if not torch.isfinite(norm):",
        "if False:",
        (f"{LOOP}::test_loss_that_is_no_number_ends_the_run_with_a_sentence",),
    ),
    Mutant(
        "only gradients that are not numbers end a run, infinite ones do not",
        "training/loop/fit.py",
        "if not torch.isfinite(norm):",
        "if torch.isnan(norm):",
        (f"{LOOP}::test_loss_that_is_no_number_ends_the_run_with_a_sentence",),
    ),
    Mutant(
        "gradients are not clipped",
        "training/loop/fit.py",
        "clip_grad_norm_(parameters, largest)",
        'clip_grad_norm_(parameters, float("inf"))',
        (f"{LOOP}::test_gradients_beyond_the_tasks_norm_are_clipped",),
    ),
    Mutant(
        "a resumed run sees the first batches again",
        "training/loop/fit.py",
        "task.batch, first_step=run.step, last_step=last",
        "task.batch, first_step=0, last_step=last",
        (f"{LOOP}::test_run_that_was_stopped_is_saved_and_goes_on_with_the_next_step",),
    ),
    Mutant(
        "batches are made ahead of the clips they are drawn from",
        "training/loop/fit.py",
        "last = min(step for step in [*task.changes_at, options.steps] if step > run.step)",
        "last = options.steps",
        (f"{LOOP}::test_every_step_gets_its_own_batch_and_none_is_made_before_the_clips_change",),
    ),
    Mutant(
        "clips are judged by the network in training",
        "training/loop/fit.py",
        "task.change_clips(run.average.model)",
        "task.change_clips(task.network)",
        (f"{LOOP}::test_every_step_gets_its_own_batch_and_none_is_made_before_the_clips_change",),
    ),
    Mutant(
        "a resumed run starts from step 0",
        "training/loop/task.py",
        "self.step, self.seconds = state[self.task.step_name], state",
        "self.step, self.seconds = 0, state",
        (f"{LOOP}::test_run_that_was_stopped_is_saved_and_goes_on_with_the_next_step",),
    ),
    Mutant(
        "a resumed run starts from new networks",
        "training/loop/task.py",
        "                part.load_state_dict(state[name])\n",
        "                pass\n",
        (f"{LOOP}::test_run_that_was_stopped_is_saved_and_goes_on_with_the_next_step",),
    ),
    Mutant(
        "a resumed discriminator and translation start anew",
        "training/tasks/wav2lip.py",
        '            "translation": translation,\n            "discriminator": other,\n',
        "",
        (f"{RESUMED_WAV2LIP}[expert-stopped]",),
    ),
    Mutant(
        "a task's own state is not restored",
        "training/loop/task.py",
        "remark = self.task.restore(state, self.origin)",
        'remark = ""',
        (f"{LOOP}::test_run_that_was_stopped_is_saved_and_goes_on_with_the_next_step",),
    ),
    Mutant(
        "what a report switches on is not written down",
        "training/loop/fit.py",
        "    if journal and changed:\n",
        "    if journal and not changed:\n",
        (f"{LOOP}::test_report_may_switch_something_on_with_a_row_of_its_own",),
    ),
    Mutant(
        "rows are written at every step whatever --log_every",
        "training/loop/fit.py",
        "run.step % options.log_every == 0",
        "run.step % 1 == 0",
        (
            "tests/test_training_flags_tools.py::test_tool_flag_gives_each_value_its_own_result"
            "[detector-log_every]",
        ),
    ),
    Mutant(
        "the discriminator's loss is not asked for",
        "training/tasks/wav2lip.py",
        '{} if other is None else {"rival": other}',
        '{} if other is None else {"rival": other * 0}',
        (f"{WAV2LIP_STEP}::test_step_moves_both_networks_at_the_rate_given_and_the_average_after",),
    ),
    Mutant(
        "other people are judged by Wav2Lip's network in training",
        "training/tasks/wav2lip.py",
        "wav2lip_module.judge(network, self.data",
        "wav2lip_module.judge(self.network, self.data",
        (f"{WAV2LIP_STEP}::test_other_people_are_judged_by_the_averaged_network_in_use",),
    ),
    Mutant(
        "other people are judged by the SyncNet in training",
        "training/tasks/syncnet.py",
        "mixed = self._mixed(average)",
        "mixed = self._mixed(self.network)",
        (f"{SYNCNET_STEP}::test_clips_and_other_people_are_judged_by_the_network_given",),
    ),
    Mutant(
        "other people's windows follow --batch_size",
        "training/tasks/wav2lip.py",
        '{"size": UNSEEN_WINDOWS, ',
        '{"size": options.batch_size, ',
        (
            "tests/test_train_wav2lip_step.py"
            "::test_other_people_are_judged_on_the_same_windows_whatever_the_batch_size",
        ),
    ),
    Mutant(
        "a detector's pictures are any of the same folder's",
        "training/detector.py",
        'sizes[f"{file.parent.name}/{name}"] = path.stat().st_size if path.exists() else 0',
        'sizes[f"{file.parent.name}/{name}"] = 0',
        ("tests/test_training.py::test_detectors_resume_names_what_is_another_run",),
    ),
    # Cards.
    Mutant(
        "the command of a card lacks empty lists",
        "training/card.py",
        "if name in NO_EFFECT or value is None:",
        "if name in NO_EFFECT or not value:",
        (f"{CARD}::test_command_of_a_card_says_everything_that_changes_the_weights",),
    ),
    Mutant(
        "the command of a card lacks --cache_gb, which decides which clips fit",
        "training/card.py",
        'NO_EFFECT = ("cache", ',
        'NO_EFFECT = ("cache", "cache_gb", "device", ',
        (f"{CARD}::test_command_of_a_card_says_everything_that_changes_the_weights",),
    ),
    Mutant(
        "figures of a card are those of the network before it was written",
        "training/card.py",
        "    weights.fill(network, file)  # what is reported is what is in the file\n",
        "",
        (f"{CARD}::test_figures_of_a_card_are_of_the_file",),
    ),
    Mutant(
        "a card tells the commit of whatever repository the code lies in",
        "training/card.py",
        "if Path(root).resolve() != folder.resolve():",
        "if not root:",
        (f"{CARD}::test_commit_is_that_of_the_code_and_says_where_files_differ",),
    ),
    Mutant(
        "a card does not tell that files differ from the commit",
        "training/card.py",
        '" and changes" if changed else ""',
        '""',
        (f"{CARD}::test_commit_is_that_of_the_code_and_says_where_files_differ",),
    ),
)
