"""Many runs: `expand` lists them, `run_grid` trains the incomplete ones, in this process or through a launcher."""

from pecl.grid.configs import expand, fleets, repeat_configs
from pecl.grid.estimate import TimeEstimate, by_operations, estimate, recorded_seconds
from pecl.grid.run import GridOutcome, plan_grid, run_grid
