"""What has to be right before a service starts: one clear refusal is better than half a system."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from sqlalchemy.exc import DBAPIError

from ops.refusal import Refusal
from ops.topic_checks import Found, faults, look, missing
from shared.contracts.topics import DEAD_LETTER_TOPICS, TOPICS, Topic
from shared.platform.migrations import OLDEST_POSTGRES, SchemaState, standing


def check_server(postgres: int) -> None:
    """Refuse a PostgreSQL server that is too old."""
    if postgres < OLDEST_POSTGRES:
        raise Refusal(f"the server is PostgreSQL {postgres}: {OLDEST_POSTGRES} or newer is needed")


def check_database(service: str, url: str) -> str | None:
    """Refuse a server that is too old, and a schema that lacks what the program needs.

    A schema that is newer than the program is fine, so that replicas can be replaced one by one; a line that
    says so is returned.
    """
    try:
        found = standing(service, url)
    except DBAPIError as error:
        raise Refusal(f"{service} cannot look into its database: {error.orig}") from error
    check_server(found.postgres)
    match found.schema:
        case SchemaState.CURRENT:
            return None
        case SchemaState.AHEAD:
            return f"the schema of {service} is at {found.revision}, newer than this program: it runs on"
        case SchemaState.ABSENT:
            raise Refusal(f"the database has no schema of {service} yet: run `chatdesk migrate`")
        case SchemaState.BEHIND:
            raise Refusal(
                f"the schema of {service} is at {found.revision}, which is older than this program:"
                " run `chatdesk migrate`"
            )


def check_topics(service: str, kafka: str, prefix: str, partitions: int | None) -> None:
    """Refuse a cluster where a topic that the service hears or says is missing or has too few partitions."""
    needed = [
        topic for topic in (*TOPICS, *DEAD_LETTER_TOPICS) if service in topic.says or service in topic.hears
    ]
    try:
        found = asyncio.run(_look(kafka))
    except (KafkaError, OSError) as error:
        raise Refusal(f"{service} cannot look at the topics of {kafka}: {error}") from error
    told = _absent(needed, found, prefix) + faults(needed, found, prefix, partitions)
    if told:
        raise Refusal("\n".join(f"{service} does not start: {one}" for one in told))


def _absent(needed: list[Topic], found: dict[str, Found], prefix: str) -> list[str]:
    absent = missing(needed, found, prefix)
    return [f"no topic {', '.join(absent)}: run `chatdesk topics apply`"] if absent else []


async def _look(kafka: str) -> dict[str, Found]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        return await look(admin)
    finally:
        await admin.close()
