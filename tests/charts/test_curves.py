"""The curves of one training are drawn from whatever it has, and say what they show."""

import pytest
from matplotlib import image

from mnist_cnn.charts import style
from mnist_cnn.charts.curves import curves

HISTORIES = {
    "both": [{"accuracy": a, "val_accuracy": a, "loss": a, "val_loss": a} for a in (0.1, 0.2)],
    "one epoch": [{"accuracy": 0.1, "val_accuracy": 0.2, "loss": 0.3, "val_loss": 0.4}],
    "loss only": [{"loss": 0.3, "val_loss": 0.4}],
    "no epoch": [],
    "validated in some epochs": [{"loss": 0.3}, {"loss": 0.3, "val_loss": 0.4}, {"loss": 0.2}],
    "no number": [{"loss": float("nan"), "val_loss": float("inf")}],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())
def test_the_curves_of_a_training_are_drawn_and_labelled(history, tmp_path):
    figure = curves(history, "trial 003")
    assert figure.get_suptitle() == "trial 003"
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "accuracy (share of the images)",
        "loss (mean over the images)",
    ]
    for axes in figure.axes:
        assert axes.get_xlabel() == "epoch"
        metric = axes.get_ylabel().split()[0]
        metrics = {name for epoch in history for name in epoch if name.endswith(metric)}
        assert len(axes.lines) == len(metrics)
        assert bool(axes.get_legend()) == bool(metrics)
    style.save(figure, tmp_path / "curves.png")
    pixels = image.imread(tmp_path / "curves.png")
    assert pixels.shape[1] >= 1000 and pixels.std() > 0


@pytest.mark.parametrize("place", ["title", "axis", "legend", "ticks", "note"])
def test_what_is_between_dollar_signs_is_no_formula(tmp_path, place):
    name = "a$b_$c"  # as a formula it would be wrong
    figure, axes = style.new_figure(name if place == "title" else "")
    axes.plot([1, 2], label=name if place == "legend" else "it")
    style.label_axes(axes, name if place == "axis" else "epoch", "")
    if place == "ticks":
        axes.set_xticks([0, 1], [name, name])
    if place == "note":
        axes.annotate(name, (0, 1))
    style.legend(axes)
    style.save(figure, tmp_path / "plot.png")
    assert image.imread(tmp_path / "plot.png").std() > 0


def test_the_curves_begin_at_the_first_epoch():
    accuracy, _ = curves(HISTORIES["both"], "trial").axes
    training, validation = accuracy.lines
    assert list(training.get_xdata()) == list(validation.get_xdata()) == [1, 2]
    assert list(training.get_ydata()) == [0.1, 0.2]
    words = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert words == ["training", "validation"]


def test_the_first_epochs_of_a_long_training_are_cut_off_and_counted():
    values = [0.1, 0.5, *(0.99 + epoch / 1000 for epoch in range(8))]
    history = [{"accuracy": a, "val_accuracy": a, "loss": 1 - a, "val_loss": 1 - a} for a in values]
    accuracy, loss = curves(history, "trial").axes
    assert accuracy.get_ylim()[0] > 0.9 and loss.get_ylim()[1] < 0.1
    assert [axes.texts[0].get_text() for axes in (accuracy, loss)] == [
        "4 of 20 values lie below",
        "4 of 20 values lie above",
    ]
