"""The shapes of the API's requests and responses, as the OpenAPI document shows them."""

from typing import Any

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """The reason for a refusal, in one line."""

    detail: str


class Box(BaseModel):
    """The bounding box of a digit, in pixels of the uploaded picture after EXIF rotation."""

    left: int
    top: int
    width: int
    height: int


class Prediction(BaseModel):
    """The model's prediction for one image: a digit of a picture, a picture, or an array."""

    digit: int = Field(description="the index of the most probable class, of a digit its value")
    label: str = Field(description="the name of that class")
    confidence: float = Field(description="the probability of that class", ge=0, le=1)
    probabilities: list[float] = Field(description="the probabilities of the classes, in order")
    doubtful: bool = Field(
        description="true if the confidence is low, or if this may be two digits that touch"
    )
    box: Box | None = Field(None, description="pictures of digits only: where the digit is")
    pixels: list[list[int]] | list[list[list[int]]] | None = Field(
        None, description="pictures only: the model's input, rows of levels or of colours"
    )


class Answer(BaseModel):
    """The predictions: from left to right for a picture, in request order for arrays."""

    name: str = Field(description="the name of the model in the registry")
    version: str = Field(description="its version there")
    number: str | None = Field(
        None, description="pictures of digits only: as one string, empty for a blank picture"
    )
    predictions: list[Prediction]


class ModelInfo(BaseModel):
    """The champion. Its test figures were measured at promotion; null if its run has none."""

    name: str
    version: str
    created: str = Field(description="the time of registration, ISO 8601, UTC")
    run_id: str | None
    parameters: int
    input_shape: list[int]
    classes: int
    class_names: list[str]
    like_mnist: bool = Field(
        description="true if it classifies digits like MNIST's; then a picture may show several"
    )
    test_accuracy: float | None = Field(description="the accuracy on the test images")
    test_accuracy_low: float | None = Field(description="the low end of its 95 % interval")
    test_accuracy_high: float | None = Field(description="the high end of its 95 % interval")
    test_loss: float | None = Field(description="the cross-entropy in nats")
    card: str = Field(description="the model card in Markdown; empty if there is none")


class Health(BaseModel):
    """Whether the app can predict, and whether with the registry's current champion."""

    status: str = Field(description="ok, degraded, or no champion")
    name: str | None = Field(description="the name of the model in the registry")
    version: str | None
    problem: str | None = Field(description="one line; null if there is no problem")


_IMAGE: dict[str, Any] = {
    "type": "array",
    "description": "rows of numbers, 28 of 28 for MNIST, where 0 is paper; of colours, three each",
    "items": {
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 255},
                {
                    "type": "array",
                    "items": {"type": "number", "minimum": 0, "maximum": 255},
                },
            ]
        },
    },
}
_MAXIMUM = {
    "enum": [255, 1],
    "default": 255,
    "description": "the value of full ink; required if no pixel is above 1",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _object_with(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name],
        "properties": {name: schema, "maximum": _MAXIMUM},
        "additionalProperties": False,
    }


# FastAPI cannot derive this: the route reads the raw body, because pictures come as plain bytes.
PREDICT_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    _object_with("image", _IMAGE),
                    _object_with(
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
