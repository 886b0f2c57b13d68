"""A provider to test against: it speaks the WhatsApp Cloud API's send endpoint and misbehaves as told.

It answers by a script (`Script`), keeps a log of every request, and sends receipts to a callback.
`python -m ops.fake_provider --port 9000` runs it alone; `serving` runs it inside a test.
"""

from ops.fake_provider.provider import FakeProvider
from ops.fake_provider.receipts import ProviderReceipt, ReceiptHabits
from ops.fake_provider.records import Call, Log
from ops.fake_provider.script import Accept, Answer, Cut, Fail, Hang, Maybe, Script, ServerFault
from ops.fake_provider.serving import serving

__all__ = [
    "Accept",
    "Answer",
    "Call",
    "Cut",
    "Fail",
    "FakeProvider",
    "Hang",
    "Log",
    "Maybe",
    "ProviderReceipt",
    "ReceiptHabits",
    "Script",
    "ServerFault",
    "serving",
]
