"""What the tests of faults share."""

import pytest
from faults import losses


@pytest.fixture
def note(record_property):
    """Note what a fault came to, for the table that benchmarks/faults.py prints."""

    def note(fault, times, study, client, runs, recovery):
        facts = {"fault": fault, "times": times, **losses(study, client, runs)}
        for name, value in (facts | {"recovery": recovery}).items():
            record_property(name, value)

    return note
