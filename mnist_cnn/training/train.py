"""Builds the model of a run, trains it, scores it and saves it, in a worker process."""

import gc
from dataclasses import asdict, dataclass

import keras
import keras_tuner
import tensorflow as tf

from mnist_cnn.charts import style
from mnist_cnn.charts.curves import curves
from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.objectives import LATENCY
from mnist_cnn.tracking import tags
from mnist_cnn.training import architecture
from mnist_cnn.training.build import build, has_own_fit
from mnist_cnn.training.callbacks import OnEpoch, Stop
from mnist_cnn.training.checkpoint import BeganAgain, Checkpoint, EpochMetrics
from mnist_cnn.training.failure import TrainingFailed
from mnist_cnn.training.fit import Training
from mnist_cnn.training.run import Run
from mnist_cnn.training.saving import save_scored, weights_digest
from mnist_cnn.workers import machine


@dataclass(frozen=True)
class Trained:
    """The outcome of a run.

    Attributes:
        summary: `best_epoch`; `train_seconds` of all epochs, including those before an interruption
            and those of the trial that it continues; `parameters` and `multiply_accumulates` if
            they are known. Unless training was stopped, also its scores as `best_<name>`: the
            metrics of the saved model on the validation images, or those of a HyperModel's own
            `fit`; and `milliseconds_per_image` if it is asked for: the median time in which this
            worker predicts one image.
        stop: Why training ended early; None if it did not.
    """

    summary: EpochMetrics
    stop: Stop | None


@dataclass(frozen=True)
class _Fitted:
    """A trained model: its checkpoint, the return values of `train`, its size and metric names."""

    checkpoint: Checkpoint
    stop: Stop | None
    returned: EpochMetrics
    size: dict[str, int]
    metric_names: list[str]


def train(run: Run, hp: keras_tuner.HyperParameters, on_epoch: OnEpoch) -> Trained:
    """Build the model of a run, train it, score it and save it.

    Training resumes from a checkpoint in the journal's folder. If `on_epoch` stops it, no model is
    saved.

    Args:
        run: The run.
        hp: The hyperparameters.
        on_epoch: Called with each epoch, from 1, and its metrics once they are in the checkpoint.
            Training stops if it returns a `Stop`. It is not called for epochs that are in the
            journal from before an interruption.

    Raises:
        TrainingFailed: The run cannot continue.
        UserError: No trial of the experiment could succeed.
        Exception: Whatever the space raises.
    """
    try:
        fitted = _build_and_fit(run, hp, on_epoch)
    except BeganAgain as error:
        (run.journal.folder / CHECKPOINT_FILE).unlink()
        run.journal.anew(str(error))
        fitted = _build_and_fit(run, hp, on_epoch)
    return _finish(run, hp, fitted)


def _build_and_fit(run: Run, hp: keras_tuner.HyperParameters, on_epoch: OnEpoch) -> _Fitted:
    _prepare_session(run)
    model, size = _build(run, hp)
    declared = set(hp.values)
    checkpoint, stop, returned = _fit(run, model, hp, on_epoch)
    if added := hp.values.keys() - declared:  # by a HyperModel's own `fit`
        run.add_values(added, hp.values, size)
    if not size and (size := architecture.size_of(model)):  # its own `fit` has built it
        run.journal.write("params", params=size, values={})
    own_fit = has_own_fit(run.experiment.space)
    names = [] if own_fit else list(model.get_metrics_result())
    return _Fitted(checkpoint, stop, returned, size, names)


def _prepare_session(run: Run) -> None:
    """Seed everything that Keras does from here on."""
    keras.backend.clear_session()
    # This has collected garbage. The remaining objects will stay, such as those that TensorFlow
    # keeps after every run. Freezing them saves 0.27 s in a worker's fiftieth run.
    gc.freeze()
    keras.utils.set_random_seed(run.seed)
    if run.experiment.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(run.policy)


def _build(run: Run, hp: keras_tuner.HyperParameters) -> tuple[keras.Model, dict[str, int]]:
    """Build the model and write the run's start. Return the model and its size."""
    model = build(run.experiment, run.data, hp, epochs=run.epochs)
    run.on_built()
    size = architecture.size_of(model)
    run.start(dict(hp.values), architecture.in_words(model), size)
    run.on_size({name: float(value) for name, value in size.items()})
    run.write_sources()
    _refuse_what_does_not_fit(model, run.experiment.batch_size)
    return model, size


def _fit(
    run: Run, model: keras.Model, hp: keras_tuner.HyperParameters, on_epoch: OnEpoch
) -> tuple[Checkpoint, Stop | None, EpochMetrics]:
    """Train the model. What `on_epoch` returns is in the journal before it takes effect."""
    journal = run.journal

    def on_each_epoch(epoch: int, metrics: EpochMetrics) -> Stop | None:
        if epoch in journal.stops:  # a pruner that is asked again may decide differently
            found = journal.stops[epoch]
            return Stop(**found) if found else None
        stop = on_epoch(epoch, metrics)
        journal.metrics(epoch, metrics, asdict(stop) if stop else None)
        return stop

    objective = run.experiment.objectives[0]
    path = journal.folder / CHECKPOINT_FILE
    if journal.last_step and not path.exists():
        journal.anew("its checkpoint is gone")
    checkpoint = Checkpoint(path, objective, run.recipe(dict(hp.values)), run.keep)
    training = Training(
        experiment=run.experiment,
        data=run.data,
        epochs=run.epochs,
        seed=run.seed,
        checkpoint=checkpoint,
        on_epoch=on_each_epoch,
        on_anew=journal.anew,
    )
    stop, returned = training.train(model, hp)
    if returned:
        return checkpoint, stop, returned
    if not checkpoint.epochs_with_objective and (stop is None or stop.scored):
        raise UserError(
            f"the HyperModel's fit neither returned {objective.metric!r} nor passed it to the "
            "callbacks in the logs of an epoch"
        )
    if not checkpoint.kept_epoch:
        raise TrainingFailed(f"{objective.metric} was not a finite number in any epoch")
    return checkpoint, stop, returned


def _finish(run: Run, hp: keras_tuner.HyperParameters, fitted: _Fitted) -> Trained:
    """Summarise the run, and save the model unless `on_epoch` stopped it."""
    checkpoint, stop = fitted.checkpoint, fitted.stop
    # One point is not a curve, and the plot would take 0.1 s of a run of a few seconds.
    brief = len(checkpoint.history) == 1 and stop is not None and stop.kind == "rung"
    summary = _summarise(run, checkpoint, fitted.size, brief)
    if stop and not stop.scored:
        return Trained(summary, stop)
    scores: EpochMetrics = {}
    if checkpoint.kept_weights:
        weights, names = checkpoint.kept_weights, fitted.metric_names
        scores, milliseconds = save_scored(run, hp, weights, names)
        if milliseconds is not None:
            summary[LATENCY] = milliseconds
    if has_own_fit(run.experiment.space):
        # Only its `fit` knows how the model is scored.
        objectives = {objective.metric for objective in run.experiment.objectives}
        kept = checkpoint.kept_metrics.items()
        scores = {n: v for n, v in kept if n.startswith("val_") or n in objectives}
        scores |= fitted.returned
    summary |= {f"best_{name}": value for name, value in scores.items()}
    return Trained(summary, stop)


def _summarise(run: Run, checkpoint: Checkpoint, size: dict[str, int], brief: bool) -> EpochMetrics:
    """Record the curves, unless it was brief, and the kept weights. Return the summary."""
    if checkpoint.history and not brief:
        figure = curves(checkpoint.history, run.title)
        run.write_file("curves.png", lambda path: style.save(figure, path))
    if checkpoint.kept_weights:
        digest = weights_digest(checkpoint.kept_weights)
        run.journal.write("tags", tags={tags.WEIGHTS: digest})
    return {
        "best_epoch": float(checkpoint.best_epoch),
        "train_seconds": sum(metrics["epoch_seconds"] for metrics in checkpoint.history),
        **{name: float(value) for name, value in size.items()},
    }


def _refuse_what_does_not_fit(model: keras.Model, batch_size: int) -> None:
    needed, free = architecture.training_bytes(model, batch_size), machine.available_memory()
    if needed is not None and needed > free:
        raise TrainingFailed(
            f"its training needs {needed / 2**30:.1f} GiB of memory or more, "
            f"{free / 2**30:.1f} GiB are free"
        )
