"""What surrounds the code agrees with it: workflows, hooks, templates, CONTRIBUTING.md."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings on Python 3.10

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").iterdir())
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHONS = [
    name.rsplit(" ", 1)[1]
    for name in PROJECT["project"]["classifiers"]
    if re.fullmatch(r"Programming Language :: Python :: \d\.\d+", name)
]


def jobs(workflow: Path) -> dict:
    return yaml.safe_load(workflow.read_text())["jobs"]


def steps(workflow: Path) -> list[dict]:
    return [step for job in jobs(workflow).values() for step in job["steps"]]


def matrix(job: str) -> dict:
    return jobs(ROOT / ".github" / "workflows" / "tests.yml")[job]["strategy"]["matrix"]


def oldest(package: str, requirements: list[str]) -> str:
    (found,) = [one for one in requirements if one.startswith(f"{package}>=")]
    return found.removeprefix(f"{package}>=")


def test_every_supported_python_is_tested_and_no_other():
    assert matrix("tests")["python"] == PYTHONS
    assert set(matrix("oldest")["python"]) == {PYTHONS[0], PYTHONS[-1]}
    for workflow in WORKFLOWS:
        text = workflow.read_text()
        assert set(re.findall(r'"(3\.\d+)"', text)) <= set(PYTHONS), workflow.name


def test_the_oldest_python_is_the_same_everywhere():
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + PYTHONS[0].replace(".", "")
    assert PROJECT["tool"]["pyright"]["pythonVersion"] == PYTHONS[0]


def test_the_oldest_torch_is_tested():
    assert matrix("oldest")["torch"] == [oldest("torch", PROJECT["project"]["dependencies"])]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_the_pages_say(workflow):
    """What it tests is what a reader runs; only the CPU build of torch is installed beside that."""
    written = {line for page in PAGES for line in page.read_text().splitlines()}
    ran = [line for step in steps(workflow) for line in step.get("run", "").splitlines()]
    assert ran
    unknown = [
        line
        for line in ran
        if line not in written and line != "pip install uv" and "--torch-backend=cpu" not in line
    ]
    assert not unknown


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_takes_actions_at_a_commit_and_may_only_read(workflow):
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (.*)", workflow.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert all("timeout-minutes" in job for job in jobs(workflow).values())


def test_the_hooks_have_versions_that_the_project_accepts():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    versions = {entry["repo"].rsplit("/", 1)[1]: entry["rev"] for entry in hooks}
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", version) for version in versions.values())
    needed = oldest("ruff", PROJECT["project"]["optional-dependencies"]["dev"])
    pinned = versions["ruff-pre-commit"].removeprefix("v")
    assert [int(part) for part in pinned.split(".")] >= [int(part) for part in needed.split(".")]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_the_modules_that_a_template_asks_to_run_exist(template):
    text = template.read_text()
    assert yaml.safe_load(text)
    for name in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(name), name
    for page in re.findall(r"docs/\w+\.md", text):
        assert (ROOT / page).is_file(), page


def test_the_bug_template_asks_for_what_a_bug_needs():
    text = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text()
    assert "`python -m memnets`" in text
    assert "memnets.__version__" in text


def test_the_files_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = re.search(r"<!-- files -->\n(.*?)<!-- end of files -->", text, re.DOTALL)
    assert table, "CONTRIBUTING.md needs a table between <!-- files --> and <!-- end of files -->"
    kinds = [line.split("|")[1].strip() for line in table[1].splitlines()[2:]]
    assert {"a controller", "an addressing", "a task", "a memory model", "a backend"} <= set(kinds)
    named = set(re.findall(r"`([\w./-]+(?:/|\.\w+))`", text))
    assert len(named) > 50
    files = {name for name in named if "NAME" not in name and "build/" not in name}
    assert not {name for name in files if not (ROOT / name).exists()}
    new = {name for name in named if "NAME" in name}
    assert not {name for name in new if not (ROOT / name).parent.is_dir()}


def test_a_controller_is_one_file_its_test_and_two_edits():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (row,) = re.findall(r"^\| a controller \|(.*)\|(.*)\|$", text, re.M)
    written, edited = (re.findall(r"`([\w./]+)`", cell) for cell in row)
    folder = "memnets/parts/controllers"
    assert [name for name in written if "NAME" in name] == [
        f"{folder}/NAME.py",
        "tests/memnets/parts/test_NAME.py",
    ]
    assert edited == [f"{folder}/__init__.py", "tests/layers.py"]


def test_a_task_is_one_file_and_two_edits():
    (row,) = re.findall(r"^\| a task \|(.*)\|(.*)\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    written, edited = (re.findall(r"`([\w./]+)`", cell.split(", by")[0]) for cell in row)
    assert written == ["tasks/NAME.py"]
    assert edited == ["tasks/__init__.py", "tests/tasks/table.py"]
