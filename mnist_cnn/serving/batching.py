"""The images that wait, of however many requests, answered by one call of the model.

Nothing waits for a batch to fill: the model is called as soon as it is free, with whatever came
while it was busy. So a single request is answered at once, and many at once share their calls.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.serving.refusal import Refusal

Images = NDArray[np.float32]
Probabilities = NDArray[np.float32]

# Of 3 kB each; a machine that answers 1,000 a second has caught up in seconds.
MAX_WAITING = 8192
BATCH = 128


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

    def _take(self) -> list["_Ticket"]:
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


class _Ticket:
    """A request's images, and where their answer goes."""

    def __init__(
        self,
        predictor: Callable[[Images], Probabilities],
        images: Images,
        answer: "asyncio.Future[Probabilities]",
    ) -> None:
        self.predictor, self.images, self.answer = predictor, images, answer
