"""One direction: a module imports only what stands before it, and what is heavy only where used."""

import ast
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

import mnist_cnn

PACKAGE = Path(mnist_cnn.__file__).parent

# Every module of the package. One that is new gets its place here.
ORDER = (
    "errors",
    "files",
    "file_lock",
    "keras_file",
    "keras_backend",
    "urls",
    "mlruns",
    "experiment_id",
    "datasets.naming",
    "datasets.paths.roles",
    "datasets.paths.tree",
    "datasets.images",
    "datasets.splitting",
    "datasets.dataset",
    "datasets.sources.mnist",
    "datasets.arrays.labels",
    "datasets.arrays.pixels",
    "datasets.parts",
    "datasets.arrays.assembly",
    "datasets.sources.digits",
    "datasets.sources.keras_dataset",
    "datasets.sources.emnist",
    "datasets.sources.idx",
    "datasets.sources.npz",
    "datasets.pictures.decoder",
    "datasets.pictures.files",
    "datasets.sources.folder",
    "datasets.sources.table_file",
    "datasets.pictures.named",
    "datasets.sources.table",
    "datasets.source",
    "datasets.check",
    "datasets.survey",
    "datasets.example_images",
    "datasets.overview",
    "known_data",
    "experiment_fields",
    "objectives",
    "experiment",
    "project.syntax",
    "project.sources",
    "project.fingerprint",
    "project.plan",
    "project.loading",
    "calibrated_loss",
    "optuna_internals",
    "hyperparameters",
    "charts.style",
    "charts.curves",
    "tracking.tags",
    "tracking.journal",
    "tracking.relocation",
    "tracking.client",
    "tracking.views",
    "tracking.events",
    "tracking.delivery",
    "tracking.experiment_lock",
    "tracking.sync",
    "workers.machine",
    "workers.signals",
    "workers.process",
    "workers.worker",
    "workers.pool",
    "workers.local_pool",
    "workers.cluster.wanted",
    "workers.cluster.nodes",
    "workers.cluster.shipping",
    "workers.cluster.joining",
    "workers.cluster.copies",
    "workers.cluster.news",
    "workers.cluster.node",
    "workers.cluster.questions",
    "workers.cluster.actors",
    "study.storage",
    "study.proxy",
    "study.outage",
    "study.lock",
    "study.chains",
    "study.screening",
    "study.outcome",
    "study.trials",
    "study.study",
    "study.scheduling",
    "study.opening",
    "study.recovery",
    "study.models",
    "study.budget",
    "study.candidates",
    "study.confirmation",
    "study.warm_start",
    "prior_sampler",
    "training.failure",
    "training.retrained",
    "training.architecture",
    "training.averaging",
    "training.backend",
    "training.batches",
    "training.kept_images",
    "training.data",
    "training.build",
    "training.checkpoint",
    "training.callbacks",
    "training.own_fit",
    "training.fit",
    "training.recipe",
    "training.run",
    "training.saved_model",
    "training.saving",
    "training.train",
    "training.sampling",
    "training.reporting",
    "training.trial",
    "training.retrain",
    "training.preflight",
    "training.ensemble",
    "training.export",
    "training.tasks",
    "retrain",
    "report.text",
    "report.history",
    "report.result_names",
    "report.confirmation_table",
    "report.front",
    "report.parameter_axis",
    "report.parallel_coordinates",
    "report.slices",
    "report.trial_plots",
    "report.study_plots",
    "report.timeline",
    "report.plots",
    "report.description",
    "report.page_template",
    "report.page",
    "report.tally",
    "report.view_facts",
    "report.study_run",
    "report.terminal",
    "report.listing",
    "report.studies",
    "search_process.request",
    "search_process.progress",
    "search_process.timetable",
    "search_process.dispatch",
    "search_process.repair",
    "search_process.phases",
    "search_process.run",
    "search_process.start",
    "registry.store",
    "registry.answers",
    "registry.models",
    "registry.aliases",
    "delete_study",
    "replay",
    "evaluation.scores",
    "evaluation.plots",
    "evaluation.data",
    "evaluation.calibration",
    "evaluation.evaluate",
    "evaluation.worker",
    "evaluation.lockbox",
    "evaluation.table",
    "promotion.front",
    "promotion.gate",
    "promotion.chosen",
    "promotion.candidate",
    "promotion.rivals",
    "promotion.card",
    "promotion.promote",
    "promotion.rollback",
    "promotion.pull",
    "serving.schemas",
    "serving.ink",
    "serving.refusal",
    "serving.bodies",
    "serving.connections",
    "serving.containers",
    "serving.inference",
    "serving.champion",
    "serving.login",
    "serving.drawing",
    "serving.guard",
    "serving.images",
    "serving.segmentation",
    "serving.arrays",
    "serving.reading",
    "serving.predict",
    "serving.app",
    "serving.server",
    "api",
    "ui",
    "dashboard",
    "command_line.verbs",
    "command_line.parser",
    "cli",
    "__main__",
)

FOLDERS = {
    ".".join(parts[:depth])
    for parts in (module.split(".") for module in ORDER)
    for depth in range(1, len(parts))
}


def test_a_folder_is_in_one_piece_in_the_order():
    folders = [module.partition(".")[0] for module in ORDER if "." in module]
    assert len([folder for folder, _ in groupby(folders)]) == len(set(folders))


def test_the_order_names_every_module():
    files = {path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")}
    names = {".".join(file.parts) for file in files if file.name != "__init__"}
    assert sorted(ORDER) == sorted(names)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_what_stands_before_it(module):
    found = set(imported_by(PACKAGE / (module.replace(".", "/") + ".py")))
    own = {name.removeprefix("mnist_cnn.") for name in found if name.startswith("mnist_cnn.")}
    modules = {name for name in own if name in ORDER}
    others = own - modules - FOLDERS  # a sub-package itself is its modules
    inner = {name.rpartition(".")[0] for name in others}
    assert inner - {*ORDER, *FOLDERS} == set()
    # What a folder itself offers may be from the last of its modules.
    assert {folder for folder in inner & FOLDERS if last_of(folder) >= ORDER.index(module)} == set()
    assert {name for name in modules if ORDER.index(name) >= ORDER.index(module)} == set()
    assert {name for name in found if name.startswith(("experiments", "search_spaces"))} == set()


def last_of(folder):
    return max(place for place, name in enumerate(ORDER) if name.startswith(f"{folder}."))


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("cli", "tensorflow keras mlflow optuna numpy"),
        ("api", "tensorflow keras mlflow"),
        ("datasets", "PIL keras matplotlib sklearn tensorflow"),
        ("search_process.run", "tensorflow keras keras_tuner"),
    ],
)
def test_a_module_is_imported_without_what_is_heavy(module, heavy):
    ask = f"import sys, mnist_cnn.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert set(heavy.split()) & set(done.stdout.split()) == set()
    assert f"mnist_cnn.{module}" in done.stdout.split()


def test_imports_are_seen_wherever_they_stand(tmp_path):
    (tmp_path / "module.py").write_text(
        "import a.b\n"
        "from c import d\n"
        "def f():\n    from e.f import g as h\n"
        "class C:\n    if True:\n        import i, j\n"
    )
    assert sorted(imported_by(tmp_path / "module.py")) == ["a.b", "c", "c.d", "e.f", "e.f.g", *"ij"]


def imported_by(path):
    """The dotted names that a file imports anywhere; `from a import b` may mean the module a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: an import by its full name is easier to follow"
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)
