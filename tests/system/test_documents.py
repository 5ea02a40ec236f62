"""What the documents print can be typed: code runs, commands parse, and files exist."""

import hashlib
import re
import shlex
import subprocess

import numpy as np
import pytest
from projects import ROOT

from mnist_cnn.cli import _parser
from mnist_cnn.datasets import mnist
from mnist_cnn.training.preflight import check

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Commands are also printed by docstrings and by messages.
SOURCES = [
    file
    for folder in ("experiments", "mnist_cnn", "benchmarks")
    for file in (ROOT / folder).rglob("*.py")
]
MAKEFILE = (ROOT / "Makefile").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRITTEN_BY_THE_READER = {"search_spaces/mlp.py", "experiments/mlp.py", "experiments/guide.py"}


# Python


def typed(root):
    """Type every Python block into the file that the text before it names.

    Returns:
        The blocks without a file, in order.
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
    others = typed(project)
    assert len(others) == 1  # the data set, which has a test of its own
    assert all((project / name).exists() for name in WRITTEN_BY_THE_READER)
    for name in ("mlp", "guide"):
        assert check(name).unserved == ""


@pytest.mark.parametrize(
    ("space", "module"),
    [("mlp", "search_spaces.mlp"), ("MyHyperModel()", "experiments.guide")],
)
def test_a_space_that_is_typed_as_printed_is_searched(small, space, module):
    typed(small.root)
    small.write(f"space={space}, epochs=1", module)
    trial = small.run()
    assert trial.state == "COMPLETE", trial.reason
    assert trial.values[0] > 0


def test_a_data_set_that_is_typed_as_printed_is_searched(small):
    (block,) = typed(small.root)
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
            text = re.sub(r"\{[^{}]*\}", "1", re.sub(r'"\n\s*f?"', "", text))
        lines = re.findall(r"^    ((?:make|mnist-cnn) .*)$", text, re.MULTILINE)
        inline = re.findall(r"`(?:\.venv/bin/)?((?:make|mnist-cnn)(?: [^`]*)?)`", text)
        for command in [*lines, *inline]:
            commands.add(" ".join(re.sub(r"#.*|[\[\]]", "", command).split()))
    return sorted(commands)


def test_the_commands_are_found():
    commands = printed_commands()
    for one in ("make search", "make search STUDY=mnist-1 TRIALS=400", "mnist-cnn delete mnist-1"):
        assert one in commands


@pytest.mark.parametrize("command", printed_commands())
def test_a_command_is_one_that_there_is(command):
    program, *arguments = shlex.split(command)
    if program == "mnist-cnn":
        # A verb alone is named, not typed: it may need arguments.
        parse(arguments if len(arguments) > 1 else [*arguments, "--help"])
        return
    targets = [argument for argument in arguments if "=" not in argument]
    variables = [argument.split("=")[0] for argument in arguments if "=" in argument]
    for target in targets:
        (described,) = re.findall(rf"^{target}:.*## (.*)", MAKEFILE, re.MULTILINE)
        assert {f"{name}=" for name in variables} <= set(re.findall(r"[A-Z]+=", described))
    done = subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for called in re.findall(r"bin/mnist-cnn (.*)", done.stdout.replace("\\\n", "")):
        parse(shlex.split(called))


def parse(arguments):
    try:
        _parser().parse_args(arguments)
    except SystemExit as end:  # as after `--help`
        assert end.code == 0, arguments


# Files


def test_the_files_that_are_named_exist():
    folders = ("mnist_cnn", "tests", "benchmarks", "experiments", "search_spaces", "docs")
    files = [*ROOT.glob("*"), *(file for name in folders for file in (ROOT / name).rglob("*"))]
    there = {f"/{file.relative_to(ROOT)}" for file in files}
    for document in DOCUMENTS:
        text = document.read_text()
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (document.parent / link).exists(), link
        for name in re.findall(r"`([\w/.-]+\.(?:py|lock|gz|md|toml))[ `]", text):
            known = any(file.endswith(f"/{name}") for file in there)
            assert known or name in WRITTEN_BY_THE_READER, name
