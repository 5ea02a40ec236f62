"""Where a configuration is from, in words."""

from made_study import made_study
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from mnist_cnn.report.tally import origin
from mnist_cnn.study.study import BASELINE, EARLIER


def test_the_origin_of_a_configuration(tmp_path):
    study = made_study(tmp_path)
    cases = (
        (0.1, {BASELINE: True}, "a baseline"),
        (0.2, {}, "found by the search"),
        (0.1, {}, "a baseline"),  # to which the sampler has come, too
        (0.3, {EARLIER: "mnist-1"}, "found by mnist-1"),
    )
    for x, attributes, _ in cases:
        study.trials.optuna_study.add_trial(
            create_trial(
                params={"x": x},
                distributions={"x": FloatDistribution(0, 1)},
                value=0.9,
                user_attrs=attributes,
            )
        )
    assert [origin(study, trial) for trial in study.trials.all()] == [case[2] for case in cases]
