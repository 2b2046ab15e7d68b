"""Faults of processes: workers, grids, locks, files that are whole or absent."""

from mutants.table import Mutant

RUN, WORKER, SLURM = "pecl/grid/run.py", "pecl/grid/launchers/worker.py", "pecl/grid/launchers/slurm.py"
LOCKS, ENVIRONMENT, STATUS = "pecl/results/locks.py", "pecl/results/environment.py", "pecl/grid/status.py"
ATOMIC, FLOCK, TENSORS = "pecl/files/atomic.py", "pecl/files/locks.py", "pecl/files/tensors.py"
LOCKS_TEST, FILES_TEST = ("tests/results/test_locks.py",), ("tests/files/test_files.py",)
ENVIRONMENT_TEST = (
    "tests/experiment/test_record.py::test_a_result_says_of_which_commit_it_is_and_whether_tracked_files_were_changed",
)
STATES_TEST = ("tests/grid/test_run.py::test_states_of_complete_runs_alone_are_removed",)
ONCE_TEST = ("tests/grid/test_run.py::test_a_result_that_is_not_seen_is_waited_for_once",)
TURNED_OFF_TEST = ("tests/grid/test_run.py::test_a_grid_is_trained_with_progress_bars_turned_off",)
PREEMPTED_TEST = ("tests/grid/launchers/test_launchers.py::test_a_preempted_slurm_job_is_queued_again_with_its_task",)
BUSY_TEST = ("tests/grid/launchers/test_launchers.py::test_a_worker_leaves_a_run_that_another_process_is_at_work_on",)
WRITE_TEST = ("tests/grid/launchers/test_launchers.py::test_a_worker_that_cannot_write_says_so",)
INTERRUPT_TEST = ("tests/grid/launchers/test_launchers.py::test_an_interrupted_worker_records_it",)
INPUT_TEST = ("tests/grid/launchers/test_launchers.py::test_a_worker_ends_with_its_input",)

MUTANTS = [
    Mutant(
        "an interrupted worker ends as if its results were written",
        WORKER,
        'status, sentence = 130, "interrupted"',
        'status, sentence = 0, "interrupted"',
        INTERRUPT_TEST,
    ),
    Mutant(
        "a worker started in the background is deaf to interrupts",
        WORKER,
        "signal.signal(signal.SIGINT, signal.default_int_handler)",
        "signal.getsignal(signal.SIGINT)",
        INTERRUPT_TEST,
    ),
    Mutant(
        "a worker that finds its run busy ends as if it had bad input",
        WORKER,
        "return BUSY, str(error)",
        "return BAD_INPUT, str(error)",
        BUSY_TEST,
    ),
    Mutant(
        "a worker that finds its run busy ends as if its results were written",
        WORKER,
        "    except (PeclError, BusyError):\n        raise\n",
        "    except PeclError:\n        raise\n",
        BUSY_TEST,
    ),
    Mutant(
        "a worker that cannot write ends as if it had bad input",
        WORKER,
        "return CANNOT_WRITE, str(error)",
        "return BAD_INPUT, str(error)",
        WRITE_TEST,
    ),
    Mutant(
        "a worker outlives the grid that started it",
        WORKER,
        "    sys.stdin.read()\n    _thread.interrupt_main()",
        "    sys.stdin.read()",
        INPUT_TEST,
    ),
    Mutant(
        "a preempted Slurm job is not queued again",
        SLURM,
        "def checkpoint(self",
        "def on_preemption(self",
        PREEMPTED_TEST,
    ),
    Mutant(
        "a preempted Slurm job forgets its task",
        SLURM,
        "return DelayedSubmission(self, text)",
        'return DelayedSubmission(self, "")',
        PREEMPTED_TEST,
    ),
    Mutant(
        "a result that is not seen is waited for for ever",
        RUN,
        "if task.name in self.without_result:",
        "if False:",
        ONCE_TEST,
    ),
    Mutant(
        "a result that is not seen at once is a failure",
        RUN,
        "if task.name in self.without_result:",
        "if task.name not in self.without_result:",
        ONCE_TEST,
    ),
    Mutant(
        "the states of failed runs are removed",
        RUN,
        "                if complete_result(config, self.hashes):\n",
        "                if True:\n",
        STATES_TEST,
    ),
    Mutant(
        "the state of a run that another process is at work on is removed",
        RUN,
        "with contextlib.suppress(BusyError), hold(out, [config.run_id()]):",
        "with contextlib.suppress(BusyError):",
        STATES_TEST,
    ),
    Mutant(
        "the states of complete runs stay",
        RUN,
        "            if has_states(out):\n",
        "            if not has_states(out):\n",
        STATES_TEST,
    ),
    Mutant("locks are taken in the order asked for", LOCKS, "sorted(set(runs))", "dict.fromkeys(runs)", LOCKS_TEST),
    Mutant("a run named twice waits for itself", LOCKS, "sorted(set(runs))", "sorted(runs)", LOCKS_TEST),
    Mutant(
        "a lock keeps the end of a killed holder's name",
        FLOCK,
        "        os.truncate(descriptor, 0)\n",
        "",
        LOCKS_TEST,
    ),
    Mutant(
        "a file that another process made anew is taken for the lock",
        FLOCK,
        "            if is_at(path, descriptor):",
        "            if True:",
        LOCKS_TEST,
    ),
    Mutant(
        "unfinished files are removed while somebody writes them",
        ATOMIC,
        "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n            path.unlink()",
        "            path.unlink()",
        FILES_TEST,
    ),
    Mutant(
        "a writer does not hold its unfinished file",
        ATOMIC,
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n    except",
        "        pass\n    except",
        FILES_TEST,
    ),
    Mutant(
        "a writer goes on with an unfinished file that was removed",
        ATOMIC,
        "    except FileNotFoundError:\n        return False\n    return True",
        "    except FileNotFoundError:\n        return True\n    return True",
        FILES_TEST,
    ),
    Mutant(
        "a holder removes the lock file of the one who took over",
        FLOCK,
        "        if is_at(path, descriptor):\n            path.unlink",
        "        if True:\n            path.unlink",
        LOCKS_TEST,
    ),
    Mutant(
        "a checksum is not compared",
        TENSORS,
        "        if expected is not None and expected != _digest(tensors, metadata):",
        "        if False:",
        FILES_TEST,
    ),
    Mutant(
        "a checksum leaves the metadata out",
        TENSORS,
        "sha256_json([heads, dict(metadata)])",
        "sha256_json([heads])",
        FILES_TEST,
    ),
    Mutant(
        "the unfinished files of other targets are removed",
        ATOMIC,
        ' and target in ("", found["target"])',
        "",
        FILES_TEST,
    ),
    Mutant(
        "a changed checkout counts as clean",
        ENVIRONMENT,
        'dirty = bool(_git("status", "--porcelain", "--untracked-files=no")) if commit else None',
        "dirty = False if commit else None",
        ENVIRONMENT_TEST,
    ),
    Mutant(
        "a clean checkout counts as changed",
        ENVIRONMENT,
        "dirty = bool(_git(",
        "dirty = not bool(_git(",
        ENVIRONMENT_TEST,
    ),
    Mutant(
        "an untracked file makes a checkout changed",
        ENVIRONMENT,
        ', "--untracked-files=no"',
        "",
        ENVIRONMENT_TEST,
    ),
    Mutant(
        "an installation without a checkout counts as clean",
        ENVIRONMENT,
        "if commit else None",
        "if commit else False",
        ENVIRONMENT_TEST,
    ),
    Mutant(
        "the status line writes to a bar that is turned off",
        STATUS,
        "self._shown[0] = self.text()",
        "self.bar.postfix[0] = self.text()",
        TURNED_OFF_TEST,
    ),
]
