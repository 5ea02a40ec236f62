"""Questions to actors that cannot be reached: no cluster."""

import time

import pytest

pytest.importorskip("ray")

from mnist_cnn.workers.cluster.questions import Actor, Questions


def test_while_no_actor_can_be_reached_a_question_waits(monkeypatch):
    monkeypatch.setattr("ray.wait", lambda asked, **options: (asked, []))
    questions = Questions()
    questions.ask_later(Actor(1, None), "watch")
    began = time.monotonic()
    assert list(questions.answered(0.2)) == []
    assert time.monotonic() - began >= 0.2


def test_a_question_waits_no_longer_than_until_it_is_asked_again(monkeypatch):
    monkeypatch.setattr("mnist_cnn.workers.cluster.questions.AGAIN_SECONDS", 0.1)
    questions = Questions()
    questions.ask_later(Actor(1, None), "watch")
    began = time.monotonic()
    assert list(questions.answered(60)) == []
    assert time.monotonic() - began < 30
