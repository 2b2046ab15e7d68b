"""Search a learning rate and an alignment weight with Optuna: `python examples/optuna_search.py [TRIALS]`.

It needs `pip install optuna`. Two trials at a time are trained as one fleet, seed after seed. A trial is pruned when
Wilcoxon's test finds it worse than the best trial on the same seeds. The study is a file: the same command continues a
killed search, and pecl trains no run again.
"""

import sys
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import Trial, TrialState

import pecl

CONFIG = {
    "language": "de",
    "adapter": "lora:layers=top-2",  # the layers below are frozen, and pecl computes them once
    "shots": 20,
    "epochs": 2,
    "out": "results/optuna_search",
}
SPACE = {"lr": FloatDistribution(1e-4, 1e-2, log=True), "alignment_weight": FloatDistribution(0.01, 1.0, log=True)}
SEEDS = range(1, 5)
FLEET = 2  # trials at a time
P_VALUE = 0.2  # a trial that is worse on three seeds of three has p = 1/8


def open_study(out: str) -> optuna.Study:
    """Return the study of a results folder; trials that a killed search left unfinished are asked first."""
    Path(out).mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{out}/study.db",
        study_name="search",
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.WilcoxonPruner(p_threshold=P_VALUE),
    )
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))  # other draws when it continues
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.enqueue_trial(trial.params)
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def train_trials(study: optuna.Study, trials: list[Trial], config: dict[str, Any]) -> None:
    """Train trials seed after seed, and tell the study the mean validation recall of each."""
    scores: dict[int, list[float]] = {trial.number: [] for trial in trials}
    for seed in SEEDS:
        outcome = pecl.run_grid([pecl.make_config({**config, **trial.params, "seed": seed}) for trial in trials])
        remaining = []
        for trial, result in zip(trials, outcome.results, strict=True):
            if result.status != "complete":  # it diverged
                study.tell(trial, state=TrialState.FAIL)
                continue
            scores[trial.number].append(result.recall("val", "best"))
            trial.report(scores[trial.number][-1], step=seed)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)  # with its last score
            else:
                remaining.append(trial)
        trials = remaining
        if not trials:
            return

    for trial in trials:
        study.tell(trial, mean(scores[trial.number]))


def main(trials: int = 4, **values: Any) -> optuna.Study:
    """Search until the study has `trials` trials, besides failed ones; `values` override the config."""
    config = {**CONFIG, **values}
    study = open_study(config["out"])
    while (missing := trials - len(finished(study))) > 0:
        train_trials(study, [study.ask(SPACE) for _ in range(min(FLEET, missing))], config)
    return study


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that were trained on all seeds or pruned."""
    return study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])


if __name__ == "__main__":
    study = main(*map(int, sys.argv[1:]))
    print({name: round(value, 5) for name, value in study.best_params.items()}, f"validation {study.best_value:.3f}")
