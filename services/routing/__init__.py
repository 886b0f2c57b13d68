"""Decides: which chat a message belongs to and who gets that chat, or that it waits, or becomes a ticket.
Hears: inbound-messages, chat-commands, agents, directory, tickets.
Says: chats, outbound-messages (an agent's reply to be sent).
"""  # noqa: D205 - decides, hears, says: the three lines of every service
