"""Faults of adapters and towers: slots, seeds, dropout, packing and pooling."""

from mutants.table import rows

_SLOTS = "adapters/test_contract::test_slots_equal_separate_adapters_in_outputs_and_gradients"

MUTANTS = [
    *rows(
        "pecl/adapters/adapter.py",
        "adapters/test_contract::test_learning_rate_scales_are_those_of_each_method",
        (
            "an adapter's share of the learning rate is ignored",
            'f"{path}.{name}": config.lr_scale',
            'f"{path}.{name}": 1.0',
        ),
    ),
    *rows(
        "pecl/adapters/adapter.py",
        "adapters/test_start",
        (
            "every module starts from a generator of its own",
            "module.reset_slot(slot, generator)",
            "module.reset_slot(slot, torch.Generator().manual_seed(seed))",
        ),
    ),
    *rows(
        "pecl/adapters/adapter.py",
        "adapters/test_contract::test_a_slot_starts_as_a_single_adapter_with_its_seed",
        (
            "every slot of an adapter starts from the first seed",
            "adapter.reset_slot(slot, seed)",
            "adapter.reset_slot(slot, seeds[0])",
        ),
        (
            "the state of a slot is that of the first",
            "parameter.detach()[slot].clone()",
            "parameter.detach()[0].clone()",
        ),
    ),
    *rows(
        "pecl/adapters/adapter.py",
        "adapters/test_start::test_the_modules_draw_one_after_the_other_from_one_generator",
        (
            "seeds are counted from one, whatever was asked for",
            "adapter.reset_slot(slot, seed)",
            "adapter.reset_slot(slot, slot + 1)",
        ),
    ),
    *rows(
        "pecl/adapters/adapter.py",
        f"adapters/test_start::test_of_several_methods_the_deepest_modules_draw_first {_SLOTS}",
        ("modules are made from the top down", '-item[0].path.count(".")', 'item[0].path.count(".")'),
    ),
    *rows(
        "pecl/adapters/adapter.py",
        f"adapters/test_contract::test_fresh_is_the_identity_where_promised {_SLOTS} adapters/test_reference",
        ("levels at one layer are reversed", "item[1].level))", "-item[1].level))"),
    ),
    *rows(
        "pecl/adapters/adapter.py",
        "adapters/test_contract::test_exactly_these_names_are_trainable",
        ("the tower trains with its adapter", "tower.requires_grad_(False)", "tower.requires_grad_(True)"),
    ),
    *rows(
        "pecl/adapters/adapter.py",
        "adapters/test_bank::test_mixed_batch_equals_each_language_alone",
        (
            "loading a state writes the first slot",
            "parameter.data[slot] = state[name].to(parameter)",
            "parameter.data[0] = state[name].to(parameter)",
        ),
    ),
    *rows(
        "pecl/adapters/adapter.py",
        "adapters/test_start::test_resetting_one_slot_leaves_the_others_alone",
        (
            "the state of a slot is a view that training goes on to change",
            "parameter.detach()[slot].clone()",
            "parameter.detach()[slot]",
        ),
    ),
    *rows(
        "pecl/adapters/adapter.py",
        "encoders/test_kept::test_the_first_layer_is_the_lowest_that_depends_on_the_adapter",
        ("states are kept up to the highest layer of an adapter", "return min(layer_of(", "return max(layer_of("),
    ),
    *rows(
        "pecl/adapters/groups.py",
        "adapters/test_slots",
        (
            "items of all slots are taken to be in slot order",
            "if not bool((slots.diff() >= 0).all()):",
            "if slots[0] > slots[-1]:",
        ),
        (
            "rows computed slot by slot stay in the order of the slots",
            "return out if self._inverse is None else out.index_select(0, self._inverse)",
            "return out",
        ),
        ("order of the rows is not undone", "to_device(order.argsort(), device)", "to_device(order, device)"),
    ),
    *rows(
        "pecl/adapters/kind.py",
        "adapters/test_contract::test_exactly_these_names_are_trainable",
        (
            "the bottom layers are adapted in place of the topmost",
            ">= count - height_of(self.layers)]",
            "< height_of(self.layers)]",
        ),
    ),
    *rows(
        "pecl/adapters/kinds/lora.py",
        "adapters/test_start::test_every_weight_starts_with_the_documented_distribution",
        ("LoRA's A starts too wide", "1 / math.sqrt(shape[1])", "math.sqrt(6 / shape[1])"),
    ),
    *rows(
        "pecl/adapters/kinds/lora.py",
        "adapters/test_reference::test_lora_equals_peft",
        ("LoRA's scale is its alpha", "config.lora_alpha / config.r", "config.lora_alpha"),
    ),
    *rows(
        "pecl/adapters/kinds/lora.py",
        "adapters/test_reference::test_lora_dropout_acts_on_the_input_of_a_while_training_alone",
        (
            "LoRA's dropout is left out",
            "self.rows.linear(self.dropout(x), self.lora_A)",
            "self.rows.linear(x, self.lora_A)",
        ),
    ),
    *rows(
        "pecl/adapters/kinds/lora.py",
        "adapters/test_reference::test_lora_drops_the_share_of_inputs_that_was_asked_for_and_scales_up_the_rest",
        (
            "LoRA's dropout keeps what it should drop",
            "nn.Dropout(config.lora_dropout)",
            "nn.Dropout(1 - config.lora_dropout)",
        ),
    ),
    *rows(
        "pecl/adapters/kinds/lora.py",
        "adapters/test_reference::test_a_merged_weight_in_half_precision_is_rounded_once",
        (
            "LoRA is merged in the tower's precision",
            "wide = torch.promote_types(plain.weight.dtype, torch.float32)",
            "wide = plain.weight.dtype",
        ),
        (
            "the update is rounded before it is added to a merged weight",
            "plain.weight.to(wide) + update",
            "plain.weight + update.to(plain.weight)",
        ),
    ),
    *rows(
        "pecl/adapters/kinds/lora.py",
        "adapters/test_reference::test_merged_tower_is_plain_and_gives_the_slots_embeddings",
        ("LoRA is merged without its scale", "update = self.scaling * self.lora_B", "update = self.lora_B"),
    ),
    *rows(
        "pecl/adapters/slots.py",
        "encoders/test_packing::test_a_batch_of_several_slots_is_packed_as_well",
        (
            "tokens of a packed batch are grouped as its rows are",
            "return self.tokens if x.dim() == 3 else None",
            "return self.groups",
        ),
    ),
    *rows(
        "pecl/adapters/slots.py",
        "adapters/test_slots",
        ("rows that share one slot use the first", "self.single = low", "self.single = 0"),
    ),
    *rows(
        "pecl/adapters/slots.py",
        _SLOTS,
        (
            "a mixed batch adds updates without their scale",
            "groups.add_linear(_items(out), _items(x), weight, scale)",
            "groups.add_linear(_items(out), _items(x), weight, 1.0)",
        ),
    ),
    *rows(
        "pecl/adapters/slots.py",
        "adapters/test_reference::test_lora_dropout_acts_on_the_input_of_a_while_training_alone",
        ("a slot module begins in training mode", "self.training = base.training", "self.training = True"),
    ),
    *rows(
        "pecl/encoders/packing.py",
        "encoders/test_packing::test_embeddings_and_gradients_are_those_of_the_padded_batch",
        ("packed tokens attend to padding", "q, k, v, batch.mask, rows", "q, k, v, None, rows"),
    ),
    *rows(
        "pecl/encoders/layers.py",
        "encoders/test_packing::test_embeddings_and_gradients_are_those_of_the_padded_batch",
        ("positions of XLM-R begin at zero where it is packed", "device=device) + first)", "device=device))"),
        (
            "packed positions run on from row to row",
            "packing.pack(positions), ids, None)",
            "torch.arange(len(packing.place)).unsqueeze(0) + first, ids, None)",
        ),
    ),
    *rows(
        "pecl/encoders/packing.py",
        "encoders/test_packing::test_each_kind_of_dropout_acts_in_a_packed_pass",
        (
            "a packed pass has no dropout of attention",
            "rows=batch, **kwargs)",
            'rows=batch, **kwargs | {"dropout": 0.0})',
        ),
    ),
    *rows(
        "pecl/encoders/layers.py",
        "encoders/test_packing::test_other_attentions_and_architectures_are_left_alone",
        (
            "layers that another library has wrapped are packed",
            'return not any("forward" in vars(module) for module in backbone.modules())',
            "return True",
        ),
    ),
    *rows(
        "pecl/encoders/layers.py",
        "encoders/test_kept::test_embeddings_and_gradients_are_those_without_keeping",
        ("layers below work on the states that they gave", "layers[start :", "layers[:"),
    ),
    *rows(
        "pecl/encoders/layers.py",
        "encoders/test_text encoders/test_packing",
        (
            "padding is attended to",
            ("    if not is_padded and not ours and not causal:\n        return None\n"),
            ("    if is_padded and not ours and not causal:\n        return None\n"),
        ),
    ),
    *rows(
        "pecl/encoders/pooling.py",
        "encoders/test_text::test_mean_in_half_precision_is_rounded_once",
        (
            "half precision is averaged in half precision",
            "wide = torch.promote_types(hidden.dtype, torch.float32)",
            "wide = hidden.dtype",
        ),
    ),
    *rows(
        "pecl/encoders/pooling.py",
        "encoders/test_text::test_pooling_by_hand",
        ("the mean is divided by the padded length", "weights.sum(1)", "weights.shape[1]"),
        (
            "the last token is the last position",
            "last = (mask * positions).argmax(1)",
            "last = positions[-1].expand(len(hidden))",
        ),
    ),
    *rows(
        "pecl/encoders/tokenizing.py",
        "encoders/test_text::test_embeddings_are_the_head_of_the_pooled_hidden_states",
        (
            "the prefix of a tower is left out",
            "return [clean(self.text_prefix + text) for text in texts]",
            "return list(texts)",
        ),
    ),
    *rows(
        "pecl/encoders/text.py",
        "encoders/test_text::test_embeddings_are_the_head_of_the_pooled_hidden_states",
        (
            "every tower pools by the mean",
            "POOLINGS[self.pooling](hidden, ",
            'POOLINGS["mean"](hidden, ',
        ),
    ),
    *rows(
        "pecl/encoders/text.py",
        "encoders/test_text::test_embeddings_do_not_depend_on_batch_or_order",
        (
            "embeddings come in the order of the batches",
            "embeddings[places] = batch",
            "embeddings[sorted(places)] = batch",
        ),
    ),
    *rows(
        "pecl/encoders/text.py",
        "adapters/test_bank::test_mixed_batch_equals_each_language_alone",
        (
            "slots come in the order of the list, rows by their length",
            "slots[batch.indices]",
            "slots[batch.indices.sort().values]",
        ),
    ),
    *rows(
        "pecl/encoders/text.py",
        "encoders/test_text::test_encoding_leaves_the_mode_alone",
        (
            "texts are encoded with dropout",
            ("        encode = self if head else self.pooled\n        self.eval()\n"),
            "        encode = self if head else self.pooled\n",
        ),
        (
            "encoding ends in evaluation mode: training goes on without dropout",
            "            self.train(training)\n",
            "            pass\n",
        ),
    ),
    *rows(
        "pecl/encoders/text.py",
        "encoders/test_text::test_the_width_is_that_of_the_last_linear_layer",
        ("the width is that of the first linear layer", "linear[-1].out_features", "linear[0].out_features"),
    ),
    *rows(
        "pecl/encoders/tokenizing.py",
        "encoders/test_text::test_one_warning_counts_the_texts_that_were_cut",
        (
            "texts are cut one token early",
            "truncation=True, max_length=self.max_length",
            "truncation=True, max_length=self.max_length - 1",
        ),
        (
            "texts that fit exactly are counted as cut",
            "for i, length in lengths if length > self.max_length",
            "for i, length in lengths if length >= self.max_length",
        ),
    ),
    *rows(
        "pecl/encoders/text.py",
        "encoders/test_packing",
        (
            "modules that look at rows are packed",
            "self.packing and (self.adapter is None or self.adapter.works_on_tokens)",
            "self.packing",
        ),
    ),
    *rows(
        "pecl/encoders/text.py",
        "adapters/test_reference::test_soft_prompt_of_a_text_equals_the_text_in_front",
        (
            "the pooling leaves a prompt's mask out",
            "return hidden, extended.pooling_mask",
            "return hidden, extended.attention_mask",
        ),
    ),
    *rows(
        "pecl/encoders/text.py",
        "encoders/test_kept::test_passes_with_dropout_draw_it_in_every_layer",
        (
            "kept states have no dropout where there is some",
            "kept = None if self.training else self.kept",
            "kept = self.kept",
        ),
    ),
    *rows(
        "pecl/encoders/text.py",
        "encoders/test_text encoders/test_packing",
        ("padding is always attended to", "is_padded = tokens < attention_mask.numel()", "is_padded = False"),
    ),
]
