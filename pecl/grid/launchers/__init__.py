"""Launchers, which train the runs of a grid: the table `LAUNCHERS`, and `make_launcher`."""

from collections.abc import Callable, Sequence

from pecl.errors import ConfigError, setting, unknown
from pecl.grid.launchers.base import Launcher, parse_options
from pecl.grid.launchers.processes import Processes, parse_devices
from pecl.grid.launchers.ray import Ray
from pecl.grid.launchers.slurm import Slurm
from pecl.grid.launchers.worker import Inline

# name -> launcher, given the number of jobs (None if not given) and the options as key=value
LAUNCHERS: dict[str, Callable[[int | None, Sequence[str]], Launcher]] = {
    "inline": lambda jobs, options: Inline(),
    "process": lambda jobs, options: Processes(2 if jobs is None else jobs),
    "slurm": lambda jobs, options: Slurm(jobs or 0, parse_options("slurm", options)),
    "ray": lambda jobs, options: Ray(jobs or 1, parse_options("ray", options)),
}


def make_launcher(
    name: str | None = None, jobs: int | None = None, options: Sequence[str] = (), devices: Sequence[str] = ()
) -> Launcher:
    """Return a launcher of `LAUNCHERS`; by default inline for one job and process for several.

    Options are those of slurm or ray, as key=value. Processes take `devices` in turn, such as `cuda:0` and `cuda:1`;
    one job each unless `jobs` is given.

    Raises:
        ConfigError: no such launcher, option or device, too few jobs, or a missing package.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"expected a whole number >= 1, got {jobs}", field="jobs")

    if devices:
        if name not in (None, "process"):
            raise ConfigError(f"expected launcher process, got {name}, which places its jobs itself", field="devices")
        kind, gpus = parse_devices(devices)
        launcher = Processes(len(devices) if jobs is None else jobs, gpus)
        launcher.sharing(kind)  # refuse a missing GPU now
        return launcher

    if name is None:
        name = "inline" if jobs in (None, 1) else "process"
    if name not in LAUNCHERS:
        raise ConfigError(unknown("launcher", name, LAUNCHERS))
    if name == "inline" and jobs not in (None, 1):
        raise ConfigError(
            f"launcher inline runs one job at a time, got {setting(jobs=jobs)}: expected {setting(launcher='process')}"
        )
    return LAUNCHERS[name](jobs, options)
