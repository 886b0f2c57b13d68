"""Words of a customer that are commands to the desk (docs/rules.md, 3)."""

from shared.contracts.content import Text
from shared.contracts.inbound_messages import MessageReceived

END = "//end"


def ends_chat(message: MessageReceived) -> bool:
    """Say whether a message is nothing but the word that ends the chat, whatever its case."""
    content = message.content
    return isinstance(content, Text) and content.text.strip().casefold() == END
