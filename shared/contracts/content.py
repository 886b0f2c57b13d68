"""What a message says: one class per kind, told apart by ``kind`` (docs/contracts.md, 5)."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from shared.contracts.event import Model
from shared.contracts.fields import (
    Body,
    Count,
    Detail,
    Flag,
    Id,
    JsonObject,
    JsonValue,
    Line,
    Name,
    Url,
    Word,
)


class Text(Model):
    """Plain text."""

    kind: Literal["text"] = "text"
    text: Body


class MediaFile(Model):
    """A file by the provider's ``id`` or a ``url``. ``size`` in bytes, ``duration`` in seconds."""

    id: Id | None = None
    url: Url | None = None
    mime_type: Name | None = None
    filename: Line | None = None
    size: Count | None = None
    sha256: Name | None = None
    voice: Flag | None = None
    duration: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class Media(Model):
    """A picture, a film, a sound, a document or a sticker."""

    kind: Literal["image", "video", "audio", "document", "sticker"]
    media: MediaFile
    caption: Detail | None = None


class Location(Model):
    """A place on earth, in degrees."""

    kind: Literal["location"] = "location"
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
    name: Line | None = None
    address: Line | None = None


class Contacts(Model):
    """Contact cards, as the provider writes them."""

    kind: Literal["contacts"] = "contacts"
    contacts: tuple[JsonObject, ...]


class Reply(Model):
    """A button or list row that the customer pressed."""

    kind: Literal["reply"] = "reply"
    id: Id
    title: Line
    payload: Detail | None = None


class Order(Model):
    """Products that the customer ordered, as the provider writes them."""

    kind: Literal["order"] = "order"
    items: tuple[JsonObject, ...]


class Reaction(Model):
    """An emoji on the message ``to`` (a provider message id); without ``emoji`` it is taken back."""

    kind: Literal["reaction"] = "reaction"
    emoji: Annotated[str, Field(max_length=64)] | None = None
    to: Id


class Interactive(Model):
    """A message with buttons or a list; ``action`` as WhatsApp writes it."""

    kind: Literal["interactive"] = "interactive"
    type: Word
    body: Body
    header: JsonObject | None = None
    footer: Line | None = None
    action: JsonObject


class Template(Model):
    """A template by name and language, with its parameters as WhatsApp writes them."""

    kind: Literal["template"] = "template"
    name: Name
    language: Word
    components: tuple[JsonObject, ...] = ()


class Unsupported(Model):
    """Something we cannot show. ``raw`` keeps it as it came, an unknown kind's whole object included."""

    kind: Literal["unsupported"] = "unsupported"
    raw: JsonValue = None

    @model_validator(mode="before")
    @classmethod
    def _keep_unknown_kind(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("kind", "unsupported") != "unsupported":
            return {"raw": value}
        return value


_TAGS = {
    "text": "text",
    "image": "media",
    "video": "media",
    "audio": "media",
    "document": "media",
    "sticker": "media",
    "location": "location",
    "contacts": "contacts",
    "reply": "reply",
    "order": "order",
    "reaction": "reaction",
    "interactive": "interactive",
    "template": "template",
}


def _tag(value: Any) -> str | None:
    """Choose the class by ``kind``; a kind nobody knows yet is unsupported, none at all is an error."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return _TAGS.get(kind, "unsupported") if isinstance(kind, str) and kind else None


Content: TypeAlias = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Media, Tag("media")]
    | Annotated[Location, Tag("location")]
    | Annotated[Contacts, Tag("contacts")]
    | Annotated[Reply, Tag("reply")]
    | Annotated[Order, Tag("order")]
    | Annotated[Reaction, Tag("reaction")]
    | Annotated[Interactive, Tag("interactive")]
    | Annotated[Template, Tag("template")]
    | Annotated[Unsupported, Tag("unsupported")],
    Discriminator(_tag),
]
