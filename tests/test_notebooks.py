from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from experiments import demo_data
from tinybert_jax.errors import InputError

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.fixture
def demo_packages():
  try:
    demo_data.encoder_directory()
  except InputError as error:
    pytest.skip(str(error))


def test_losses_notebook_runs_and_its_student_learns(demo_packages):
  notebook = nbformat.read(NOTEBOOKS / "losses.ipynb", as_version=4)
  NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOKS.parent)}}).execute()
  outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
  text = "".join(output.get("text", "") for output in outputs)
  first, last = (float(value) for value in text.split("\nloss ")[1].split("\n")[0].split(" → "))
  assert last < 0.3 * first
  assert "a projection of shape (96, 384) is needed" in text
  assert "largest gradient at padding 0.0" in text
  pictures = [output for output in outputs if "image/png" in output.get("data", {})]
  assert len(pictures) == 2
