"""KerasTuner's public guides: what RandomSearch trains is trained here, with the same values."""

import guide_spaces
import keras
import keras_tuner
import pytest
from eager import eagerly
from small import few

pytestmark = pytest.mark.compatibility

# space: its objective. `val_accuracy` unless the guide has another.
GUIDES = {
    "existing_code": "Maximize('val_accuracy')",
    "Normalizes()": "Maximize('val_accuracy')",
    "regressor": "Minimize('val_mean_absolute_error')",
    "Regressor()": "Minimize('error')",
    "RegressorOfTwoMetrics()": "Maximize('metric_a')",
    "CustomLoop()": "Minimize('my_metric')",
    "mlp_or_cnn": "Maximize('val_accuracy')",
    "distributed": "Maximize('val_accuracy')",
    "Tailored(existing_code)": "Maximize('val_sparse_top_k_categorical_accuracy')",
    "customized": "Maximize('val_right')",
    "KFold()": "Maximize('val_accuracy')",
    "TunesCallbacks()": "Minimize('val_loss')",
    "parents": "Maximize('val_accuracy')",
}


@pytest.mark.parametrize("space", GUIDES)
def test_what_kerastuner_searches_is_searched(small, space):
    small.write(f"space={space}, objectives=({GUIDES[space]},)", "guide_spaces")
    small.check()
    theirs = searched_by_kerastuner(space, small.root)
    ours = small.run(**theirs)
    assert ours.state == "COMPLETE", ours.reason
    (start,) = ours.events("start")
    later = {name: v for event in ours.events("params") for name, v in event["values"].items()}
    values = start["values"] | later
    # KerasTuner keeps values of layers that a model of this depth does not have.
    assert values and values == {name: theirs[name] for name in values}


def searched_by_kerastuner(space, folder):
    """Search one trial with KerasTuner's RandomSearch. Return its hyperparameters."""
    direction, metric = GUIDES[space].rstrip(")'").split("('")
    tuner = keras_tuner.RandomSearch(
        eval(space, vars(guide_spaces)),
        objective=keras_tuner.Objective(metric, {"Maximize": "max", "Minimize": "min"}[direction]),
        max_trials=1,
        seed=1,
        directory=folder / "kerastuner",
    )
    images = few().train()
    train, held = images[slice(250)], images[slice(250, None)]
    with eagerly():
        tuner.search(train.x, train.y, epochs=2, validation_data=(held.x, held.y), verbose=0)
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED" and trial.score is not None
    keras.backend.clear_session()
    active = trial.hyperparameters
    names = {hp.name for hp in active.space if active._conditions_are_active(hp.conditions)}
    return {name: value for name, value in active.values.items() if name in names}
