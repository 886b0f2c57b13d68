"""What the chart makes: valid, restricted, stopped with care, prepared in order, in nobody's way."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import kubernetes_validate
import pytest

from ops import serving
from ops.serving import MIGRATED
from shared.platform import app, reading
from tests.chart.rendering import (
    CHART,
    NEWEST,
    OLDEST,
    REQUIRED,
    Chart,
    Manifest,
    containers,
    of_kind,
    pods,
    selects,
    variables,
)

pytestmark = pytest.mark.long

EVERYTHING = (
    "image.tag=0.1.0@sha256:" + 64 * "0",
    "image.pullSecrets={registry}",
    "kafka.partitions=6",
    "kafka.topicPrefix=acme.",
    "settings.log_level=DEBUG",
    "services.presence.settings.sweep_seconds:=0.5",
    "services.outbound.providerSecret=providers",
    "services.routing.resources.limits.memory=1Gi",
    "nodeSelector.disk=ssd",
    "tolerations[0].key=desk",
    "tolerations[0].operator=Exists",
)
HELM_TIMEOUT_SECONDS = 300
"""How long helm waits for a hook unless it is told otherwise."""
LONGEST_RELEASE = "a" + 51 * "-" + "z"
"""53 characters, as many as helm takes."""


def test_helm_finds_nothing_to_mend(chart: Chart) -> None:
    required = ",".join(f"{name}={value}" for name, value in REQUIRED.items())
    linted = chart.run("lint", "--strict", str(CHART), "--kube-version", NEWEST, "--set", required)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST])
@pytest.mark.parametrize("values", [(), EVERYTHING], ids=["required values alone", "every value"])
def test_every_object_is_valid(chart: Chart, values: tuple[str, ...], kubernetes: str) -> None:
    rendered = chart.render(*values, kubernetes=kubernetes)
    assert len(rendered) == 2 + 3 * len(MIGRATED)
    for one in rendered:
        kubernetes_validate.validate(one, kubernetes, strict=True)


def _of_each_container(judge: Callable[[Mapping[str, Any]], bool]) -> Callable[[Manifest], bool]:
    return lambda pod: all(judge(one) for one in containers(pod))


RESTRICTED: dict[str, Callable[[Manifest], bool]] = {
    "runs as no root": lambda pod: pod["spec"]["securityContext"]["runAsNonRoot"] is True,
    "has the runtime's seccomp profile": lambda pod: (
        pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    ),
    "has no token of the Kubernetes API": lambda pod: pod["spec"]["automountServiceAccountToken"] is False,
    "finds no other Service's variables": lambda pod: pod["spec"]["enableServiceLinks"] is False,
    "shares nothing with its node": lambda pod: (
        not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
        and all(set(volume) == {"name", "emptyDir"} for volume in pod["spec"]["volumes"])
    ),
    "gains no privilege": _of_each_container(
        lambda one: one["securityContext"]["allowPrivilegeEscalation"] is False
    ),
    "has no capability": _of_each_container(
        lambda one: one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    ),
    "writes nowhere but to /tmp": _of_each_container(
        lambda one: (
            one["securityContext"]["readOnlyRootFilesystem"] is True
            and [mount["mountPath"] for mount in one["volumeMounts"]] == ["/tmp"]
        )
    ),
    "asks for what it needs and is bounded in memory": _of_each_container(
        lambda one: (
            set(one["resources"]["requests"]) == {"cpu", "memory"} and "memory" in one["resources"]["limits"]
        )
    ),
}


@pytest.mark.parametrize("promise", RESTRICTED)
def test_every_pod(chart: Chart, promise: str) -> None:
    rendered = pods(chart.render())
    assert set(rendered) == {*MIGRATED, "topics", "migrate"}
    assert [part for part, pod in rendered.items() if not RESTRICTED[promise](pod)] == []


def test_each_service_runs_its_own_command(chart: Chart) -> None:
    deployments = of_kind(chart.render(), "Deployment")
    for name in MIGRATED:
        (container,) = containers(deployments[name]["spec"]["template"])
        assert container["command"] == ["chatdesk", "run", name]
        assert container["image"] == "registry.example/desk/chatdesk:0.1.0"


def test_each_service_is_probed_where_it_listens(chart: Chart) -> None:
    for deployment in of_kind(chart.render(), "Deployment").values():
        pod = deployment["spec"]["template"]
        (container,) = containers(pod)
        (port,) = container["ports"]
        assert variables(pod)["CHATDESK_HTTP_PORT"] == str(port["containerPort"])
        assert variables(pod)["CHATDESK_HTTP_HOST"] == "0.0.0.0"
        asked = {
            probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")
        }
        assert asked == {
            "startup": {"path": "/healthz", "port": port["name"]},
            "liveness": {"path": "/healthz", "port": port["name"]},
            "readiness": {"path": "/readyz", "port": port["name"]},
        }


def test_a_replica_leaves_only_after_another_is_ready(chart: Chart) -> None:
    for deployment in of_kind(chart.render(), "Deployment").values():
        spec = deployment["spec"]
        assert spec["strategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        }
        assert spec["minReadySeconds"] * 1000 > reading.SESSION_TIMEOUT_MS


def test_a_stopping_replica_is_given_all_the_time_it_may_take(chart: Chart) -> None:
    longest = serving._GRACE_SECONDS + 2 * app.STOP_SECONDS + reading.DRAIN_SECONDS
    for pod in (one["spec"]["template"] for one in of_kind(chart.render(), "Deployment").values()):
        assert pod["spec"]["terminationGracePeriodSeconds"] > longest
        assert pod["spec"]["terminationGracePeriodSeconds"] > app.END_AT_LAST_SECONDS


def test_topics_then_schemas_are_prepared_before_anything_changes(chart: Chart) -> None:
    jobs = of_kind(chart.render(), "Job")
    hooks = {part: one["metadata"]["annotations"] for part, one in jobs.items()}
    for hook in hooks.values():
        assert hook["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert set(hook["helm.sh/hook-delete-policy"].split(",")) == {
            "before-hook-creation",
            "hook-succeeded",
        }
    assert sorted(hooks, key=lambda part: int(hooks[part]["helm.sh/hook-weight"])) == ["topics", "migrate"]
    assert len({hook["helm.sh/hook-weight"] for hook in hooks.values()}) == 2
    assert {part: containers(one["spec"]["template"])[0]["command"] for part, one in jobs.items()} == {
        "topics": ["chatdesk", "topics", "apply", "--replication", "3"],
        "migrate": ["chatdesk", "migrate"],
    }


def test_nothing_but_the_two_jobs_is_a_hook(chart: Chart) -> None:
    hooked = {
        one["kind"]
        for one in chart.render()
        if any(name.startswith("helm.sh/hook") for name in one["metadata"].get("annotations", ()))
    }
    assert hooked == {"Job"}


def test_the_jobs_stand_on_nothing_that_the_release_would_make_later(chart: Chart) -> None:
    rendered = chart.render()
    made = {one["metadata"]["name"] for one in rendered}
    for job in of_kind(rendered, "Job").values():
        pod = job["spec"]["template"]
        assert "serviceAccountName" not in pod["spec"]
        named = {
            value["secretKeyRef"]["name"] for value in variables(pod).values() if isinstance(value, dict)
        }
        assert not named & made
        assert all("envFrom" not in one for one in containers(pod))


def test_a_job_ends_before_helm_gives_up_on_it(chart: Chart) -> None:
    for job in of_kind(chart.render(), "Job").values():
        assert 0 < job["spec"]["activeDeadlineSeconds"] < HELM_TIMEOUT_SECONDS
        assert job["spec"]["backoffLimit"] == 3
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize(("value", "left"), [("topics", {"migrate"}), ("migrations", {"topics"})])
def test_a_job_may_be_left_to_somebody_else(chart: Chart, value: str, left: set[str]) -> None:
    assert set(of_kind(chart.render(f"{value}.apply=false"), "Job")) == left


def test_each_part_gets_the_addresses_and_secrets_it_needs_and_no_more(chart: Chart) -> None:
    rendered = pods(chart.render("services.outbound.providerSecret=providers"))
    having = {
        name: {part for part, pod in rendered.items() if name in variables(pod)}
        for name in ("CHATDESK_KAFKA", "CHATDESK_DATABASE_URL", "CHATDESK_REDIS_URL")
    }
    assert having == {
        "CHATDESK_KAFKA": {*MIGRATED, "topics"},
        "CHATDESK_DATABASE_URL": {*MIGRATED, "migrate"},
        "CHATDESK_REDIS_URL": {"presence"},
    }
    providers = {
        part: one["envFrom"] for part, pod in rendered.items() for one in containers(pod) if "envFrom" in one
    }
    assert providers == {"outbound": [{"secretRef": {"name": "providers"}}]}


def test_addresses_with_passwords_come_from_secrets(chart: Chart) -> None:
    rendered = pods(chart.render("database.key=dsn", "redis.key=dsn"))
    assert variables(rendered["presence"])["CHATDESK_DATABASE_URL"] == {
        "secretKeyRef": {"name": "postgres", "key": "dsn"}
    }
    assert variables(rendered["presence"])["CHATDESK_REDIS_URL"] == {
        "secretKeyRef": {"name": "redis", "key": "dsn"}
    }


def test_a_setting_that_changes_replaces_the_pods_that_read_it_and_no_others(chart: Chart) -> None:
    before = pods(chart.render())
    after = pods(chart.render("services.outbound.settings.rate_per_second=40", "services.desk.replicas=3"))
    assert {part for part in before if before[part] != after[part]} == {"outbound"}


def test_a_new_version_of_the_chart_alone_replaces_no_pod(chart: Chart) -> None:
    for pod in pods(chart.render()).values():
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(pod["metadata"]["labels"])


@pytest.mark.parametrize("kind", ["Service", "Deployment", "PodDisruptionBudget"])
def test_every_selector_means_the_pods_of_its_own_part_alone(chart: Chart, kind: str) -> None:
    ours = chart.render(release="desk")
    theirs = chart.render(release="desk-2")
    everybody = [
        (release, part, pod)
        for release in ("desk", "desk-2")
        for part, pod in pods(ours if release == "desk" else theirs).items()
    ]
    for part, one in of_kind(ours, kind).items():
        selector = one["spec"]["selector"]
        meant = [
            (release, other)
            for release, other, pod in everybody
            if selects(selector.get("matchLabels", selector), pod)
        ]
        assert meant == [("desk", part)]


def test_two_releases_in_one_namespace_share_no_name(chart: Chart) -> None:
    names = [
        {(one["kind"], one["metadata"]["name"]) for one in chart.render(release=release)}
        for release in ("desk", "desk-2", "desk-desk")
    ]
    assert len(set().union(*names)) == sum(map(len, names))


def test_the_longest_name_of_a_release_leaves_room_for_every_object(chart: Chart) -> None:
    for one in chart.render(release=LONGEST_RELEASE):
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", one["metadata"]["name"])


def test_metrics_are_found_on_every_replica_ready_or_not(chart: Chart) -> None:
    rendered = chart.render()
    for part, service in of_kind(rendered, "Service").items():
        (container,) = containers(pods(rendered)[part])
        (port,) = service["spec"]["ports"]
        assert service["metadata"]["annotations"] == {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(container["ports"][0]["containerPort"]),
            "prometheus.io/path": "/metrics",
        }
        assert port["targetPort"] == container["ports"][0]["name"]
        assert service["spec"]["publishNotReadyAddresses"] is True
        assert service["spec"]["clusterIP"] == "None"


def test_a_drain_of_nodes_takes_one_replica_at_a_time_and_is_never_held_up(chart: Chart) -> None:
    budgets = of_kind(chart.render(), "PodDisruptionBudget")
    assert set(budgets) == set(MIGRATED)
    for budget in budgets.values():
        assert budget["spec"]["maxUnavailable"] == 1
        assert "minAvailable" not in budget["spec"]
