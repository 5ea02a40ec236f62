"""Training: what it computes, when it ends, and that an interrupted one ends the same.

Twenty-five batches are an epoch here: not a multiple of the batches that run in one call.
"""

import re
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import keras
import keras_tuner
import numpy as np
import pytest
from arrays import assert_same_arrays
from keras import layers
from keras.optimizers import LossScaleOptimizer
from keras.optimizers.schedules import ExponentialDecay, PiecewiseConstantDecay

from mnist_cnn.datasets import mnist
from mnist_cnn.experiment import Experiment, Maximize, Minimize, Screen
from mnist_cnn.training.backend import precision
from mnist_cnn.training.callbacks import Stop
from mnist_cnn.training.checkpoint import BeganAgain, Checkpoint
from mnist_cnn.training.data import Data
from mnist_cnn.training.failure import TrainingFailed
from mnist_cnn.training.fit import Training, validated_epochs
from mnist_cnn.workers import machine

BATCH_SIZE, STEPS = 10, 25
STOP = Stop("pruned", "behind the others")


def unexpected(reason):
    raise AssertionError(reason)


class Interrupted(Exception):
    """Stands for whatever ends a process."""


# Interrupted and gone on


@pytest.fixture(scope="module")
def trainings(images, tmp_path_factory):
    """The same training twice: in one go, and interrupted after its first epoch."""
    folder, told = tmp_path_factory.mktemp("trainings"), []
    whole = checkpoint(folder / "whole.npz")
    uninterrupted = convolutional(seed=1)
    fit(uninterrupted, images, whole, epochs=3)
    stopped = checkpoint(folder / "parts.npz", raise_after(1))
    with pytest.raises(Interrupted):
        fit(convolutional(seed=1), images, stopped, epochs=3)
    (folder / "parts.part.npz").write_bytes(b"torn by a kill in the midst of writing")
    parts = checkpoint(folder / "parts.npz", lambda *arguments: told.append(arguments))
    # Another seed: all that the random layers do must come from the checkpoint.
    resumed = convolutional(seed=2)
    fit(resumed, images, parts, epochs=3)
    return SimpleNamespace(
        whole=whole, uninterrupted=uninterrupted, parts=parts, resumed=resumed, told=told
    )


def test_an_interrupted_training_ends_to_the_last_bit_as_one_that_was_not(trainings):
    parts, whole = trainings.parts, trainings.whole
    assert_same_arrays(trainings.resumed.get_weights(), trainings.uninterrupted.get_weights())
    assert_same_arrays(parts.kept_weights, whole.kept_weights)
    assert_same_arrays(parts.average.weights, whole.average.weights)
    assert parts.best_epoch == whole.best_epoch
    assert without_seconds(parts.history) == without_seconds(whole.history)
    assert len(parts.history) == 3


@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
def test_an_interrupted_training_in_half_precision_ends_the_same(images, tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    try:
        whole, stopped, parts = dense(), dense(), dense()
    finally:
        keras.config.set_dtype_policy("float32")
    state, again = checkpoint(tmp_path / "whole.npz"), checkpoint(tmp_path / "parts.npz")
    fit(whole, images, state, epochs=2)
    with pytest.raises(Interrupted):
        fit(stopped, images, checkpoint(tmp_path / "parts.npz", raise_after(1)), epochs=2)
    fit(parts, images, again, epochs=2)
    assert_same_arrays(parts.get_weights(), whole.get_weights())
    assert_same_arrays(again.kept_weights, state.kept_weights)
    assert {weight.dtype.name for weight in state.kept_weights} == {"float32"}


def test_the_epochs_of_an_interrupted_training_are_told_again_in_order(trainings):
    assert trainings.told == list(enumerate(trainings.parts.history, start=1))


def test_a_finished_training_is_not_trained_on(trainings, images):
    content = trainings.whole.path.read_bytes()
    model, again = convolutional(seed=2), checkpoint(trainings.whole.path)
    fit(model, images, again, epochs=3)
    assert_same_arrays(model.get_weights(), trainings.uninterrupted.get_weights())
    assert_same_arrays(again.kept_weights, trainings.whole.kept_weights)
    assert again.history == trainings.whole.history
    assert again.path.read_bytes() == content


def test_what_ended_a_training_ends_it_again_after_an_interruption(images, tmp_path):
    fit(dense(), images, checkpoint(tmp_path / "a.npz", stop_at(1)), epochs=3)
    again = checkpoint(tmp_path / "a.npz", stop_at(1))
    assert fit(dense(), images, again, epochs=3) == STOP
    assert len(again.history) == 1


@pytest.mark.parametrize("spoil", ["another recipe", "half a file", "no archive"])
def test_a_checkpoint_that_cannot_be_gone_on_from_is_told_and_the_training_begins_anew(
    images, tmp_path, spoil
):
    path = tmp_path / "a.npz"
    with pytest.raises(Interrupted):
        fit(convolutional(seed=1), images, checkpoint(path, raise_after(1)), epochs=2)
    if spoil == "half a file":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif spoil == "no archive":
        path.write_bytes(b"nothing")
    recipe = {"threads": "2" if spoil == "another recipe" else "1"}
    again, told = checkpoint(path, recipe=recipe), []
    model, whole = convolutional(seed=1), checkpoint(tmp_path / "b.npz", recipe=recipe)
    fit(model, images, again, epochs=2, on_anew=told.append)
    if spoil == "another recipe":
        assert told == ["threads was 1, is 2"]
    else:
        assert told == ["its checkpoint is damaged"]
    fit(convolutional(seed=1), images, whole, epochs=2)
    assert_same_arrays(again.kept_weights, whole.kept_weights)
    assert len(again.history) == 2


def test_the_last_epochs_weights_can_be_kept_and_no_patience_ends_that_training(images, tmp_path):
    rate = Maximize("learning_rate")  # which is constant, so the first epoch is the best
    state = checkpoint(tmp_path / "a.npz", objective=rate, keep="last")
    model = dense()
    assert fit(model, images, state, epochs=8, patience=2) is None
    assert len(state.history) == 8
    assert_same_arrays(state.kept_weights, state.average.weights)
    assert state.best_epoch == 1


# The learning rate


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    """A model after eight epochs, of which the first counts as the best, and its checkpoint."""
    path = tmp_path_factory.mktemp("trained") / "a.npz"
    model, state = dense(), checkpoint(path, objective=Maximize("learning_rate"))
    fit(model, images, state, epochs=8)
    return model, state


def test_the_learning_rate_is_the_compiled_one_in_every_epoch(trained):
    _, state = trained
    rates = [metrics["learning_rate"] for metrics in state.history]
    assert rates == [pytest.approx(0.1)] * 8


def test_a_training_can_go_on_after_its_last_epoch_as_if_that_had_been_planned(
    trainings, images, tmp_path
):
    path = tmp_path / "a.npz"
    fit(convolutional(seed=1), images, checkpoint(path), epochs=1)
    model, state = convolutional(seed=2), checkpoint(path)
    fit(model, images, state, epochs=3)
    assert_same_arrays(model.get_weights(), trainings.uninterrupted.get_weights())
    assert_same_arrays(state.kept_weights, trainings.whole.kept_weights)
    assert without_seconds(state.history) == without_seconds(trainings.whole.history)


def test_the_precision_is_the_experiments_else_that_of_what_computes(monkeypatch):
    none = Experiment(space=dense, dataset=mnist)
    own = replace(none, precision="float16")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])
    assert (precision(own), precision(none)) == ("float16", machine.precision())
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    assert (precision(own), precision(none)) == ("float16", "float32")


class WithMetricsOfItsOwn(keras.Sequential):
    def compute_metrics(self, x, y, y_pred, sample_weight):  # as Keras documents it
        return super().compute_metrics(x, y, y_pred, sample_weight)


def test_a_model_may_compute_its_metrics_itself(images, tmp_path):
    model = WithMetricsOfItsOwn(dense().layers)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    state = checkpoint(tmp_path / "state.npz")
    fit(model, images, state, epochs=1)
    assert 0 < state.history[0]["accuracy"] < 1


def test_the_training_function_is_traced_once(images, tmp_path):
    model = convolutional(seed=1)
    model.train_step = Mock(side_effect=model.train_step)
    fit(model, images, checkpoint(tmp_path / "state.npz"), epochs=2)
    assert model.train_step.call_count == 1


@pytest.mark.parametrize("scaled", [False, True])  # as float16 takes it
def test_an_optimizer_with_a_schedule_of_its_own_keeps_it(images, tmp_path, scaled):
    optimizer = keras.optimizers.SGD(ExponentialDecay(0.1, STEPS, 0.5))
    model = dense(optimizer=LossScaleOptimizer(optimizer) if scaled else optimizer)
    state = checkpoint(tmp_path / "a.npz")
    fit(model, images, state, epochs=2)
    rates, steps = [m["learning_rate"] for m in state.history], int(optimizer.iterations)
    assert rates == pytest.approx([0.1 * 0.5 ** (done / STEPS) for done in (steps / 2, steps)])


def test_what_is_validated_and_kept_is_the_average_of_the_weights(images, tmp_path):
    model = dense()
    state = checkpoint(tmp_path / "a.npz", keep="last")
    fit(model, images, state, epochs=2)
    assert_same_arrays(state.kept_weights, state.average.weights)
    held_out, last = validation_of(images), state.history[-1]
    raw = model.evaluate(held_out.x, held_out.y, verbose=0, return_dict=True)
    model.set_weights(state.average.weights)
    averaged = model.evaluate(held_out.x, held_out.y, verbose=0, return_dict=True)
    assert averaged["loss"] == pytest.approx(last["val_loss"], rel=1e-5)
    assert raw["loss"] != pytest.approx(averaged["loss"], rel=1e-3)


def test_the_average_leaves_out_the_first_batches_however_long_the_training(trained, trainings):
    _, state = trained  # eight epochs of two calls: the first epoch has the first 24 batches
    assert (state.average.count, trainings.whole.average.count) == (14, 4)


# The validated epochs


@pytest.mark.parametrize(
    ("screen", "epochs", "wanted"),
    [
        (None, 3, [1, 2, 3]),
        (Screen(), 2, [1, 2]),
        (Screen(), 10, [1, 2, 4, 8, 10]),
        (Screen(rungs=(3,)), 4, [3, 4]),
        (Screen(rungs=(1, 4, 12)), 32, [1, 2, 4, 8, 12, 24, 32]),
        (Screen(rungs=(1, 4, 12)), 4, [1, 2, 4]),  # as `Confirm.epochs` may be
        (Screen(rungs=(2, 3)), 1, [1]),
    ],
)
def test_with_screening_each_rung_and_some_epochs_in_between_are_validated(screen, epochs, wanted):
    assert validated_epochs(screen, epochs) == wanted


def test_epochs_that_are_not_validated_are_told_without_the_objective(images, tmp_path):
    told = []
    state = checkpoint(tmp_path / "a.npz", lambda *arguments: told.append(arguments))
    fit(dense(), images, state, epochs=5, screen=Screen(rungs=(3,)))
    assert [epoch for epoch, _ in told] == [1, 2, 3, 4, 5]
    assert [epoch for epoch, metrics in told if "val_accuracy" in metrics] == [3, 5]
    assert all("accuracy" in metrics for _, metrics in told)
    assert state.epochs_with_objective == [3, 5] and state.kept_epoch in (3, 5)


def test_patience_is_counted_in_validated_epochs(images, tmp_path):
    state = checkpoint(tmp_path / "a.npz", objective=Minimize("val_steps"))
    model = dense()
    model.compile(model.optimizer, model.loss, metrics=[Worse(name="steps")])
    stop = fit(model, images, state, epochs=16, patience=2, screen=Screen(rungs=(1, 6)))
    assert (stop.kind, stop.reason) == ("stale", "no better since epoch 1")
    assert len(state.history) == 4  # epochs 2 and 4 were no better


class Worse(keras.metrics.Metric):
    """Counts its results over the whole training."""

    def __init__(self, name):
        super().__init__(name=name)
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, *arguments, sample_weight=None):
        self.count.assign_add(1.0)

    def result(self):
        return self.count

    def reset_state(self):
        pass


# The best epoch, and the end. A constant learning rate is best at the first epoch.


def test_the_best_epochs_weights_are_kept(trained, images):
    _, state = trained
    assert state.best_epoch == 1 and len(state.history) == 8
    model = dense()
    model.set_weights(state.kept_weights)
    held_out = validation_of(images)
    found = model.evaluate(held_out.x, held_out.y, verbose=0, return_dict=True)
    first, last = state.history[0], state.history[-1]
    assert found["loss"] == pytest.approx(first["val_loss"], rel=1e-5)
    assert found["accuracy"] == pytest.approx(first["val_accuracy"], rel=1e-5)
    assert first["val_loss"] != pytest.approx(last["val_loss"], rel=1e-3)


def test_an_epoch_can_have_fewer_images_than_a_pass(images, tmp_path):
    model, state = dense(), checkpoint(tmp_path / "a.npz")
    fit(model, images, state, epochs=4, epoch_images=50)
    assert int(model.optimizer.iterations) == 4 * 5


def test_an_epoch_can_be_several_passes(images, tmp_path):
    model, state = dense(), checkpoint(tmp_path / "a.npz")
    fit(model, images, state, epochs=2, epoch_images=640)
    assert int(model.optimizer.iterations) == 2 * 64


@pytest.mark.parametrize("objective", [Maximize("m"), Minimize("m")], ids=["maximize", "minimize"])
def test_the_best_epoch_is_the_first_with_the_best_value(objective, tmp_path):
    state = checkpoint(tmp_path / "a.npz", objective=objective)
    assert state.best_epoch == 0
    sign = 1 if objective.direction == "maximize" else -1
    state.history = [{"m": sign * value} for value in (1.0, 3.0, float("nan"), 3.0, 2.0)]
    assert state.best_epoch == 2


def test_a_training_without_a_better_epoch_ends_after_its_patience(images, tmp_path):
    def rising():
        return dense(keras.optimizers.SGD(PiecewiseConstantDecay([STEPS], [0.1, 0.2])))

    state = checkpoint(tmp_path / "a.npz", objective=Maximize("learning_rate"))
    stop = fit(rising(), images, state, epochs=16, patience=2)
    assert (state.best_epoch, len(state.history)) == (2, 4)
    assert (stop.kind, stop.reason) == ("stale", "no better since epoch 2")
    again = checkpoint(tmp_path / "a.npz", objective=Maximize("learning_rate"))
    # As after a kill before the trial was told.
    assert fit(rising(), images, again, epochs=16, patience=2) == stop
    assert len(again.history) == 4


def test_a_loss_that_is_no_number_fails_the_training_and_names_the_epoch(images, tmp_path):
    model = dense()

    def spoil(epoch, metrics):
        model.set_weights([weight * np.nan for weight in model.get_weights()])

    with pytest.raises(TrainingFailed, match="loss became nan in epoch 2"):
        fit(model, images, checkpoint(tmp_path / "a.npz", spoil), epochs=3)


def test_an_objective_that_does_not_exist_fails_the_training_with_the_valid_names(images, tmp_path):
    state = checkpoint(tmp_path / "a.npz", objective=Maximize("val_acuracy"))
    with pytest.raises(TrainingFailed) as refusal:
        fit(dense(), images, state, epochs=1)
    assert "'val_acuracy' (did you mean 'val_accuracy'?) does not exist" in str(refusal.value)
    for name in ("accuracy", "loss", "val_accuracy", "val_loss"):
        assert name in re.split(", |; ", str(refusal.value).partition("valid: ")[2])


def test_fewer_images_than_a_batch_fail_the_training(images, tmp_path):
    with pytest.raises(TrainingFailed, match="training images do not fill a batch of 10"):
        fit(dense(), images[slice(9)], checkpoint(tmp_path / "a.npz"), epochs=1)


class WithItsOwnFit(keras_tuner.HyperModel):
    """Trains in its own way, with a callback more."""

    def __init__(self):
        super().__init__()
        self.ended_after = None
        self.given = ()

    def fit(self, hp, model, *args, callbacks, **kwargs):
        self.given = args
        noted = keras.callbacks.LambdaCallback(
            on_train_end=lambda logs: setattr(
                self, "ended_after", model.optimizer.iterations.numpy()
            )
        )
        return model.fit(*args, batch_size=BATCH_SIZE, callbacks=[*callbacks, noted], **kwargs)


def test_a_training_that_is_ended_ends_in_keras_own_way(images, tmp_path):
    space, model = WithItsOwnFit(), dense()
    state = checkpoint(tmp_path / "a.npz", stop_at(2))
    assert fit(model, images, state, epochs=4, space=space) == STOP
    assert len(state.history) == 2
    assert space.ended_after == 2 * STEPS  # the other callback had its on_train_end, and then


def test_a_hyper_model_with_its_own_fit_has_the_arrays_and_keeps_its_learning_rate(
    images, tmp_path
):
    space, state = WithItsOwnFit(), checkpoint(tmp_path / "a.npz")
    fit(dense(), images, state, epochs=1, space=space)
    assert [len(array) for array in space.given] == [STEPS * BATCH_SIZE] * 2
    assert state.history[0]["learning_rate"] == pytest.approx(0.1)
    assert state.average.count == 0  # and its weights


def test_what_its_own_fit_declared_is_known_when_the_training_was_stopped(images, tmp_path):
    class Declares(WithItsOwnFit):
        def fit(self, hp, model, *args, **kwargs):
            hp.Choice("smoothing", [0.25, 0.5])
            return super().fit(hp, model, *args, **kwargs)

    for _ in range(2):
        space, hp = Declares(), keras_tuner.HyperParameters()
        state = checkpoint(tmp_path / "a.npz", stop_at(1))
        fit(dense(), images, state, epochs=3, space=space, hp=hp)
        assert len(state.history) == 1
        assert hp.values == {"smoothing": 0.25}
    assert not space.given


def test_its_own_fit_whose_result_was_lost_with_its_process_begins_again(images, tmp_path):
    fit(dense(), images, checkpoint(tmp_path / "a.npz"), epochs=1, space=WithItsOwnFit())
    again = checkpoint(tmp_path / "a.npz")
    with pytest.raises(BeganAgain, match="has not returned yet"):
        fit(dense(), images, again, epochs=1, space=WithItsOwnFit())


def convolutional(seed):
    """A net with all that has a state: batch normalisation, dropout, shifting, Adam."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant"),
            layers.Conv2D(4, 3, strides=2),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def dense(optimizer=None):
    """The smallest net that learns something."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10, activation="softmax")]
    )
    model.compile(
        optimizer or keras.optimizers.SGD(0.1),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def checkpoint(
    path, on_epoch=lambda epoch, metrics: None, *, objective=None, recipe=None, keep="best"
):
    """A checkpoint, with what its training is to call at the end of an epoch."""
    state = Checkpoint(
        path, objective or Maximize("val_accuracy"), recipe or {"threads": "1"}, keep
    )
    state.on_epoch = on_epoch
    return state


def stop_at(last):
    return lambda epoch, metrics: STOP if epoch == last else None


def fit(
    model,
    images,
    state,
    *,
    epochs,
    space=None,
    epoch_images=None,
    hp=None,
    patience=9,
    screen=None,
    on_anew=unexpected,
):
    """Train, and return why the training ended early."""
    some = images[slice(min(len(images), STEPS * BATCH_SIZE))]
    training = Training(
        experiment=Experiment(
            space=space or dense,
            dataset=mnist,
            batch_size=BATCH_SIZE,
            epoch_images=epoch_images,
            patience=patience,
            screen=screen,
            epochs=max(epochs, 16),
        ),
        data=Data(mnist(), some, validation_of(images)),
        epochs=epochs,
        seed=7,
        checkpoint=state,
        on_epoch=state.on_epoch,
        on_anew=on_anew,
    )
    stop, _ = training.train(model, keras_tuner.HyperParameters() if hp is None else hp)
    return stop


def validation_of(images):
    return images[slice(STEPS * BATCH_SIZE, None)]


def raise_after(last):
    def on_epoch(epoch, metrics):
        if epoch == last:
            raise Interrupted

    return on_epoch


def without_seconds(history):
    return [{n: v for n, v in metrics.items() if n != "epoch_seconds"} for metrics in history]
