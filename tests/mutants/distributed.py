"""Faults of what is shared by processes, lies in files, or is embedded in bulk."""

from mutants.table import Mutant

WHOLE = ("tests/training/test_distributed.py::test_the_gradient_is_that_of_the_whole_batch",)
EQUAL = ("tests/training/test_distributed.py::test_several_processes_equal_one_on_the_joint_batch",)
KILLED = ("tests/training/test_distributed.py::test_a_killed_training_goes_on_in_all_processes",)
STORED = ("tests/encoders/test_token_store.py",)
BULK = ("tests/bulk/test_embed.py::test_an_adapter_and_lengths_are_those_that_are_asked_for",)

# name, file, before, after, tests, science
_FAULTS = [
    (
        "gradients of the processes are averaged",
        "pecl/training/distributed.py",
        "dist.reduce(flat, 0)",
        "dist.reduce(flat.div_(self.size), 0)",
        WHOLE,
        True,
    ),
    (
        "every process encodes the rows of the first",
        "pecl/training/distributed.py",
        "range(self.rank, rows, self.size)",
        "range(0, rows, self.size)",
        WHOLE,
        True,
    ),
    (
        "gathered rows lie by process",
        "pecl/training/distributed.py",
        "torch.stack(parts, dim=1)",
        "torch.stack(parts)",
        WHOLE,
        True,
    ),
    (
        "a process takes the gradient of the first one's rows",
        "pecl/training/distributed.py",
        "padded[rank :: self.size].contiguous()",
        "padded[0 :: self.size].contiguous()",
        WHOLE,
        True,
    ),
    (
        "each process steps by its own gradient",
        "pecl/training/trainer.py",
        "        self.processes.sum_gradients(self.adapter.parameters())\n",
        "",
        EQUAL,
        True,
    ),
    (
        "offsets begin anew in every block",
        "pecl/encoders/token_store.py",
        "end + np.cumsum(",
        "np.cumsum(",
        STORED,
        True,
    ),
    (
        "rows of a later file are those of the first",
        "pecl/encoders/embeddings.py",
        "part = block[start]",
        "part = 0",
        STORED,
        True,
    ),
    (
        "a file is not compared with its digest",
        "pecl/encoders/rows.py",
        "if check and metadata",
        "if not check and metadata",
        STORED,
    ),
    (
        "an adapter is attached, and its parameters are left out",
        "pecl/bulk/job.py",
        ".load_slot_state(0, file.state)",
        "",
        BULK,
        True,
    ),
    (
        "lengths are left as they are",
        "pecl/bulk/job.py",
        "F.normalize(batch, dim=1) if self.job.normalize else batch",
        "batch",
        BULK,
        True,
    ),
]
MUTANTS = [Mutant(*fault) for fault in _FAULTS]
