"""The three ways to speak on the bus: ask (`Rpc`), tell and keep (`Event`), tell and forget (`Signal`)."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator


class Message(BaseModel):
    """Anything on the bus: immutable, and tolerant of a newer sender (unknown fields are ignored)."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def unread_as(value: object) -> WrapValidator:
    """For what only explains or hints: what a newer sender says there in words that we do not know is read as `value`.

    Without it a settlement would be refused for the sake of its explanation.
    """

    def read(said: Any, understand: ValidatorFunctionWrapHandler) -> Any:
        try:
            return understand(said)
        except ValidationError:
            return value

    return WrapValidator(read)


RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT")
PayloadT = TypeVar("PayloadT", bound=Message)


@dataclass(frozen=True, slots=True)
class Rpc(Generic[RequestT, ReplyT]):
    """A subject that is asked and answers. Refusals are reply variants; a crash is a `Failure` reply.

    The first token of the subject is the service that answers; `asked_by` are those that ask.
    """

    subject: str
    request: type[RequestT]
    reply: TypeAdapter[ReplyT]
    description: str
    asked_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event(Generic[PayloadT]):
    """A subject that is told and kept in a JetStream stream, as a CloudEvents 1.0 JSON message.

    The first token of the subject is the service that tells it; `also_told_by` are others that do. `is_for_staff`: no
    service consumes it, commands read the stream.
    """

    subject: str
    stream: str
    payload: type[PayloadT]
    description: str
    also_told_by: tuple[str, ...] = ()
    is_for_staff: bool = False


@dataclass(frozen=True, slots=True)
class Signal(Generic[PayloadT]):
    """A subject that is told to whoever listens now, and not kept: for hints that a restart may lose."""

    subject: str
    payload: type[PayloadT]
    description: str
    heard_by: tuple[str, ...] = ()
