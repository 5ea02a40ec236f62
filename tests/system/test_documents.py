"""What the documents print can be typed: code runs, commands parse, and files exist."""

import hashlib
import re
import shlex
import subprocess

import numpy as np
import pytest
import yaml
from projects import ROOT

from mnist_cnn.command_line.parser import make_parser
from mnist_cnn.datasets import mnist
from mnist_cnn.experiment_id import experiment_id
from mnist_cnn.training.preflight import check

README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Commands are also printed by docstrings and by messages.
SOURCES = [
    file
    for folder in ("experiments", "mnist_cnn", "benchmarks")
    for file in (ROOT / folder).rglob("*.py")
]
MAKEFILE = (ROOT / "Makefile").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRITTEN_BY_THE_READER = {
    "search_spaces/pooled.py",
    "experiments/pooled.py",
    "experiments/guide.py",
    "experiments/perceptron.py",
}
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")


# Python


def typed(root):
    """Type every Python block into the file that the text before it names.

    Returns:
        The blocks without a file: what a reader adds to a HyperModel, and a data set.
    """
    others = []
    for document in DOCUMENTS:
        text = document.read_text()
        before = 0
        for block in BLOCK.finditer(text):
            named = re.findall(
                r"`((?:experiments|search_spaces)/\w+\.py)`", text[before : block.start()]
            )
            before = block.end()
            if named and named[-1] in WRITTEN_BY_THE_READER:
                (root / named[-1]).write_text(block[1])
            elif "mnist_cnn.search(" not in block[1]:  # test_notebook.py runs that one
                others.append(block[1])
    return others


def test_every_python_block_is_typed_and_its_experiment_passes_the_check(project):
    assert len(typed(project)) == 2  # these have tests of their own
    assert all((project / name).exists() for name in WRITTEN_BY_THE_READER)
    for name in ("pooled", "guide", "perceptron"):
        assert check(experiment_id(name)).unserved == ""


def test_what_is_added_to_a_hypermodel_is_in_the_whole_example(project):
    added, _ = typed(project)
    whole = (project / "experiments/guide.py").read_text().splitlines()
    assert set(added.splitlines()) <= set(whole)


@pytest.mark.parametrize(
    ("space", "module"),
    [
        ("pooled", "search_spaces.pooled"),
        ("MyHyperModel()", "experiments.guide"),
        ("perceptron", "experiments.perceptron"),
    ],
)
def test_a_space_that_is_typed_as_printed_is_searched(small, space, module):
    typed(small.root)
    small.write(f"space={space}, epochs=1", module)
    trial = small.run()
    assert trial.state == "COMPLETE", trial.reason
    assert trial.values[0] > 0


def test_a_data_set_that_is_typed_as_printed_is_searched(small):
    _, block = typed(small.root)
    (small.root / "search_spaces/digits.py").write_text(
        f"{block}\nfrom strange_spaces import dense\n"
    )
    images = mnist().first(1300).train()
    pixels = (images.x[..., 0] * 255).astype(np.uint8)
    np.savez(small.root / "my_digits.npz", x=pixels, y=images.y.astype(np.uint8))
    small.write("space=dense, dataset=my_digits", "search_spaces.digits")
    small.check()
    trial = small.run()
    assert trial.state == "COMPLETE", trial.reason
    digest = hashlib.sha256((small.root / "my_digits.npz").read_bytes()).hexdigest()
    assert {event["digest"] for event in trial.events("dataset")} == {digest}


# Commands


def printed_commands():
    """Every `make …` and `mnist-cnn …` that is printed: a line of its own, or in backticks."""
    commands = set()
    for file in [*DOCUMENTS, *SOURCES]:
        text = file.read_text()
        if file.suffix == ".py":  # a message may be in several strings, and have fields
            text = re.sub(r'"\n\s*f?"', "", text)
            text = re.sub(r"\{[^{}]*for_make\}", "EXPERIMENT=1", text)
            text = re.sub(r"\{[^{}]*\}", "1", text)
        lines = re.findall(r"^    ((?:make|mnist-cnn) .*)$", text, re.MULTILINE)
        inline = re.findall(r"`(?:\.venv/bin/)?((?:make|mnist-cnn)(?: [^`]*)?)`", text)
        for command in [*lines, *inline]:
            commands.add(" ".join(re.sub(r"#.*|[\[\]]", "", command).split()))
    return sorted(commands)


def test_the_commands_are_found():
    commands = printed_commands()
    for one in (
        "make search",
        "make search STUDY=mnist-1 TIMEOUT=3600",
        "mnist-cnn delete mnist-1",
    ):
        assert one in commands


@pytest.mark.parametrize("command", printed_commands())
def test_a_command_is_one_that_there_is(command):
    program, *arguments = shlex.split(command)
    if program == "mnist-cnn":
        # A subcommand alone is named, not typed: it may need arguments.
        parse(arguments if len(arguments) > 1 else [*arguments, "--help"])
        return
    targets = [argument for argument in arguments if "=" not in argument]
    variables = [argument.split("=")[0] for argument in arguments if "=" in argument]
    for target in targets:
        (described,) = re.findall(rf"^{target}:.*## (.*)", MAKEFILE, re.MULTILINE)
        assert {f"{name}=" for name in variables} <= set(re.findall(r"[A-Z_]+=", described))
    done = subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for called in re.findall(r"bin/mnist-cnn (.*)", done.stdout.replace("\\\n", "")):
        parse(shlex.split(called))


def test_make_lists_every_target():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    assert re.findall(r"^  make (\S+)", listed, re.MULTILINE) == targets


def test_packages_are_installed_into_the_projects_environment_whatever_is_active():
    files = [*DOCUMENTS, *SOURCES, *(ROOT / "deploy").iterdir(), ROOT / "Makefile"]
    found = [
        command
        for file in files
        for command in re.findall(r"bin/uv pip install [^\n`]*", file.read_text())
    ]
    assert len(found) > 6
    assert all(re.search(r" --python (\.venv|\$\(VENV\)) ", command) for command in found), found


def parse(arguments):
    try:
        make_parser().parse_args(arguments)
    except SystemExit as end:  # as after `--help`
        assert end.code == 0, arguments


# Files


def test_the_files_that_are_named_exist():
    folders = ("mnist_cnn", "tests", "benchmarks", "experiments", "search_spaces", "docs")
    files = [*ROOT.glob("*"), *(file for name in folders for file in (ROOT / name).rglob("*"))]
    there = {f"/{file.relative_to(ROOT)}" for file in files}
    for document in DOCUMENTS:
        text = document.read_text()
        for link in LINK.findall(text):
            path, _, heading = link.partition("#")
            target = document.parent / path if path else document
            assert target.exists(), link
            assert not heading or heading in headings(target), link
        for name in re.findall(r"`([\w/.-]+\.(?:py|lock|gz|md|toml))[ `]", text):
            known = any(file.endswith(f"/{name}") for file in there)
            assert known or name in {*WRITTEN_BY_THE_READER, "experiments/mine.py"}, name


def headings(document):
    """The anchors that GitHub gives the headings of a document."""
    found = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_the_front_page_is_short_and_leads_to_every_document():
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    linked = {link.partition("#")[0] for link in LINK.findall(text)}
    assert linked >= {str(document.relative_to(ROOT)) for document in DOCUMENTS[1:]}


def test_every_picture_is_shown():
    shown = {
        (document.parent / link).resolve()
        for document in DOCUMENTS
        for link in LINK.findall(document.read_text())
    }
    assert set((ROOT / "docs").glob("*.png")) <= shown


def test_a_commit_is_checked_by_the_locked_ruff():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # nothing is downloaded
    for hook in repository["hooks"]:
        command = [*shlex.split(hook["entry"]), "mnist_cnn/errors.py"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
