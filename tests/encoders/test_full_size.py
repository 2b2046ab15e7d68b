"""Each family in its published size, with random numbers: loaded, one step of 32 captions, memory and time."""

import json
import subprocess
import sys

import pytest
from helpers.project import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from true_forms import FORMS

# Loads the folder that it is given, and takes a step of LoRA; prints seconds, the largest change and the peak in bytes.
STEP = """
import json, re, sys, time
import torch
from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.encoders.towers import load_text_encoder

start = time.perf_counter()
tower = load_text_encoder(sys.argv[1])
loaded = time.perf_counter()
weights = sum(tensor.nbytes for tensor in tower.parameters())
adapter = attach(tower, parse_adapter("lora:r=3,target_modules=intermediate/output"))
optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-3)
batch = tower.pad(tower.tokenize([f"a dog and {i} birds on the beach" for i in range(32)]), range(32))
before = [parameter.detach().clone() for parameter in adapter.parameters()]
tower(batch.input_ids, batch.attention_mask).square().mean().backward()
optimizer.step()
ended = time.perf_counter()
changed = max(float((now - old).abs().max()) for now, old in zip(adapter.parameters(), before))
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024  # ru_maxrss has the parent's
seconds = {"load": loaded - start, "step": ended - loaded}
print(json.dumps({**seconds, "changed": changed, "peak": peak, "weights": weights}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_tower_of_published_size_is_loaded_and_takes_a_step(form, tmp_path, record_property):
    FORMS[form].write(tmp_path)
    command = [sys.executable, "-c", STEP, str(tmp_path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    record_property("figures", found)
    assert 0 < found["changed"] < 1
    assert found["peak"] < 2 * found["weights"] + 2 * 2**30
