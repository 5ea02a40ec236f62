"""What the API says, as the OpenAPI page shows it."""

from typing import Any

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Why there is no answer, in one line."""

    detail: str


class Box(BaseModel):
    """Where a digit stands, in pixels of the picture as it was sent, upright."""

    left: int
    top: int
    width: int
    height: int


class Reading(BaseModel):
    """One digit as the model reads it."""

    digit: int = Field(description="the likeliest class, 0 to 9", ge=0, le=9)
    confidence: float = Field(description="its probability", ge=0, le=1)
    probabilities: list[float] = Field(description="of 0 to 9", min_length=10, max_length=10)
    doubtful: bool = Field(
        description="whether it is uncertain, or wide or high enough to be two digits that touch"
    )
    box: Box | None = Field(None, description="of pictures only")
    pixels: list[list[int]] | None = Field(
        None, description="of pictures only: the 28 rows of 28 levels (255 is ink) that it saw"
    )


class Answer(BaseModel):
    """The digits: of a picture from left to right, of arrays in the order that they were sent."""

    version: str = Field(description="of the model in the registry")
    number: str | None = Field(
        None, description="of pictures only: the digits in one word, empty if there is no ink"
    )
    predictions: list[Reading]


class ModelInfo(BaseModel):
    """The champion. Test figures are those of its promotion; null if its run has none."""

    name: str
    version: str
    created: str = Field(description="when it was registered, ISO 8601, UTC")
    run_id: str | None
    parameters: int
    input_shape: list[int]
    classes: int
    test_accuracy: float | None = Field(description="share of right answers on the test images")
    test_accuracy_low: float | None = Field(description="of its 95 % interval")
    test_accuracy_high: float | None
    test_loss: float | None = Field(description="cross-entropy in nats")
    card: str = Field(description="its model card in Markdown, empty without one")


class Health(BaseModel):
    """Whether predictions can be had, and from the registry's present champion."""

    status: str = Field(description="ok, degraded, or no champion")
    version: str | None
    problem: str | None = Field(description="one line; null if all is well")


_IMAGE: dict[str, Any] = {
    "type": "array",
    "description": "28 rows of 28 numbers, 0 is paper",
    "minItems": 28,
    "maxItems": 28,
    "items": {
        "type": "array",
        "minItems": 28,
        "maxItems": 28,
        "items": {"type": "number", "minimum": 0, "maximum": 255},
    },
}
_MAXIMUM = {"enum": [255, 1], "default": 255, "description": "the number that is full ink"}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _one_of(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name],
        "properties": {name: schema, "maximum": _MAXIMUM},
        "additionalProperties": False,
    }


# Pictures come as bare bytes, so FastAPI cannot find this out by itself.
PREDICT_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    _one_of("image", _IMAGE),
                    _one_of(
                        "images",
                        {"type": "array", "minItems": 1, "maxItems": 1024, "items": _IMAGE},
                    ),
                ]
            }
        },
        "image/png": _BINARY,
        "image/jpeg": _BINARY,
    },
}
