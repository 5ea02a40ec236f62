"""The images of many requests, answered by few calls of the model.

Nothing waits for a batch to fill: the model is called as soon as it is free, with whatever came
while it was busy. So a single request is answered at once, and many at once share their calls.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from keras import Model
from numpy.typing import NDArray

from mnist_cnn.serving.refusal import Refusal

Images = NDArray[np.float32]
Probabilities = NDArray[np.float32]

BATCH = 128
# Of 3 kB each; a machine that answers 1,000 a second has caught up in seconds.
MAX_WAITING = 8192


class Predictor:
    """A Keras model, compiled for batches of fixed sizes; any thread may call it.

    `model.predict` sets up a data pipeline at each call, for tens of milliseconds, and a function
    that takes any batch size is traced anew for each. So there is one traced function for each
    power of two, and a batch is padded up to the next: at most twice the work, and no tracing after
    the start. Building it runs it once for every size.
    """

    def __init__(self, model: Model) -> None:
        self._shape = tuple(model.input_shape[1:])
        function = tf.function(lambda images: model(images, training=False), autograph=False)
        self._functions = {
            size: function.get_concrete_function(tf.TensorSpec((size, *self._shape), tf.float32))
            for size in _powers_of_two(BATCH)
        }
        for size in self._functions:
            self(np.zeros((size, *self._shape), np.float32))

    def __call__(self, images: Images) -> Probabilities:
        """Probabilities of shape (n, classes) for images of shape (n, height, width, channels)."""
        chunks = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        return np.concatenate([self._call(chunk) for chunk in chunks])

    def _call(self, images: Images) -> Probabilities:
        count = len(images)
        size = 1 << (count - 1).bit_length()
        if size > count:
            images = np.concatenate([images, np.zeros((size - count, *self._shape), np.float32)])
        answer = self._functions[size](tf.constant(images)).numpy()
        return np.asarray(answer[:count], dtype=np.float32)


def _powers_of_two(largest: int) -> list[int]:
    return [1 << power for power in range(largest.bit_length())]


@dataclass
class _Ticket:
    """A request's images, and where their answer goes."""

    predictor: Callable[[Images], Probabilities]
    images: Images
    answer: "asyncio.Future[Probabilities]"


class Batcher:
    """Calls a model for many requests; belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[_Ticket] = deque()
        self._images = 0
        self._running: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def predict(
        self, predictor: Callable[[Images], Probabilities], images: Images
    ) -> Probabilities:
        """What `predictor` answers for the images: probabilities of shape (n, classes).

        Raises Refusal (429) if too many images wait already.
        """
        if self._images + len(images) > MAX_WAITING:
            raise Refusal(429, "too many images are waiting; try again in a second")
        ticket = _Ticket(predictor, images, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._images += len(images)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await ticket.answer

    def close(self) -> None:
        """Let the model's thread end."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._take():
            images = np.concatenate([ticket.images for ticket in batch])
            try:
                answer = await loop.run_in_executor(self._executor, batch[0].predictor, images)
            except Exception as error:  # the model's own: each request of the batch fails with it
                for ticket in batch:
                    if not ticket.answer.done():
                        ticket.answer.set_exception(error)
                continue
            start = 0
            for ticket in batch:
                end = start + len(ticket.images)
                if not ticket.answer.done():  # its client is gone
                    ticket.answer.set_result(answer[start:end])
                start = end
        self._running = None

    def _take(self) -> list[_Ticket]:
        """The next requests of the same model, as many as fit one batch, and at least one."""
        batch: list[_Ticket] = []
        count = 0
        while self._waiting:
            ticket = self._waiting[0]
            if batch and (
                ticket.predictor is not batch[0].predictor or count + len(ticket.images) > BATCH
            ):
                break
            batch.append(self._waiting.popleft())
            count += len(ticket.images)
        self._images -= count
        return batch
