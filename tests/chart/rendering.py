"""The chart, rendered by helm, and questions to what came out."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy/helm/chatdesk"
OLDEST, NEWEST = "1.27.0", "1.37.0"
REQUIRED = {
    "image.repository": "registry.example/desk/chatdesk",
    "kafka.bootstrap": "kafka-1.example:9092",
    "database.existingSecret": "postgres",
    "redis.existingSecret": "redis",
}

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Chart:
    """The chart and the helm that renders it."""

    helm: str

    def render(self, *values: str, release: str = "desk", kubernetes: str = NEWEST) -> list[Manifest]:
        """Return all objects, hooks included. The required values are set unless one is given anew."""
        done = self.template(*_required(), *values, release=release, kubernetes=kubernetes)
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    def refusal(self, *values: str, release: str = "desk") -> str:
        """Return what helm says to values that it refuses."""
        done = self.template(*_required(), *values, release=release)
        assert done.returncode != 0, f"helm takes {values}"
        return done.stderr

    def template(
        self, *values: str, release: str = "desk", kubernetes: str = NEWEST
    ) -> "subprocess.CompletedProcess[str]":
        """Run `helm template` with nothing set but these values."""
        return self.run("template", release, str(CHART), "--kube-version", kubernetes, *_set(values))

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run helm."""
        return _ran(self.helm, *arguments)


@cache
def _ran(*command: str) -> "subprocess.CompletedProcess[str]":
    # Most tests ask about the same rendering.
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _required() -> Iterator[str]:
    return (f"{name}={value}" for name, value in REQUIRED.items())


def _set(values: Sequence[str]) -> Iterator[str]:
    for value in values:
        # `name:=0.5` is a number as a values file has it; --set knows whole ones only.
        yield from ("--set-json", value.replace(":=", "=", 1)) if ":=" in value else ("--set", value)


def of_kind(manifests: Sequence[Manifest], kind: str) -> dict[str, Manifest]:
    """Return the objects of one kind by their part of the desk, such as `routing`."""
    return {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one
        for one in manifests
        if one["kind"] == kind
    }


def pods(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Return the pod templates of Deployments and Jobs by their part of the desk."""
    return {
        part: one["spec"]["template"]
        for kind in ("Deployment", "Job")
        for part, one in of_kind(manifests, kind).items()
    }


def containers(pod: Manifest) -> list[Manifest]:
    """Return every container of a pod template, whatever runs it."""
    spec = pod["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def variables(pod: Manifest) -> dict[str, Any]:
    """Return what the one container of a pod finds in its environment: values, or where they come from."""
    (container,) = containers(pod)
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def selects(selector: Mapping[str, str], pod: Manifest) -> bool:
    """Say whether a selector means this pod."""
    labels = pod["metadata"]["labels"]
    return all(labels.get(name) == value for name, value in selector.items())
