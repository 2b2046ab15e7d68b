"""Trackers: where the curves of a training are reported to. `tracker` has the protocol; each package has a file."""

from pecl.config.choices import TRACKERS

TRACKERS.fill(
    {
        "tensorboard": "pecl.training.trackers.tensorboard:TensorBoardTracker",
        "wandb": "pecl.training.trackers.wandb:WandbTracker",
        "mlflow": "pecl.training.trackers.mlflow:MlflowTracker",
        "trackio": "pecl.training.trackers.trackio:TrackioTracker",
        "csv": "pecl.training.trackers.csv:CsvTracker",
    }
)
