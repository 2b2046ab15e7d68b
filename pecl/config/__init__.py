"""Settings of a run: `ExperimentConfig`, its fields' roles and choices, and configs as text and YAML."""

from pecl.config.choices import LEXICON, LOSSES, TEXT_SETS, TEXT_TESTS, TRAIN_ON, WITH_BANK, Role
from pecl.config.engines import ENGINES
from pecl.config.experiment import FLEET_FIELDS, IDENTITY_DEFAULTS, MACHINE_FIELDS, ExperimentConfig, fields_of
from pecl.config.reading import check_fields, each_language, make_config, read_yaml
from pecl.config.recipes import DISTIL_DEFAULTS, SCHEDULE_FIELDS, WITH_IMAGES, schedule_for
