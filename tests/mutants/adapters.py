"""Faults of the adapters and of the towers that they are attached to."""

from mutants.table import Mutant

ADAPTERS = "pecl/adapters"
ENCODERS = "pecl/encoders"
START = "tests/adapters/test_start.py"
CONTRACT = "tests/adapters/test_contract.py"
REFERENCE = "tests/adapters/test_reference.py"
BANK = "tests/adapters/test_bank.py"
INTEROP = "tests/adapters/formats/test_interop.py"
TEXT = "tests/encoders/test_text.py"
PACKING = "tests/encoders/test_packing.py"
KEPT = "tests/encoders/test_kept.py"
IMAGE = "tests/encoders/test_image.py"
E5 = "tests/encoders/loading/test_e5.py"
DISTRIBUTIONS = f"{START}::test_every_weight_starts_with_the_documented_distribution"
SLOTS_EQUAL_SEPARATE = f"{CONTRACT}::test_slots_equal_separate_adapters_in_outputs_and_gradients"
PACKED_IS_PADDED = f"{PACKING}::test_embeddings_and_gradients_are_those_of_the_padded_batch"
REFUSED_BY_PEFT = f"{INTEROP}::test_peft_adapters_that_pecl_cannot_compute_are_refused"


def science(name: str, file: str, before: str, after: str, *tests: str) -> Mutant:
    """Return a fault that changes what is trained or reported."""
    return Mutant(name, file, before, after, tests, science=True)


def other(name: str, file: str, before: str, after: str, *tests: str) -> Mutant:
    """Return a fault that a user would see."""
    return Mutant(name, file, before, after, tests)


BASE = [
    science(
        "an adapter's share of the learning rate is ignored",
        f"{ADAPTERS}/adapter.py",
        'f"{path}.{name}": config.lr_scale',
        'f"{path}.{name}": 1.0',
        f"{CONTRACT}::test_learning_rate_scales_are_those_of_each_method",
    ),
    science(
        "every module starts from a generator of its own",
        f"{ADAPTERS}/adapter.py",
        "module.reset_slot(slot, generator)",
        "module.reset_slot(slot, torch.Generator().manual_seed(seed))",
        START,
    ),
    science(
        "every slot of an adapter starts from the first seed",
        f"{ADAPTERS}/adapter.py",
        "adapter.reset_slot(slot, seed)",
        "adapter.reset_slot(slot, seeds[0])",
        f"{CONTRACT}::test_a_slot_starts_as_a_single_adapter_with_its_seed",
    ),
    science(
        "seeds are counted from one, whatever was asked for",
        f"{ADAPTERS}/adapter.py",
        "adapter.reset_slot(slot, seed)",
        "adapter.reset_slot(slot, slot + 1)",
        f"{START}::test_the_modules_draw_one_after_the_other_from_one_generator",
    ),
    science(
        "modules are made from the top down",
        f"{ADAPTERS}/adapter.py",
        '-item[0].path.count(".")',
        'item[0].path.count(".")',
        f"{START}::test_of_several_methods_the_deepest_modules_draw_first",
        SLOTS_EQUAL_SEPARATE,
    ),
    science(
        "levels at one layer are reversed",
        f"{ADAPTERS}/adapter.py",
        "item[1].level))",
        "-item[1].level))",
        f"{CONTRACT}::test_fresh_is_the_identity_where_promised",
        SLOTS_EQUAL_SEPARATE,
        REFERENCE,
    ),
    science(
        "the tower trains with its adapter",
        f"{ADAPTERS}/adapter.py",
        "tower.requires_grad_(False)",
        "tower.requires_grad_(True)",
        f"{CONTRACT}::test_exactly_these_names_are_trainable",
    ),
    science(
        "loading a state writes the first slot",
        f"{ADAPTERS}/adapter.py",
        "parameter.data[slot] = state[name].to(parameter)",
        "parameter.data[0] = state[name].to(parameter)",
        f"{BANK}::test_mixed_batch_equals_each_language_alone",
    ),
    science(
        "the state of a slot is that of the first",
        f"{ADAPTERS}/adapter.py",
        "parameter.detach()[slot].clone()",
        "parameter.detach()[0].clone()",
        f"{CONTRACT}::test_a_slot_starts_as_a_single_adapter_with_its_seed",
    ),
    science(
        "the state of a slot is a view that training goes on to change",
        f"{ADAPTERS}/adapter.py",
        "parameter.detach()[slot].clone()",
        "parameter.detach()[slot]",
        f"{START}::test_resetting_one_slot_leaves_the_others_alone",
    ),
    science(
        "tokens of a packed batch are grouped as its rows are",
        f"{ADAPTERS}/slots.py",
        "return self.tokens if x.dim() == 3 else None",
        "return self.groups",
        f"{PACKING}::test_a_batch_of_several_slots_is_packed_as_well",
    ),
    other(
        "prompts may be longer than the tower's positions",
        f"{ADAPTERS}/adapter.py",
        "if length and length + self.tower.max_length >",
        "if length and length >",
        f"{REFERENCE}::test_a_prompt_may_fill_all_positions_and_no_more",
    ),
    other(
        "only the first prompt is counted",
        f"{ADAPTERS}/adapter.py",
        "length = sum(prompt.length for prompt in self.prompts)",
        "length = max((prompt.length for prompt in self.prompts), default=0)",
        f"{REFERENCE}::test_a_prompt_may_fill_all_positions_and_no_more",
    ),
    other(
        "BERT loses positions as RoBERTa does",
        f"{ENCODERS}/positions.py",
        'frozenset({"camembert"',
        'frozenset({"bert", "camembert"',
        f"{REFERENCE}::test_a_prompt_may_fill_all_positions_and_no_more",
    ),
    other(
        "a removed adapter leaves what it changed on the layers",
        f"{ADAPTERS}/adapter.py",
        "            module.restore()\n",
        "",
        f"{REFERENCE}::test_prefix_works_on_eager_attention_and_gives_the_layers_config_back",
    ),
]

KINDS = [
    science(
        "LoRA's A starts too wide",
        f"{ADAPTERS}/kinds/lora.py",
        "1 / math.sqrt(shape[1])",
        "math.sqrt(6 / shape[1])",
        DISTRIBUTIONS,
    ),
    science(
        "LoRA's scale is its alpha",
        f"{ADAPTERS}/kinds/lora.py",
        "config.lora_alpha / config.r",
        "config.lora_alpha",
        f"{REFERENCE}::test_lora_equals_peft",
    ),
    science(
        "LoRA's dropout is left out",
        f"{ADAPTERS}/kinds/lora.py",
        "self.rows.linear(self.dropout(x), self.lora_A)",
        "self.rows.linear(x, self.lora_A)",
        f"{REFERENCE}::test_lora_dropout_acts_on_the_input_of_a_while_training_alone",
    ),
    science(
        "LoRA's dropout keeps what it should drop",
        f"{ADAPTERS}/kinds/lora.py",
        "nn.Dropout(config.lora_dropout)",
        "nn.Dropout(1 - config.lora_dropout)",
        f"{REFERENCE}::test_lora_drops_the_share_of_inputs_that_was_asked_for_and_scales_up_the_rest",
    ),
    science(
        "LoRA is merged in the tower's precision",
        f"{ADAPTERS}/kinds/lora.py",
        "wide = torch.promote_types(plain.weight.dtype, torch.float32)",
        "wide = plain.weight.dtype",
        f"{REFERENCE}::test_a_merged_weight_in_half_precision_is_rounded_once",
    ),
    science(
        "the update is rounded before it is added to a merged weight",
        f"{ADAPTERS}/kinds/lora.py",
        "plain.weight.to(wide) + update",
        "plain.weight + update.to(plain.weight)",
        f"{REFERENCE}::test_a_merged_weight_in_half_precision_is_rounded_once",
    ),
    science(
        "LoRA is merged without its scale",
        f"{ADAPTERS}/kinds/lora.py",
        "update = self.scaling * self.lora_B",
        "update = self.lora_B",
        f"{REFERENCE}::test_merged_tower_is_plain_and_gives_the_slots_embeddings",
    ),
    science(
        "the bottleneck's W_down starts too wide",
        f"{ADAPTERS}/kinds/bottleneck.py",
        "normal(self.down_weight.shape[1:], 0.01, generator)",
        "normal(self.down_weight.shape[1:], 0.02, generator)",
        DISTRIBUTIONS,
    ),
    science(
        "the bottleneck's W_up starts too wide",
        f"{ADAPTERS}/kinds/bottleneck.py",
        "normal(self.up_weight.shape[1:], 0.01, generator)",
        "normal(self.up_weight.shape[1:], 0.1, generator)",
        DISTRIBUTIONS,
    ),
    science(
        "the bottleneck's biases start at one",
        f"{ADAPTERS}/kinds/bottleneck.py",
        "self.down_bias.data[slot] = 0",
        "self.down_bias.data[slot] = 1",
        DISTRIBUTIONS,
    ),
    science(
        "the bottleneck starts as the identity where it should not",
        f"{ADAPTERS}/kinds/bottleneck.py",
        "up = 0.0 if self.identity_start else",
        "up = 0.0 if True else",
        DISTRIBUTIONS,
    ),
    science(
        "the bottleneck has no residual",
        f"{ADAPTERS}/kinds/bottleneck.py",
        "return hidden + self.rows.linear(low, self.up_weight, self.up_bias)",
        "return self.rows.linear(low, self.up_weight, self.up_bias)",
        f"{REFERENCE}::test_bottleneck_by_hand",
    ),
    science(
        "the bottleneck has one non-linearity, whatever was asked for",
        f"{ADAPTERS}/kinds/bottleneck.py",
        "ACTIVATIONS[config.non_linearity]",
        'ACTIVATIONS["gelu_new"]',
        f"{REFERENCE}::test_bottleneck_by_hand",
    ),
    science(
        "gelu_new is the exact GELU",
        f"{ENCODERS}/activations.py",
        'nn.GELU(approximate="tanh")',
        "nn.GELU()",
        f"{REFERENCE}::test_non_linearities_are_those_of_transformers",
    ),
    science(
        "the compacter's factors start without their gain",
        f"{ADAPTERS}/kinds/compacter.py",
        "bound = math.sqrt(2) * math.sqrt(6 / (rows + columns))",
        "bound = math.sqrt(6 / (rows + columns))",
        DISTRIBUTIONS,
    ),
    science(
        "the compacter's factors start by their rows alone",
        f"{ADAPTERS}/kinds/compacter.py",
        "math.sqrt(6 / (rows + columns))",
        "math.sqrt(6 / rows)",
        DISTRIBUTIONS,
    ),
    science(
        "the compacter's rules start too narrow",
        f"{ADAPTERS}/kinds/compacter.py",
        "normal(rule.shape[1:], 0.01, generator)",
        "normal(rule.shape[1:], 0.0001, generator)",
        DISTRIBUTIONS,
    ),
    science(
        "the compacter's first layer starts at zero",
        f"{ADAPTERS}/kinds/compacter.py",
        'left, _, _ = self._layer("up")',
        'left, _, _ = self._layer("down")',
        DISTRIBUTIONS,
        f"{CONTRACT}::test_fresh_is_the_identity_where_promised",
    ),
    science(
        "the compacter starts as the identity where it should not",
        f"{ADAPTERS}/kinds/compacter.py",
        "if self.identity_start:",
        "if True:",
        DISTRIBUTIONS,
    ),
    science(
        "the compacter's rules are transposed",
        f"{ADAPTERS}/kinds/compacter.py",
        '"zsac,zspq->zcqap"',
        '"zsca,zspq->zcqap"',
        f"{REFERENCE}::test_phm_weight_is_a_sum_of_kronecker_products",
    ),
    science(
        "the compacter has one non-linearity, whatever was asked for",
        f"{ADAPTERS}/kinds/compacter.py",
        "ACTIVATIONS[config.non_linearity]",
        "ACTIVATIONS['relu']",
        f"{REFERENCE}::test_compacter_by_hand",
    ),
    science(
        "the compacter has no residual",
        f"{ADAPTERS}/kinds/compacter.py",
        'return hidden + self._phm(low, "up")',
        'return self._phm(low, "up")',
        f"{REFERENCE}::test_compacter_by_hand",
    ),
    science(
        "the prefix starts too wide",
        f"{ADAPTERS}/kinds/prefix.py",
        "normal(self.prefix.shape[1:], 0.02, generator)",
        "normal(self.prefix.shape[1:], 0.2, generator)",
        DISTRIBUTIONS,
    ),
    science(
        "the prefix is masked as padding",
        f"{ADAPTERS}/kinds/prefix.py",
        "seen = True if attention_mask.dtype == torch.bool else 0.0",
        'seen = False if attention_mask.dtype == torch.bool else float("-inf")',
        f"{REFERENCE}::test_prefix_by_hand",
    ),
    science(
        "the prefix's keys and values are exchanged",
        f"{ADAPTERS}/kinds/prefix.py",
        "torch.cat([prefix[:, 0], key], dim=2)",
        "torch.cat([prefix[:, 1], key], dim=2)",
        f"{REFERENCE}::test_prefix_by_hand",
    ),
    science(
        "a prefix is packed",
        f"{ADAPTERS}/kinds/prefix.py",
        "needs_rows = True",
        "needs_rows = False",
        f"{PACKING}::test_modules_that_look_at_rows_are_never_packed",
    ),
    science(
        "the soft prompt starts too wide",
        f"{ADAPTERS}/kinds/soft_prompt.py",
        "normal(self.prompt.shape[1:], 0.02, generator)",
        "normal(self.prompt.shape[1:], 0.5, generator)",
        DISTRIBUTIONS,
    ),
    science(
        "the soft prompt comes before the first token",
        f"{ADAPTERS}/kinds/soft_prompt.py",
        "self.rows.take(self.prompt), 1, self.pool_prompt)",
        "self.rows.take(self.prompt), 0, self.pool_prompt)",
        f"{REFERENCE}::test_a_trained_prompt_by_hand",
    ),
    science(
        "the soft prompt is always part of the mean",
        f"{ADAPTERS}/kinds/soft_prompt.py",
        "self.rows.take(self.prompt), 1, self.pool_prompt)",
        "self.rows.take(self.prompt), 1, True)",
        f"{REFERENCE}::test_soft_prompt_of_a_text_equals_the_text_in_front",
    ),
    science(
        "a prompt's initial text brings the special tokens along",
        f"{ADAPTERS}/kinds/soft_prompt.py",
        "tower.tokenizer(self.init_text, add_special_tokens=False)",
        "tower.tokenizer(self.init_text)",
        f"{REFERENCE}::test_soft_prompt_of_a_text_equals_the_text_in_front",
    ),
    science(
        "nothing attends to a prompt",
        f"{ADAPTERS}/slots.py",
        "between(attention_mask, ones)",
        "between(attention_mask, torch.zeros_like(ones))",
        f"{REFERENCE}::test_a_trained_prompt_by_hand",
        f"{REFERENCE}::test_soft_prompt_of_a_text_equals_the_text_in_front",
    ),
    science(
        "a merged BitFit keeps the plain bias",
        f"{ADAPTERS}/kinds/bitfit.py",
        "plain.bias + self.bias_offset[slot]",
        "plain.bias",
        f"{REFERENCE}::test_merged_tower_is_plain_and_gives_the_slots_embeddings",
    ),
    science(
        "trained LayerNorms use another epsilon",
        f"{ADAPTERS}/kinds/layer_norm.py",
        "shape, eps = self.base.normalized_shape, self.base.eps",
        "shape, eps = self.base.normalized_shape, 1e-5",
        f"{CONTRACT}::test_fresh_is_the_identity_where_promised",
    ),
]

SLOTS = [
    science(
        "items of all slots are taken to be in slot order",
        f"{ADAPTERS}/groups.py",
        "if not bool((slots.diff() >= 0).all()):",
        "if slots[0] > slots[-1]:",
        "tests/adapters/test_slots.py",
    ),
    science(
        "rows that share one slot use the first",
        f"{ADAPTERS}/slots.py",
        "self.single = low",
        "self.single = 0",
        "tests/adapters/test_slots.py",
    ),
    science(
        "rows computed slot by slot stay in the order of the slots",
        f"{ADAPTERS}/groups.py",
        "return out if self._inverse is None else out.index_select(0, self._inverse)",
        "return out",
        "tests/adapters/test_slots.py",
    ),
    science(
        "a mixed batch adds updates without their scale",
        f"{ADAPTERS}/slots.py",
        "groups.add_linear(_items(out), _items(x), weight, scale)",
        "groups.add_linear(_items(out), _items(x), weight, 1.0)",
        SLOTS_EQUAL_SEPARATE,
    ),
    science(
        "a slot module begins in training mode",
        f"{ADAPTERS}/slots.py",
        "self.training = base.training",
        "self.training = True",
        f"{REFERENCE}::test_lora_dropout_acts_on_the_input_of_a_while_training_alone",
    ),
]

BANKS = [
    science(
        "a renamed language goes to the last slot",
        f"{ADAPTERS}/bank.py",
        "self._seconds = {new if i == slot else name: self._seconds[name] for i, name in enumerate(self.languages)}",
        "self._seconds[new] = self._seconds.pop(language)",
        f"{BANK}::test_a_renamed_language_keeps_its_slot_and_leaves_the_others_theirs",
    ),
    science(
        "a removed language leaves its slot and takes the next one's",
        f"{ADAPTERS}/bank.py",
        "if other != slot])",
        "if other != min(slot + 1, len(self) - 1)])",
        f"{BANK}::test_the_others_keep_their_embeddings_when_a_language_is_removed",
    ),
    science(
        "a removed language takes the first slot with it",
        f"{ADAPTERS}/bank.py",
        "self.adapter.rearrange([other for other in range(len(self)) if other != slot])",
        "self.adapter.rearrange(range(1, len(self)))",
        f"{BANK}::test_the_others_keep_their_embeddings_when_a_language_is_removed",
    ),
    science(
        "every language of a mixed batch is the first one's",
        f"{ADAPTERS}/bank.py",
        "torch.tensor([slot_of[name] for name in names]",
        "torch.tensor([slot_of[names[0]] for name in names]",
        f"{BANK}::test_mixed_batch_equals_each_language_alone",
    ),
    science(
        "the first language of a bank is merged",
        f"{ADAPTERS}/bank.py",
        "merge_slot(self.adapter, self.slot(language))",
        "merge_slot(self.adapter, 0)",
        f"{BANK}::test_merged_language",
    ),
    science(
        "the first language of a bank is saved",
        f"{ADAPTERS}/bank.py",
        "self.adapter.slot_state(self.slot(language))",
        "self.adapter.slot_state(0)",
        f"{BANK}::test_save_and_load_are_bit_identical",
    ),
    other(
        "a bank takes files of another tower",
        f"{ADAPTERS}/bank.py",
        "        file.check_tower(self.tower)\n",
        "",
        f"{BANK}::test_files_of_another_configuration_or_tower_are_refused",
    ),
    science(
        "a bank puts its adapters on the tower that it is given",
        f"{ADAPTERS}/bank.py",
        "self.tower = second_tower(tower)",
        "self.tower = tower",
        f"{BANK}::test_a_tower_stays_plain_whatever_banks_are_made_of_it",
    ),
    science(
        "a tower with several slots embeds with the first where none is named",
        f"{ADAPTERS}/slots.py",
        "if self.num_slots != 1:",
        "if self.num_slots == 0:",
        f"{BANK}::test_a_tower_with_several_slots_asks_for_one",
    ),
    other(
        "a file's own language is used where another was given",
        f"{ADAPTERS}/bank.py",
        "language = language or _language_of(file)",
        "language = _language_of(file)",
        f"{BANK}::test_save_and_load_are_bit_identical",
    ),
    science(
        "a merged tower forgets its pooling",
        f"{ADAPTERS}/merge.py",
        "        pooling=tower.pooling,\n",
        "",
        f"{REFERENCE}::test_a_merged_tower_keeps_the_towers_settings",
    ),
    science(
        "a merged tower forgets its longest sequence",
        f"{ADAPTERS}/merge.py",
        "        max_length=tower.max_length,\n",
        "",
        f"{REFERENCE}::test_a_merged_tower_keeps_the_towers_settings",
    ),
]

PEFT_FORMAT = [
    *(
        science(
            f"PEFT's {option} is overlooked",
            f"{ADAPTERS}/formats/peft.py",
            f'    "{option}": {values},\n',
            "",
            REFUSED_BY_PEFT,
        )
        for option, values in {
            "bias": '("none",)',
            "use_dora": "(False, None)",
            "lora_bias": "(False, None)",
            "rank_pattern": "({}, None)",
            "alpha_pattern": "({}, None)",
            "trainable_token_indices": "(None,)",
            "target_parameters": "(None, [])",
            "alora_invocation_tokens": "(None,)",
            "use_qalora": "(False, None)",
        }.items()
    ),
    science(
        "PEFT's dropout is not read",
        f"{ADAPTERS}/formats/peft.py",
        'float(options.get("lora_dropout", 0.0))',
        "0.0",
        f"{INTEROP}::test_pecl_loads_what_peft_writes",
    ),
    science(
        "the dropout is not written for PEFT",
        f"{ADAPTERS}/formats/peft.py",
        '"lora_dropout": lora.lora_dropout',
        '"lora_dropout": 0.0',
        f"{INTEROP}::test_peft_loads_what_pecl_writes",
    ),
    science(
        "alpha is not written for PEFT",
        f"{ADAPTERS}/formats/peft.py",
        '"lora_alpha": lora.lora_alpha',
        '"lora_alpha": 16.0',
        f"{INTEROP}::test_peft_loads_what_pecl_writes",
    ),
    science(
        "rsLoRA is read as LoRA",
        f"{ADAPTERS}/formats/peft.py",
        'math.sqrt(options["r"]) if options.get("use_rslora") else 1.0',
        "1.0",
        f"{INTEROP}::test_pecl_loads_what_peft_writes",
    ),
    science(
        "a half-adapted tower is taken for a plain LoRA's",
        f"{ADAPTERS}/formats/peft.py",
        "        if missing := [path for path in paths[role][lowest:] if path not in adapted]:\n",
        "        if missing := []:\n",
        f"{INTEROP}::test_damaged_peft_folders_are_refused",
    ),
    other(
        "options of PEFT that are null are refused",
        f"{ADAPTERS}/formats/peft.py",
        '"alpha_pattern": ({}, None)',
        '"alpha_pattern": ({},)',
        f"{INTEROP}::test_options_that_are_null_are_plain",
    ),
]

E5_FILES = [
    science(
        "E5 uses the approximate GELU",
        f"{ENCODERS}/loading/e5.py",
        'hidden_act="gelu"',
        'hidden_act="gelu_new"',
        f"{E5}::test_output_of_the_tiny_model_by_hand",
    ),
    science(
        "E5 uses transformers' epsilon",
        f"{ENCODERS}/loading/e5.py",
        "        layer_norm_eps=epsilon,\n",
        "",
        f"{E5}::test_reads_back_exactly_what_was_written",
    ),
    science(
        "E5's queries and keys are exchanged",
        f"{ENCODERS}/loading/e5.py",
        '"k": "attention.self.key",\n    "v": "attention.self.value",',
        '"v": "attention.self.key",\n    "k": "attention.self.value",',
        f"{E5}::test_output_of_the_tiny_model_by_hand",
    ),
    science(
        "E5's two LayerNorms are exchanged",
        f"{ENCODERS}/loading/e5.py",
        '"aln": "attention.output.LayerNorm",\n    "fi": "intermediate.dense",\n    "fo": "output.dense",\n    "oln"',
        '"oln": "attention.output.LayerNorm",\n    "fi": "intermediate.dense",\n    "fo": "output.dense",\n    "aln"',
        f"{E5}::test_output_of_the_tiny_model_by_hand",
    ),
    science(
        "E5's heads are as many as its layers",
        f"{ENCODERS}/loading/e5.py",
        "num_attention_heads=heads",
        "num_attention_heads=layers",
        f"{E5}::test_output_of_the_tiny_model_by_hand",
    ),
    science(
        "E5's nibbles are interleaved",
        f"{ENCODERS}/loading/e5.py",
        'out[:, : BLOCK // 2] = part["nibbles"] & 15',
        'out[:, : BLOCK // 2] = part["nibbles"] >> 4',
        f"{E5}::test_reads_back_exactly_what_was_written",
    ),
    science(
        "E5's nibbles are centred elsewhere",
        f"{ENCODERS}/loading/e5.py",
        "out -= 8",
        "out -= 7.5",
        f"{E5}::test_reads_back_exactly_what_was_written",
    ),
]

TOWERS = [
    science(
        "the prefix of a tower is left out",
        f"{ENCODERS}/text.py",
        "return [self.text_prefix + text for text in texts]",
        "return list(texts)",
        f"{TEXT}::test_embeddings_are_the_head_of_the_pooled_hidden_states",
    ),
    science(
        "every tower pools by the mean",
        f"{ENCODERS}/text.py",
        "POOLINGS[self.pooling](hidden, pooling_mask)",
        'POOLINGS["mean"](hidden, pooling_mask)',
        f"{TEXT}::test_embeddings_are_the_head_of_the_pooled_hidden_states",
    ),
    science(
        "embeddings come in the order of the batches",
        f"{ENCODERS}/text.py",
        "embeddings[places] = batch",
        "embeddings[sorted(places)] = batch",
        f"{TEXT}::test_embeddings_do_not_depend_on_batch_or_order",
    ),
    science(
        "slots come in the order of the list, rows by their length",
        f"{ENCODERS}/text.py",
        "slots[batch.indices]",
        "slots[batch.indices.sort().values]",
        f"{BANK}::test_mixed_batch_equals_each_language_alone",
    ),
    science(
        "texts are encoded with dropout",
        f"{ENCODERS}/text.py",
        "        encode = self if head else self.pooled\n        self.eval()\n",
        "        encode = self if head else self.pooled\n",
        f"{TEXT}::test_encoding_leaves_the_mode_alone",
    ),
    science(
        "encoding ends in evaluation mode: training goes on without dropout",
        f"{ENCODERS}/text.py",
        "            self.train(training)\n",
        "            pass\n",
        f"{TEXT}::test_encoding_leaves_the_mode_alone",
    ),
    science(
        "the width is that of the first linear layer",
        f"{ENCODERS}/text.py",
        "linear[-1].out_features",
        "linear[0].out_features",
        f"{TEXT}::test_the_width_is_that_of_the_last_linear_layer",
    ),
    science(
        "texts are cut one token early",
        f"{ENCODERS}/text.py",
        "truncation=True, max_length=self.max_length",
        "truncation=True, max_length=self.max_length - 1",
        f"{TEXT}::test_one_warning_counts_the_texts_that_were_cut",
    ),
    science(
        "texts that fit exactly are counted as cut",
        f"{ENCODERS}/text.py",
        "for i, length in lengths if length > self.max_length",
        "for i, length in lengths if length >= self.max_length",
        f"{TEXT}::test_one_warning_counts_the_texts_that_were_cut",
    ),
    science(
        "modules that look at rows are packed",
        f"{ENCODERS}/text.py",
        "self.packing and (self.adapter is None or self.adapter.works_on_tokens)",
        "self.packing",
        PACKING,
    ),
    science(
        "the pooling leaves a prompt's mask out",
        f"{ENCODERS}/text.py",
        "return output.last_hidden_state, extended.pooling_mask",
        "return output.last_hidden_state, extended.attention_mask",
        f"{REFERENCE}::test_soft_prompt_of_a_text_equals_the_text_in_front",
    ),
    science(
        "half precision is averaged in half precision",
        f"{ENCODERS}/pooling.py",
        "wide = torch.promote_types(hidden.dtype, torch.float32)",
        "wide = hidden.dtype",
        f"{TEXT}::test_mean_in_half_precision_is_rounded_once",
    ),
    science(
        "the mean is divided by the padded length",
        f"{ENCODERS}/pooling.py",
        "weights.sum(1)",
        "weights.shape[1]",
        f"{TEXT}::test_pooling_by_hand",
    ),
    science(
        "the last token is the last position",
        f"{ENCODERS}/pooling.py",
        "last = (mask * positions).argmax(1)",
        "last = positions[-1].expand(len(hidden))",
        f"{TEXT}::test_pooling_by_hand",
    ),
    science(
        "packed tokens attend to padding",
        f"{ENCODERS}/packing.py",
        "q, k, v, batch.mask, rows",
        "q, k, v, None, rows",
        PACKED_IS_PADDED,
    ),
    science(
        "a packed pass has no dropout of attention",
        f"{ENCODERS}/packing.py",
        "rows=batch, **kwargs)",
        'rows=batch, **kwargs | {"dropout": 0.0})',
        f"{PACKING}::test_each_kind_of_dropout_acts_in_a_packed_pass",
    ),
    science(
        "positions of XLM-R begin at zero where it is packed",
        f"{ENCODERS}/packing.py",
        "device=device) + first)",
        "device=device))",
        PACKED_IS_PADDED,
    ),
    science(
        "packed positions run on from row to row",
        f"{ENCODERS}/packing.py",
        "position_ids=packing.pack(positions))",
        "position_ids=torch.arange(len(packing.place)).unsqueeze(0) + first)",
        PACKED_IS_PADDED,
    ),
    science(
        "layers that another library has wrapped are packed",
        f"{ENCODERS}/packing.py",
        """return not any("forward" in vars(module) for module in backbone.modules())""",
        "return True",
        f"{PACKING}::test_other_attentions_and_architectures_are_left_alone",
    ),
    science(
        "the bottom layers are adapted in place of the topmost",
        f"{ADAPTERS}/kind.py",
        "paths = paths[-int(height_of(self.layers)) :]",
        "paths = paths[: int(height_of(self.layers))]",
        f"{CONTRACT}::test_exactly_these_names_are_trainable",
    ),
    science(
        "states are kept up to the highest layer of an adapter",
        f"{ADAPTERS}/adapter.py",
        "return min(layer_of(",
        "return max(layer_of(",
        f"{KEPT}::test_the_first_layer_is_the_lowest_that_depends_on_the_adapter",
    ),
    science(
        "layers below work on the states that they gave",
        f"{ENCODERS}/packing.py",
        "[start:stop]",
        "[:stop]",
        f"{KEPT}::test_embeddings_and_gradients_are_those_without_keeping",
    ),
    science(
        "kept states have no dropout where there is some",
        f"{ENCODERS}/text.py",
        "kept = None if self.training else self.kept",
        "kept = self.kept",
        f"{KEPT}::test_passes_with_dropout_draw_it_in_every_layer",
    ),
    other(
        "states are kept without end",
        f"{ENCODERS}/kept.py",
        "if self.bytes + size > self.limit:",
        "if False:",
        f"{KEPT}::test_what_is_beyond_the_limit_is_computed_in_each_pass",
    ),
    other(
        "a failed pass leaves the backbone with the packed attention",
        f"{ENCODERS}/packing.py",
        "    try:\n        yield\n    finally:\n        config",
        "    if True:\n        yield\n        config",
        f"{PACKING}::test_the_backbone_keeps_its_own_attention_even_after_an_error",
    ),
    science(
        "the last images are left out",
        f"{ENCODERS}/image.py",
        "        if pixels:\n            batches",
        "        if False:\n            batches",
        f"{IMAGE}::test_images_are_encoded_in_order_and_in_batches",
    ),
    science(
        "images go round the linear layer",
        f"{ENCODERS}/image.py",
        "return self.head(self.backbone(pixels))",
        "return self.backbone(pixels)",
        f"{IMAGE}::test_the_head_is_a_linear_layer_of_the_features",
    ),
    science(
        "the image tower stays in training mode",
        f"{ENCODERS}/image.py",
        "        self.eval()\n",
        "",
        f"{IMAGE}::test_the_backbone_is_put_in_evaluation_mode_and_gives_no_gradients",
    ),
    science(
        "the preprocessing is no part of the image tower's fingerprint",
        f"{ENCODERS}/image.py",
        "fingerprint_module(self, self.preprocessing)",
        "fingerprint_module(self, {})",
        f"{IMAGE}::test_fingerprint_covers_weights_and_preprocessing",
    ),
    science(
        "the linear layer is no part of the image tower's fingerprint",
        f"{ENCODERS}/image.py",
        "fingerprint_module(self, self.preprocessing)",
        "fingerprint_module(self.backbone, self.preprocessing)",
        f"{IMAGE}::test_fingerprint_covers_weights_and_preprocessing",
    ),
    other(
        "heads that are missing are reported as there",
        f"{ENCODERS}/loading/mini.py",
        '"ok" if found else "missing"',
        '"ok"',
        "tests/encoders/loading/test_mini.py::test_status_has_a_row_for_every_file",
    ),
    other(
        "the status of the mini profile knows the text wheel alone",
        f"{ENCODERS}/loading/mini.py",
        "for wheel in (TEXT_WHEEL, IMAGE_WHEEL):",
        "for wheel in (TEXT_WHEEL, TEXT_WHEEL):",
        "tests/encoders/loading/test_mini.py::test_status_has_a_row_for_every_file",
    ),
]

MUTANTS = [*BASE, *KINDS, *SLOTS, *BANKS, *PEFT_FORMAT, *E5_FILES, *TOWERS]
