"""The card of a model's version."""

from types import SimpleNamespace

from mnist_cnn.promotion import card
from mnist_cnn.report import result_names


def test_the_accuracy_is_beside_the_objective_that_chose_the_model():
    loss = "val_calibrated_loss"
    metrics = {
        result_names.first_score(loss): 0.0117,
        result_names.best(loss): 0.0125,
        result_names.best("val_accuracy"): 0.9956,
    }
    data = SimpleNamespace(metrics=metrics, tags={result_names.CONFIRMATIONS: "2"})
    candidate = SimpleNamespace(chosen=SimpleNamespace(run=SimpleNamespace(data=data)))
    scores = f"- {loss}: first score 0.0117, mean of 2 fresh seeds 0.0125"
    accuracy = "- val_accuracy of the same trainings: 0.9956"
    assert card._confirmation(candidate) == [scores, accuracy]
    metrics[result_names.first_score("val_accuracy")] = 0.9954  # of an objective
    (first, _) = card._confirmation(candidate)
    assert first == "- val_accuracy: first score 0.9954, mean of 2 fresh seeds 0.9956"
