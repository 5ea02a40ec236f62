"""Dynamic batching: the images of many requests share few calls of the model.

No request waits for a batch to fill. As soon as the model is free, it is called with whatever
arrived in the meantime. So a single request is answered at once, and simultaneous ones share calls.
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
from mnist_cnn.training.batches import evaluation_batch_size

Images = NDArray[np.float32]
Probabilities = NDArray[np.float32]

BATCH = 128  # fewer if they are large
# Images in the queue. At 1,000 images/s that is a wait of eight seconds.
MAX_WAITING = 8192
MAX_WAITING_BYTES = 2**28  # of MNIST's, 8,192 have a tenth of it


class Predictor:
    """A Keras model, compiled for a few batch sizes. It is safe to call from any thread.

    `model.predict` spends tens of milliseconds per call on a data pipeline, and a `tf.function`
    that accepts any batch size is retraced for each. So there is one traced function per power of
    two, and a batch is padded to the next one. That costs at most twice the work, and nothing is
    traced after the start.
    """

    def __init__(self, model: Model) -> None:
        """Trace the model for each batch size, and run each once to warm up.

        Args:
            model: Maps (n, height, width, channels) to (n, classes).
        """
        self._shape = tuple(model.input_shape[1:])
        # A network keeps all that it computes for a batch, which for large images is gigabytes.
        self._batch = _power_of_two(min(BATCH, evaluation_batch_size(self._shape)))
        function = tf.function(lambda images: model(images, training=False), autograph=False)
        self._functions = {
            size: function.get_concrete_function(tf.TensorSpec((size, *self._shape), tf.float32))
            for size in _powers_of_two(self._batch)
        }
        for size in self._functions:
            self(np.zeros((size, *self._shape), np.float32))

    def __call__(self, images: Images) -> Probabilities:
        """Classify images.

        Args:
            images: float32 of shape (n, height, width, channels), n at least 1.

        Returns:
            The probabilities: float32 of shape (n, classes).
        """
        size = self._batch
        chunks = [images[start : start + size] for start in range(0, len(images), size)]
        return np.concatenate([self._call(chunk) for chunk in chunks])

    def _call(self, images: Images) -> Probabilities:
        count = len(images)
        size = 1 << (count - 1).bit_length()
        if size > count:
            images = np.concatenate([images, np.zeros((size - count, *self._shape), np.float32)])
        answer = self._functions[size](tf.constant(images)).numpy()
        return np.asarray(answer[:count], dtype=np.float32)


def _power_of_two(most: int) -> int:
    """The largest power of two that is not larger."""
    return 1 << (most.bit_length() - 1)


def _powers_of_two(largest: int) -> list[int]:
    return [1 << power for power in range(largest.bit_length())]


@dataclass
class _Pending:
    """The images of one request, and the future that takes their probabilities."""

    predictor: Callable[[Images], Probabilities]
    images: Images
    result: "asyncio.Future[Probabilities]"


class Batcher:
    """A queue of requests for the model. Use it from one event loop only."""

    def __init__(self) -> None:
        self._waiting: deque[_Pending] = deque()
        self._images = 0
        self._running: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def predict(
        self, predictor: Callable[[Images], Probabilities], images: Images
    ) -> Probabilities:
        """Queue the images and wait for their probabilities.

        Args:
            predictor: The model to call. Only requests for the same one share a batch.
            images: float32 of shape (n, height, width, channels), n at least 1.

        Returns:
            The probabilities: float32 of shape (n, classes).

        Raises:
            Refusal: 429 if too many images are waiting already.
        """
        most = min(MAX_WAITING, MAX_WAITING_BYTES // images[0].nbytes)
        if self._waiting and self._images + len(images) > most:
            raise Refusal(429, "too many images are waiting; try again in a second")
        pending = _Pending(predictor, images, asyncio.get_running_loop().create_future())
        self._waiting.append(pending)
        self._images += len(images)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await pending.result

    def close(self) -> None:
        """Stop the model's thread after the current call, without waiting for it."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._take():
            images = np.concatenate([pending.images for pending in batch])
            try:
                results = await loop.run_in_executor(self._executor, batch[0].predictor, images)
            except Exception as error:  # the model failed, and so does every request of the batch
                for pending in batch:
                    if not pending.result.done():
                        pending.result.set_exception(error)
                continue
            start = 0
            for pending in batch:
                end = start + len(pending.images)
                if not pending.result.done():  # cancelled if its client has gone
                    pending.result.set_result(results[start:end])
                start = end
        self._running = None

    def _take(self) -> list[_Pending]:
        """Take the next requests for one model, as many as fit into a batch but at least one."""
        batch: list[_Pending] = []
        count = 0
        while self._waiting:
            pending = self._waiting[0]
            other_model = bool(batch) and pending.predictor is not batch[0].predictor
            full = bool(batch) and count + len(pending.images) > BATCH
            if other_model or full:
                break
            batch.append(self._waiting.popleft())
            count += len(pending.images)
        self._images -= count
        return batch
