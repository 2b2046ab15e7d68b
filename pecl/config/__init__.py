"""What a run is made of: `ExperimentConfig`, its fields' roles and choices, and configs as text and YAML."""

from pecl.config.choices import (
    ALIGNMENTS,
    ANCHORS,
    CHOOSE,
    ENGINES,
    GALLERIES,
    OVERLAPS,
    SOLVERS,
    TEXT_TESTS,
    TRAIN_ON,
    WITH_BANK,
    Role,
)
from pecl.config.experiment import (
    ANCHOR_FIELDS,
    EVALUATION_FIELDS,
    FLEET_FIELDS,
    IDENTITY_DEFAULTS,
    MACHINE_FIELDS,
    ExperimentConfig,
    fields_of,
)
from pecl.config.reading import (
    each_language,
    make_config,
    parse_value,
    read_yaml,
    write_yaml,
)
from pecl.config.recipes import DISTIL_DEFAULTS, SCHEDULE_FIELDS, WITH_IMAGES, schedule_for
