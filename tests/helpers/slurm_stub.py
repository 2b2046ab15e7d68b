"""A Slurm of one host for tests: `install(folder)` writes sbatch, srun, sacct and scancel that act on processes here.

sbatch starts the script once for each index of its array; a job's process id and exit status are kept as files in the
folder, from which sacct answers.
"""

import os
import stat
import sys
from pathlib import Path

_SCRIPT = """#!{python}
import os, re, signal, subprocess, sys
from pathlib import Path

jobs = Path({jobs!r})
name = Path(sys.argv[0]).name

def sbatch(script):
    with open(jobs / "submitted", "a") as file:
        file.write(script + "\\n---\\n")
    number = str(100 + len(list(jobs.glob("number-*"))))
    (jobs / ("number-" + number)).touch()
    array = re.search(r"--array=0-(\\d+)", script)
    for index in range(int(array[1]) + 1) if array else [None]:
        identity = number if index is None else f"{{number}}_{{index}}"
        environment = dict(os.environ, SLURM_JOB_ID=number, SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0",
                           SLURM_NTASKS="1", SLURM_JOB_NUM_NODES="1", SLURM_JOB_NODELIST="localhost")
        if index is not None:
            environment.update(SLURM_ARRAY_JOB_ID=number, SLURM_ARRAY_TASK_ID=str(index))
        (jobs / f"{{identity}}.sh").write_text(script)
        ended = f"{{jobs}}/{{identity}}.status"  # renamed, so that nobody reads it before it is written
        code = f"bash {{jobs}}/{{identity}}.sh; echo $? > {{ended}}.new; mv {{ended}}.new {{ended}}"
        process = subprocess.Popen(["bash", "-c", code], env=environment, start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (jobs / f"{{identity}}.pid").write_text(str(process.pid))
    print("Submitted batch job", number)

def srun(arguments):
    while arguments[0].startswith("--"):
        arguments = arguments[2 if arguments[0] in ("--output", "--error") else 1:]
    os.execvp(arguments[0], arguments)

def sacct():
    print("JobID|State|NodeList")
    for pid in jobs.glob("*.pid"):
        status = pid.with_suffix(".status")
        state = "RUNNING" if not status.exists() else "COMPLETED" if status.read_text() == "0\\n" else "FAILED"
        print(pid.stem, state, "localhost", sep="|")

def scancel(identity):
    os.killpg(int((jobs / f"{{identity}}.pid").read_text()), signal.SIGKILL)

if name == "sbatch":
    sbatch(Path(sys.argv[1]).read_text())
elif name == "srun":
    srun(sys.argv[1:])
elif name == "sacct":
    sacct()
else:
    scancel(sys.argv[1])
"""


def install(folder: Path, monkeypatch) -> Path:
    """Put the four programs in front of PATH and return the folder of the jobs' files."""
    programs, jobs = folder / "bin", folder / "jobs"
    programs.mkdir()
    jobs.mkdir()
    for name in ("sbatch", "srun", "sacct", "scancel"):
        path = programs / name
        path.write_text(_SCRIPT.format(python=sys.executable, jobs=str(jobs)))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return jobs
