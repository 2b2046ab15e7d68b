"""Fixtures that several test files share."""

import logging
import random
from importlib import import_module

import numpy as np
import pytest
import torch
from helpers.grid_processes import Command
from hypothesis import HealthCheck, settings

from pecl.encoders.loading.unpacked import weights_folder
from pecl.experiment.towers import _load_once
from pecl.files.progress import OFF

# Modules that keep a name of a module where tests replace it; first imported then, they would keep the replacement.
IMPORTED = "apps.bulk.job apps.commands.adapters apps.commands.export commands.languages apps.export.hub"
for name in IMPORTED.split():
    import_module(f"pecl.{name}")

pytest_plugins = [
    "helpers.browser",
    "helpers.fake_device",
    "helpers.registries",
    "helpers.small_experiment",
    "helpers.devices",
    "helpers.small_index",
    "helpers.translation_models",
]
pytest.register_assert_rewrite("helpers.run_by_hand")  # its assertions say both values, as those of a test do

# How long an example takes says nothing on a machine that does other things as well. The examples are the same each
# time, so that a commit that passed passes again; `--hypothesis-profile=pecl-search` draws others.
settings.register_profile("pecl-search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("pecl", settings.get_profile("pecl-search"), derandomize=True)
settings.load_profile("pecl")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """Have a cache that begins empty and is no other worker's, nor that of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PECL_WEIGHTS_DIR", str(weights_folder()))  # half a gigabyte, the same for all
        patch.setenv("PECL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PECL_INDEX_DIR", str(tmp_path_factory.mktemp("indexes")))
        yield


@pytest.fixture(autouse=True)
def _no_other_test_is_felt(monkeypatch):
    """Have bars, levels of log lines and draws as in a new process, and no line in a file because time went by."""
    monkeypatch.setenv(OFF, "0")  # `--quiet` sets bars off in the environment, for all processes
    monkeypatch.setattr("pecl.files.progress.EVERY", 1e9)
    logging.getLogger("pecl").setLevel(logging.NOTSET)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """Give back threads, kill commands and forget towers."""
    before = torch.get_num_threads()  # cached embeddings are kept by it
    yield
    torch.set_num_threads(before)
    Command.kill_all()  # pytest would wait for them when it ends, forever for a frozen one
    _load_once.cache_clear()  # of a pair that is loaded by halves, one may be real and the other one tiny


# What only `bash scripts/test.sh --all` runs: whole files (kills, browsers, and programs that documents name), and tests of
# more than three seconds whose subject a quicker test of the same folder has, too. A name may end before its parameters.
SLOW = (
    "test_browser.py",
    "test_documents.py",
    "test_full_size.py",
    "test_kills.py",
    "test_notebook.py",
    "test_site.py",
    "test_adapters.py::test_shipped_adapters_are_listed_with_their_terms",
    "test_code_digest.py::test_equal_code_has_one_digest_in_any_process",
    "test_contract.py::test_an_export_embeds_hard_texts_as_its_tower[metaclip-mt5-ONNX",
    "test_contract.py::test_an_export_embeds_hard_texts_as_its_tower[nllb-",
    "test_distil.py::test_a_lexicon_of_the_training_pairs_is_a_start",
    "test_distil.py::test_one_call_distils_all_languages_of_a_joint_training",
    "test_distil.py::test_photographs_of_the_training_part_are_learned_from_and_said",
    "test_distil.py::test_word_embeddings_of_a_start_give_way_to_the_languages_own_tokens",
    "test_examples.py::test_it_runs_as_a_script[optuna_search]",
    "test_halving.py::test_a_grid_that_is_killed_while_it_records_its_runs_ends_with_the_same",
    "test_halving.py::test_a_grid_without_halving",
    "test_immich.py::test_bad_input_writes_nothing[damaged-differently",
    "test_immich.py::test_families_equal_the_merged_tower[nllb]",
    "test_immich.py::test_families_equal_the_merged_tower[open-clip-siglip]",
    "test_launchers.py::test_slurm_gives_what_this_process_gives",
    "test_mini.py::test_english_recall_on_the_pool",
    "test_mini.py::test_wheels_are_not_imported_nor_transformers",
    "test_onnx.py::test_one_file_serves_all_languages_of_a_bank[xlm-roberta-soft_prompt",
    "test_onnx.py::test_one_language_and_pictures_and_eight_bits",
    "test_opendelta.py::test_runs_after_one_of_opendelta_equal_runs_in_a_process_without_it",
    "test_openvino.py::test_a_cache_that_cannot_be_written",
    "test_openvino.py::test_a_damaged_graph_is_converted_again",
    "test_openvino.py::test_bulk_embeddings_name_the_backend",
    "test_openvino.py::test_images_have_equal_embeddings",
    "test_openvino.py::test_texts_in_several_languages_have_equal_embeddings",
    "test_openvino.py::test_the_second_start_reads_the_cache",
    "test_optuna.py::test_a_killed_search_continues",
    "test_peft_engine.py::test_an_adapter_of_peft_is_exported_merged[boft",
    "test_peft_engine.py::test_an_adapter_of_peft_is_exported_merged[trainable_tokens",
    "test_peft_engine.py::test_an_adapter_of_peft_is_exported_merged[vera",
    "test_plots.py::test_no_figure_gives_the_score_of_one_method_to_another",
    "test_processes.py::test_two_processes_give_what_one_gives",
    "test_registered_code.py::test_workers_of_a_grid_agree",
    "test_run.py::test_two_grids_at_once_do_no_run_twice",
    "test_scenes.py::test_the_shipped_table_is_what_the_generator_makes",
    "test_server.py::test_a_signal_loses_no_request",
    "test_towers.py::test_the_list_has_every_pair",
    "test_translated.py::test_words_of_a_language_are_in_its_script",
    "test_whole_folders.py::test_killed_and_run_again_it_gives_the_same_bits",
    "test_whole_runs.py::test_a_language_is_distilled_onto_every_family[metaclip-mt5]",
    "test_whole_runs.py::test_a_language_is_distilled_onto_every_family[nllb]",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if f"{item.path.name}::{item.name}".startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU that torch can use"))
