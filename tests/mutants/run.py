"""Put each fault of the tables into a copy of the project and see whether its tests find it.

    python tests/mutants/run.py [--only TEXT] [--jobs N]

Exit status: 0 if every fault was found, 1 otherwise.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from mutants.table import Mutant, all_mutants  # noqa: E402  (the line above makes the tables importable)

COPIED = ("pecl", "tests", "scripts", "configs", "examples", "pyproject.toml", "README.md", "data")
_PYTEST_FAILED = 1
_TIMEOUT_SECONDS = 600
# Each fault has a process of its own, forked from one that has imported what takes long, and none of the project.
_PROCESSES = multiprocessing.get_context("forkserver")
_IMPORTED = ("torch", "transformers", "safetensors.torch", "hypothesis", "pytest", "pandas", "PIL.Image", "yaml")


def copy_project(target: Path) -> None:
    """Copy what the tests need into `target`."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, target / name)


def is_found(mutant: Mutant, project: Path) -> bool:
    """Run the fault's tests in the copy `project` and return whether one failed; the copy is mended afterwards.

    Raises:
        RuntimeError: If pytest could not run the tests (a test id that does not exist, a syntax error).
    """
    target, output = project / mutant.file, project / "output"
    sound = target.read_text("utf-8")
    target.write_text(mutant.source(), "utf-8")
    tests = _PROCESSES.Process(target=_run_tests, args=(project, mutant.tests, output))
    try:
        tests.start()
        tests.join(_TIMEOUT_SECONDS)
        if tests.exitcode is None:  # a test hangs of the fault
            tests.kill()
            tests.join()
            return True
    finally:
        target.write_text(sound, "utf-8")
    if tests.exitcode not in (0, _PYTEST_FAILED):
        raise RuntimeError(f"{mutant.name}: pytest ended with {tests.exitcode}\n{output.read_text('utf-8')[-4000:]}")
    return tests.exitcode != 0


def _run_tests(project: Path, tests: tuple[str, ...], output: Path) -> None:
    """Run pytest in the copy `project`; the exit status of this process is pytest's."""
    os.chdir(project)
    sys.path[:0] = [str(project), str(project / "tests")]
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ["PYTHONPATH"] = str(project)  # for the processes that tests start
    import pytest

    status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not gpu", *tests])
    sys.stdout.flush()
    os._exit(int(status))


def run(mutants: list[Mutant], jobs: int) -> list[Mutant]:
    """Return the faults that were not found; one line is printed for each fault."""
    os.environ.update({"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"})
    _PROCESSES.set_forkserver_preload(list(_IMPORTED))
    alive = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        copies: Queue[Path] = Queue()
        for job in range(jobs):
            copy_project(Path(folder) / str(job))
            copies.put(Path(folder) / str(job))

        def check(mutant: Mutant) -> bool:
            project = copies.get()
            try:
                return is_found(mutant, project)
            finally:
                copies.put(project)

        for mutant, found in zip(mutants, pool.map(check, mutants), strict=True):
            print(f"{'found' if found else 'ALIVE'}  {mutant.name}", flush=True)  # noqa: T201
            if not found:
                alive.append(mutant)
    return alive


def main() -> int:
    """Run the requested faults, print how many were found, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="only faults whose name or file holds TEXT")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="faults tried at once (default 1)")
    args = parser.parse_args()
    mutants = [mutant for mutant in all_mutants() if args.only in mutant.name or args.only in mutant.file]
    if not mutants:
        parser.error(f"--only: no fault's name or file holds {args.only!r}")
    alive = run(mutants, args.jobs)
    print(f"{len(mutants) - len(alive)} of {len(mutants)} found")  # noqa: T201
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
