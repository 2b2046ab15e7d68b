"""The notebook runs from its first cell to its last, on the real mini profile."""

import warnings

import nbformat
import pytest
from helpers.project import ROOT
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
# A cell for the quick run: fewer scenes, shots and epochs; everything else is as the reader has it.
SMALL = """
from functools import partial
import pecl.data.registry
pecl.data.registry.load_scenes = partial(pecl.data.registry.load_scenes, size=50)
SHOTS, EPOCHS = 10, 1
"""


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def run(notebook, folder, monkeypatch):
    """Execute a notebook below `folder` and return the value that each cell shows last, as text, by its source."""
    (folder / "notebooks").mkdir()
    monkeypatch.setenv("PECL_CACHE_DIR", str(folder / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's own machinery
        resources = {"metadata": {"path": str(folder / "notebooks")}}
        # Through sockets that are files: a port may be taken by another program before the kernel has it.
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(folder / "kernel"))
        NotebookClient(notebook, km=kernel, timeout=3600, startup_timeout=600, resources=resources).execute()
    return [
        (cell.source, output.data["text/plain"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "execute_result"
    ]


def quoted(values, part):
    """Return what the one cell shows whose source contains `part`."""
    (value,) = (value for source, value in values if part in source)
    return value


def test_it_is_committed_without_outputs():
    cells = [cell for cell in read().cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    nbformat.validate(read())


@pytest.mark.weights
def test_every_cell_runs_on_few_scenes(tmp_path, monkeypatch):
    notebook = read()
    (place,) = (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(SMALL))
    values = run(notebook, tmp_path, monkeypatch)
    assert quoted(values, "gallery.shape") == "torch.Size([30, 256])"
    assert "165,888 parameters" in quoted(values, "pecl.train(")
    assert quoted(values, "bank.save(").endswith("equal embeddings: True'")
    pictures = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 4
    assert len(list((tmp_path / "results" / "notebook" / "adapters").glob("*.safetensors"))) == 2
    assert "baseline1" in quoted(values, "pecl.make_tables(")
