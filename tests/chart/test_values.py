"""What the chart's values may be: each is read by something, and a wrong one is refused by name."""

import importlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import typer
import yaml
from pydantic_settings import BaseSettings

from ops.cli import menu
from ops.serving import MIGRATED
from services.outbound.settings import OutboundSettings
from services.presence.settings import PresenceSettings
from shared.platform.settings import PlatformSettings
from tests.chart.rendering import CHART, REQUIRED, Chart, pods, variables

pytestmark = pytest.mark.long

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
ELSEWHERE = {"kafka", "database_url", "redis_url", "topic_prefix"}
"""Settings that have a value of the chart's own."""
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

REFUSED = {
    "a misspelt section": (("kafak.bootstrap=k:9092",), "'kafak' not allowed"),
    "a misspelt value": (("kafka.boostrap=k:9092",), "'boostrap' not allowed"),
    "a service that is none": (("services.rooting.replicas=1",), "'rooting' not allowed"),
    "a service left out": (("services.routing=null",), "missing property 'routing'"),
    "a misspelt value of a service": (("services.routing.replica=1",), "'replica' not allowed"),
    "a setting that no service has": (("services.outbound.settings.rate=80",), "'rate' not allowed"),
    "a setting of another service": (
        ("services.routing.settings.sweep_seconds=1",),
        "'settings' not allowed",
    ),
    "a shared setting that is none": (("settings.loglevel=INFO",), "'loglevel' not allowed"),
    "a level of the log that is none": (("settings.log_level=LOUD",), "/settings/log_level"),
    "a setting out of its bounds": (
        ("services.outbound.settings.rate_per_second=1001",),
        "/services/outbound/settings/rate_per_second",
    ),
    "a fraction of a replica": (("services.desk.replicas=1.5",), "/services/desk/replicas"),
    "less than no replica": (("services.desk.replicas=-1",), "/services/desk/replicas"),
    "a word for a number": (("kafka.replication=three",), "/kafka/replication"),
    "no copy of a partition": (("kafka.replication=0",), "/kafka/replication"),
    "Kafka without a port": (("kafka.bootstrap=kafka",), "/kafka/bootstrap"),
    "a prefix that no topic may have": (("kafka.topicPrefix=acme:",), "/kafka/topicPrefix"),
    "a URL where a secret's name belongs": (
        ("database.existingSecret=postgresql://desk:pw@db/desk",),
        "/database/existingSecret",
    ),
    "no time for the migrations": (("migrations.deadlineSeconds=0",), "/migrations/deadlineSeconds"),
    "a section taken away": (("kafka=null",), "missing property 'kafka'"),
    "an image's digest without a tag": (("image.tag=sha256:00",), "/image/tag"),
    "a misspelt resource": (("resources.limit.memory=1Gi",), "'limit' not allowed"),
}


@pytest.mark.parametrize(("values", "told"), REFUSED.values(), ids=REFUSED)
def test_refuses_and_names(chart: Chart, values: tuple[str, ...], told: str) -> None:
    assert told in chart.refusal(*values)


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_required_value_that_is_missing_is_named_alone(chart: Chart, missing: str) -> None:
    told = chart.refusal(f"{missing}=")
    assert [name for name in REQUIRED if f"{name}:" in told] == [missing]


def test_all_that_is_missing_is_told_at_once(chart: Chart) -> None:
    told = chart.template().stderr
    assert all(told.count(f"  {name}:") == 1 for name in REQUIRED)
    assert told.count("Please set") == 1


@pytest.mark.parametrize("release", ["1st", "acme.desk"])
def test_a_release_whose_services_could_not_be_named_is_refused(chart: Chart, release: str) -> None:
    assert f'named "{release}"' in chart.refusal(release=release)


def test_every_object_of_the_schema_refuses_what_it_does_not_list() -> None:
    loose = {path for path, one in _objects(SCHEMA, "") if one.get("additionalProperties") is not False}
    # What stands in these is Helm's or Kubernetes' to judge.
    assert loose == {"/properties/global", "/properties/nodeSelector"}


def _objects(schema: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(schema, list):
        for number, one in enumerate(schema):
            yield from _objects(one, f"{path}/{number}")
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for name, one in schema.items():
            yield from _objects(one, f"{path}/{name}")


@pytest.mark.parametrize(
    ("settings", "section"),
    [
        (PlatformSettings, SCHEMA["properties"]["settings"]),
        (
            PresenceSettings,
            SCHEMA["properties"]["services"]["properties"]["presence"]["properties"]["settings"],
        ),
        (
            OutboundSettings,
            SCHEMA["properties"]["services"]["properties"]["outbound"]["properties"]["settings"],
        ),
    ],
)
def test_the_settings_are_those_the_program_has_within_its_bounds(
    settings: type[BaseSettings], section: Mapping[str, Any]
) -> None:
    declared = settings.model_json_schema()["properties"]
    expected = {name: _bounds(one) for name, one in declared.items() if name not in ELSEWHERE}
    assert {name: _bounds(one) for name, one in section["properties"].items()} == expected


def _bounds(declared: Mapping[str, Any]) -> dict[str, Any]:
    return {name: declared[name] for name in BOUNDS if name in declared}


def test_only_services_with_settings_of_their_own_take_any() -> None:
    having = {name for name in MIGRATED if importlib.util.find_spec(f"services.{name}.settings")}
    services = SCHEMA["properties"]["services"]["properties"]
    assert {name for name, one in services.items() if "settings" in one.get("properties", ())} == having


def test_every_variable_is_one_that_the_program_reads(chart: Chart) -> None:
    read = {
        f"{settings.model_config['env_prefix']}{field}".upper()
        for settings in (PlatformSettings, PresenceSettings, OutboundSettings)
        for field in settings.model_fields
    } | set(_options(typer.main.get_command(menu())))
    rendered = chart.render(
        "kafka.partitions=6",
        "settings.log_level=DEBUG",
        "services.presence.settings.sweep_seconds=1",
        "services.outbound.settings.cloud_api_version=27",
    )
    named = {name for pod in pods(rendered).values() for name in variables(pod)}
    assert {"CHATDESK_TOPIC_PARTITIONS", "PRESENCE_SWEEP_SECONDS", "OUTBOUND_CLOUD_API_VERSION"} <= named
    assert named <= read


def _options(command: Any) -> Iterator[str]:
    # Typer brings its own copy of click, whose types are private.
    for option in command.params:
        yield from [option.envvar] if isinstance(option.envvar, str) else option.envvar or ()
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from _options(command.get_command(None, name))


def test_numbers_reach_the_program_digit_by_digit(chart: Chart) -> None:
    rendered = chart.render(
        "services.outbound.settings.calls_per_sender:=1000000",
        "services.outbound.settings.rate_per_second:=0.5",
        "services.presence.settings.reconcile_seconds:=0.000001",
    )
    outbound, presence = variables(pods(rendered)["outbound"]), variables(pods(rendered)["presence"])
    assert outbound["OUTBOUND_CALLS_PER_SENDER"] == "1000000"
    assert outbound["OUTBOUND_RATE_PER_SECOND"] == "0.5"
    assert float(presence["PRESENCE_RECONCILE_SECONDS"]) == 0.000001


def test_the_services_are_those_the_program_runs() -> None:
    assert set(VALUES["services"]) == set(MIGRATED)


def test_the_chart_installs_the_version_beside_it() -> None:
    project = tomllib.loads((CHART.parents[2] / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == project["version"]


def test_the_chart_s_page_tells_of_every_value() -> None:
    page = (CHART / "README.md").read_text()
    told = set(re.findall(r"`([a-z][A-Za-z.]+)`", page))
    assert _leaves(SCHEMA["properties"]) <= told


def _leaves(properties: Mapping[str, Any], above: str = "") -> set[str]:
    """Return the names of the values, a service's named once for all services."""
    found = set()
    for name, one in properties.items():
        path = f"{above}{name}"
        if path == "services":
            for service in one["properties"].values():
                found |= {f"services.NAME.{leaf}" for leaf in _resolved(service)}
        elif path not in {"global", "settings", "resources"} and _resolved(one):
            found |= _leaves(_resolved(one), f"{path}.")
        elif path != "global":
            found.add(path)
    return found


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    properties: Mapping[str, Any] = schema.get("properties", {})
    return properties
