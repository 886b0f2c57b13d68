"""Outbound on one page: which event takes which step, and what runs beside the batches."""

import os

from faststream.asgi import AsgiFastStream

from services.outbound.decisions import steps
from services.outbound.dispatch.calls import Calls
from services.outbound.dispatch.claims import Claims
from services.outbound.dispatch.records import Records
from services.outbound.handlers import OutboundHandlers
from services.outbound.providers import whatsapp_cloud
from services.outbound.settings import OutboundSettings
from services.outbound.store import Store
from shared.platform.app import build
from shared.platform.service import Service
from shared.platform.settings import PlatformSettings

STEPS: dict[str, steps.Step] = {
    "chatdesk.message.send.v1": steps.take_request,
    "chatdesk.message.received.v1": steps.hear_message,
    "chatdesk.message.edited.v1": steps.pass_by,
    "chatdesk.message.revoked.v1": steps.pass_by,
    "chatdesk.provider.call_received.v1": steps.hear_call,
    "chatdesk.provider.receipt.v1": steps.take_receipt,
    "chatdesk.provider.template_changed.v1": steps.pass_by,
    "chatdesk.directory.channel.v1": steps.pass_by,
    "chatdesk.directory.template.v1": steps.pass_by,
    "chatdesk.pair.changed.v1": steps.hear_echo,
}


def create_app(
    platform: PlatformSettings | None = None, settings: OutboundSettings | None = None
) -> AsgiFastStream:
    """Wire outbound by hand."""
    settings = settings or OutboundSettings()
    rules = settings.rules()
    store = Store()
    # A channel document names its secret; here that is the name of an environment variable.
    adapters = {whatsapp_cloud.NAME: whatsapp_cloud.WhatsAppCloud(os.environ.get, settings.cloud_api_version)}
    calls = Calls(adapters, rules)
    handlers = OutboundHandlers(store, STEPS, rules, whatsapp_cloud.read_failure)
    return build(
        Service("outbound", handlers, handles=STEPS, refuses_to_go_back=settings.restored_at is None),
        platform or PlatformSettings(),
        background=[
            Claims(store, calls, rules).run,
            Records(store, calls, rules, whatsapp_cloud.read_failure).run,
        ],
    )
