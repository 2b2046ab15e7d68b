"""MLflow: runs in the SQLite database `mlflow.db`, or in the store of MLFLOW_TRACKING_URI."""

import os
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at import

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from pecl.files import locked

_RUN_TAG = "pecl.run"


class MlflowTracker:
    """Writes a run of MLflow per run, in the experiment of MLFLOW_EXPERIMENT_NAME or of the folder's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not self.uri:
            # of MLflow's SQLite; its small package brings neither
            for package in ("sqlalchemy", "alembic"):
                import_module(package)
        self.client: MlflowClient | None = None
        self.run_ids: dict[str, str] = {}  # MLflow's own, by run

    def log_config(self, run: str, config: Mapping[str, Any], step: int) -> None:
        """Open the run of MLflow with the tag `pecl.run`; at step 0 a new one, in place of an earlier one."""
        client = self._connected()
        experiment = self._experiment(client)

        earlier = client.search_runs([experiment], filter_string=f"tags.`{_RUN_TAG}` = '{run}'")

        if step and earlier:
            self.run_ids[run] = earlier[0].info.run_id
            client.update_run(self.run_ids[run], status="RUNNING")
            return

        for old in earlier:
            client.delete_run(old.info.run_id)

        created = client.create_run(experiment, run_name=run, tags={_RUN_TAG: run})
        self.run_ids[run] = created.info.run_id
        client.log_batch(self.run_ids[run], params=[Param(name, str(value)) for name, value in config.items()])

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """Add the metrics of a step; MLflow's names have no @, so recall@1 is recall_at_1."""
        milliseconds = int(1000 * time.time())
        batch = [Metric(name.replace("@", "_at_"), value, milliseconds, step) for name, value in metrics.items()]
        self._connected().log_batch(self.run_ids[run], metrics=batch)

    def close(self, run: str) -> None:
        """End the run."""
        self._connected().set_terminated(self.run_ids.pop(run))

    def _connected(self) -> MlflowClient:
        if self.client is None:
            if not self.uri:
                self.folder.mkdir(parents=True, exist_ok=True)
            # MLflow reads the path as part of a URL
            self.client = MlflowClient(self.uri or f"sqlite:///{quote(str(self.folder / 'mlflow.db'))}")
        return self.client

    def _experiment(self, client: MlflowClient) -> str:
        """Return the id of the experiment, which one of several processes creates."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.folder.name
        with locked(self.folder / ".mlflow.lock", "", wait=True):
            experiment = client.get_experiment_by_name(name)
            if experiment is not None:
                return experiment.experiment_id
            artifacts = None if self.uri else (self.folder / "mlflow").as_uri()
            return client.create_experiment(name, artifacts)
