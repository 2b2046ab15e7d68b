"""Faults that show on another device than the CPU: what lies on the wrong one, and what makes the CPU wait."""

from mutants.table import Mutant

CADENCE = ("tests/training/test_devices.py::test_losses_are_read_at_validations_alone",)
POOLED = ("tests/training/test_devices.py::test_every_pooling_gives_what_it_gives_on_the_cpu",)
PROCESSES = (
    "tests/grid/launchers/test_launchers.py::test_workers_get_cores_and_gpus_of_their_own",
    "tests/grid/launchers/test_launchers.py::test_a_gpu_that_is_named_by_its_number_is_left_visible_to_all",
)
RAY = ("tests/grid/launchers/test_launchers.py::test_ray_is_asked_for_the_gpus_that_a_device_needs",)
STEPS = ("tests/training/test_devices.py::test_every_anchor_and_layout_trains_as_on_the_cpu_and_no_step_waits",)
ADAPTERS = ("tests/training/test_devices.py::test_every_adapter_trains_as_on_the_cpu_and_no_step_waits",)
BANK = ("tests/training/test_devices.py::test_a_mixed_batch_of_the_bank_is_that_of_the_cpu",)
UNPACKED = ("tests/training/test_devices.py::test_a_batch_without_padding_waits_no_more_than_one_with",)
RECALL = ("tests/training/test_devices.py::test_recall_of_embeddings_there_is_that_of_embeddings_here",)
IMAGES = ("tests/training/test_devices.py::test_the_image_tower_gives_what_it_gives_on_the_cpu",)
FILES = ("tests/training/test_devices.py::test_adapter_files_and_merged_towers_are_those_of_the_cpu",)
RESUMED = ("tests/training/test_devices.py::test_a_training_is_saved_and_goes_on_there_or_on_the_cpu",)

# name, file, before, after, tests
_FAULTS = [
    (
        "losses added by an index on the CPU",
        "pecl/training/trainer.py",
        "torch.tensor(self.slot_of, device=tower.device)",
        "torch.tensor(self.slot_of)",
        STEPS,
    ),
    (
        "losses summed on the CPU",
        "pecl/training/trainer.py",
        "torch.zeros(adapter.num_slots, device=tower.device)",
        "torch.zeros(adapter.num_slots)",
        CADENCE,
    ),
    (
        "losses read at every step",
        "pecl/training/trainer.py",
        "return losses.detach()",
        "return losses.detach().cpu()",
        STEPS,
    ),
    (
        "frozen embeddings copied with waiting",
        "pecl/training/trainer.py",
        "to_device(embeddings[chosen].to(dtype), self.tower.device)",
        "embeddings[chosen].to(self.tower.device, dtype)",
        STEPS,
    ),
    (
        "frozen embeddings stay on the CPU",
        "pecl/training/trainer.py",
        "to_device(embeddings[chosen].to(dtype), self.tower.device)",
        "embeddings[chosen].to(dtype)",
        STEPS,
    ),
    (
        "sum of losses goes on where the file was read",
        "pecl/training/trainer.py",
        '{"recent": self._recent}',
        '{"recent": self._recent.cpu()}',
        RESUMED,
    ),
    (
        "slots made on the device",
        "pecl/training/share.py",
        "torch.tensor(share.slots)[batch.indices])",
        "torch.tensor(share.slots, device=tower.device)[batch.indices])",
        STEPS,
    ),
    (
        "slots read on the device",
        "pecl/adapters/slots.py",
        "slots, device = slots.cpu(), device or slots.device",
        "slots = to_device(slots, device := device or slots.device)",
        STEPS,
    ),
    ("slots stay on the CPU", "pecl/adapters/groups.py", "to_device(slots, device)", "slots", ADAPTERS),
    (
        "order of the rows by slot stays on the CPU",
        "pecl/adapters/groups.py",
        "to_device(order, device), to_device(",
        "order, to_device(",
        BANK,
    ),
    (
        "order of the rows stays on the CPU",
        "pecl/adapters/groups.py",
        "to_device(order.argsort(), device)",
        "order.argsort()",
        BANK,
    ),
    (
        "order of the rows is not undone",
        "pecl/adapters/groups.py",
        "to_device(order.argsort(), device)",
        "to_device(order, device)",
        ("tests/adapters/test_slots.py",),
        True,
    ),
    (
        "slots are selected on the CPU for every tower",
        "pecl/adapters/adapter.py",
        "self.rows.select(slots, rows, self.tower.device)",
        "self.rows.select(slots, rows)",
        ADAPTERS,
    ),
    (
        "tokens counted on the device",
        "pecl/encoders/text.py",
        "tokens = int(attention_mask.sum())",
        "tokens = int(to_device(attention_mask, self.device).sum())",
        STEPS,
    ),
    (
        "batches made on the device",
        "pecl/encoders/text.py",
        "return batches.pad(token_ids, indices, self.tokenizer.pad_token_id)",
        "batch = batches.pad(token_ids, indices, self.tokenizer.pad_token_id)\n"
        "        return Batch(batch.indices, batch.input_ids.to(self.device), batch.attention_mask.to(self.device))",
        STEPS,
    ),
    (
        "the mask of words read on the device",
        "pecl/encoders/text.py",
        "attention_mask=attendable(self.backbone, mask, is_padded)",
        "attention_mask=mask",
        UNPACKED,
    ),
    (
        "the mask of prompts read on the device",
        "pecl/encoders/text.py",
        "seen = attendable(self.backbone, extended.attention_mask, is_padded)",
        "seen = extended.attention_mask",
        ADAPTERS,
    ),
    (
        "padding is attended to",
        "pecl/encoders/packing.py",
        "    if not is_padded and not ours:\n        return None\n",
        "    if is_padded and not ours:\n        return None\n",
        ("tests/encoders/test_text.py", "tests/encoders/test_packing.py"),
        True,
    ),
    (
        "padding is always attended to",
        "pecl/encoders/text.py",
        "is_padded = tokens < attention_mask.numel()",
        "is_padded = False",
        ("tests/encoders/test_text.py", "tests/encoders/test_packing.py"),
        True,
    ),
    (
        "places counted on the device",
        "pecl/encoders/packing.py",
        "place = attention_mask.flatten()",
        "place = to_device(attention_mask, device).flatten()",
        STEPS,
    ),
    ("places stay on the CPU", "pecl/encoders/packing.py", "to_device(place, self.device)", "place", STEPS),
    (
        "a packed batch's mask stays on the CPU",
        "pecl/encoders/packing.py",
        "mask = to_device(attention_mask.bool(), self.device)[:, None, None, :]",
        "mask = attention_mask.bool()[:, None, None, :]",
        STEPS,
    ),
    (
        "learning rates copied with waiting",
        "pecl/training/optimizer.py",
        "to_device((lrs * (scale / correction1)).to(first.dtype), first.device)",
        "(lrs * (scale / correction1)).to(first)",
        STEPS,
    ),
    (
        "learning rates stay on the CPU",
        "pecl/training/optimizer.py",
        "to_device((lrs * (scale / correction1)).to(first.dtype), first.device)",
        "(lrs * (scale / correction1)).to(first.dtype)",
        STEPS,
    ),
    (
        "a hard prompt made on the device",
        "pecl/adapters/kinds/hard_prompt.py",
        "to_device(torch.tensor(self.token_ids), inputs.embeddings.device)",
        "torch.tensor(self.token_ids, device=inputs.embeddings.device)",
        ADAPTERS,
    ),
    (
        "every copy to the device waits",
        "pecl/encoders/devices.py",
        ', non_blocking=device.type != "mps"',
        "",
        STEPS,
    ),
    (
        "labels of the contrastive loss on the CPU",
        "pecl/training/losses.py",
        "torch.arange(len(logits), device=logits.device)",
        "torch.arange(len(logits))",
        STEPS,
    ),
    (
        "last tokens counted on the CPU",
        "pecl/encoders/pooling.py",
        "torch.arange(mask.shape[1], device=mask.device)",
        "torch.arange(mask.shape[1])",
        POOLED,
    ),
    (
        "ranks left on the device",
        "pecl/retrieval/ranks.py",
        "ahead_of_text.cpu()",
        "ahead_of_text",
        RECALL,
    ),
    (
        "items of texts stay on the CPU",
        "pecl/retrieval/evaluator.py",
        "self._item.to(device)",
        "self._item",
        RECALL,
    ),
    (
        "texts of another device than the gallery",
        "pecl/retrieval/evaluator.py",
        "texts.detach().to(device)",
        "texts.detach()",
        RECALL,
    ),
    (
        "pixels stay on the CPU",
        "pecl/encoders/image.py",
        ".to(self.device, self.dtype)",
        ".to(self.dtype)",
        IMAGES,
    ),
    (
        "embeddings of images stay on the device",
        "pecl/encoders/image.py",
        ".float().cpu()",
        ".float()",
        IMAGES,
    ),
    ("a fingerprint of the device", "pecl/encoders/fingerprint.py", "detach().cpu()", "detach()", IMAGES),
    ("files written from the device", "pecl/files/tensors.py", "tensor.detach().cpu()", "tensor.detach()", FILES),
    (
        "cuda:0 is no GPU to processes",
        "pecl/grid/launchers/processes.py",
        "gpus_needed(task.configs[0].device) == 1",
        'task.configs[0].device == "cuda"',
        PROCESSES,
    ),
    (
        "cuda:1 is hidden from processes",
        "pecl/grid/launchers/processes.py",
        "gpus_needed(task.configs[0].device) == 1",
        "gpus_needed(task.configs[0].device)",
        PROCESSES,
    ),
    (
        "cuda:0 is no GPU to Ray",
        "pecl/grid/launchers/ray.py",
        "needed = gpus_needed(tasks[0].configs[0].device)",
        'needed = int(tasks[0].configs[0].device == "cuda")',
        RAY,
    ),
    (
        "Ray shows one GPU to cuda:1",
        "pecl/grid/launchers/base.py",
        "return number + 1 if kind",
        "return 1 if kind",
        RAY,
    ),
    (
        "pinned memory has a tensor's strides",
        "pecl/encoders/devices.py",
        "tensor.contiguous().pin_memory()",
        "tensor.pin_memory()",
        ("tests/encoders/test_devices.py::test_whatever_its_strides_a_tensor_is_pinned_as_one_block",),
    ),
    (
        "a fleet's memory is that of its first run",
        "pecl/experiment/memory.py",
        "_rows(one)) for one in members]",
        "_rows(one)) for one in members[:1]]",
        ("tests/experiment/test_memory.py::test_the_run_that_needs_most_decides",),
    ),
    (
        "a second tower is another tower",
        "pecl/adapters/merge.py",
        "fingerprint=tower.fingerprint)",
        "fingerprint=None)",
        ("tests/serving/test_models.py::test_adapters_serve_a_tower_that_is_rounded_or_trimmed",),
    ),
    (
        "trimmed towers are kept for the next run",
        "pecl/experiment/run.py",
        "    if trims:  #",
        "    if False and trims:  #",
        ("tests/encoders/test_vocabulary.py::test_words_that_a_table_has_got_since_are_loaded_too",),
    ),
]
MUTANTS = [Mutant(*fault) for fault in _FAULTS]
