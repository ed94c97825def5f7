"""The pages on heavy libraries (docs/integrations/): each runs where its libraries are installed.

They are no dependency of memnets: `pip install -e '.[dev,docs]'` brings them.
"""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "integrations"
NEEDS = {
    "hugging_face.md": ["safetensors", "huggingface_hub"],
    "lightning.md": ["pytorch_lightning"],
    "onnx.md": ["onnx", "onnxscript", "onnxruntime"],
    "stable_baselines3.md": ["sb3_contrib"],
    "torchrl.md": ["torchrl"],
}


def test_every_page_is_run() -> None:
    assert {page.name for page in FOLDER.iterdir()} == set(NEEDS)


@pytest.mark.filterwarnings("default")  # what other libraries deprecate is theirs to mend
@pytest.mark.parametrize("name", NEEDS)
def test_the_python_of_a_page_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in NEEDS[name]:
        pytest.importorskip(library, reason=f"docs/integrations/{name} needs {library}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    blocks = re.findall(r"```python\n(.*?)```", (FOLDER / name).read_text(), re.DOTALL)
    assert blocks
    names: dict = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, name, "exec"), names)
