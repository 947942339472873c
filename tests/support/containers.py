"""Containers as Compose and Kubernetes files describe them, run as plain processes: no container engine is needed."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from compose_spec import PyCompose
from kubernetes_validate import latest_version, validate
from processes import Process, command_line

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
PROGRAMS = Path(sys.executable).parent
"""Where the image's pip puts programs; nothing else is on the path of our image, not even git."""


@dataclass(frozen=True)
class Container:
    """What an orchestrator starts.

    Args:
        image: image with its tag.
        command: words of the command; empty for the image's own.
        environment: variables beside those of the image.
        health: words of the command whose success means healthy; empty without one.
        mounts: place in the container -> what is there.
        copies: how many of it run.
    """

    image: str
    command: list[str]
    environment: dict[str, str]
    health: list[str] = field(default_factory=list)
    mounts: dict[str, str] = field(default_factory=dict)
    copies: int = 1


class Unset(ValueError):
    """A variable that a Compose file demands is not set."""


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """``${NAME}``, ``${NAME:-default}`` and ``${NAME:?why}`` as Compose reads them."""

    def value(found: re.Match) -> str:
        name, sign, words = found.groups()
        if variables.get(name):
            return variables[name]
        if sign == "-":
            return words
        raise Unset(f"{name}: {words or 'not set'}")

    return VARIABLE.sub(value, text)


def compose(file: Path, variables: Mapping[str, str]) -> dict[str, Container]:
    """The services of a Compose file, which the specification's parser has accepted."""

    def filled(value):
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return interpolate(value, variables) if isinstance(value, str) else value

    tree = filled(yaml.safe_load(file.read_text(encoding="utf-8")))
    PyCompose.from_json(json.dumps(tree)).validate()
    made = {}
    for name, service in tree["services"].items():
        health = service.get("healthcheck", {}).get("test", ["CMD"])
        assert health[0] == "CMD", "a health check is a command without a shell"
        mounts = dict(map(_mount, service.get("volumes", [])))
        made[name] = Container(
            service["image"],
            list(service.get("command", [])),
            service.get("environment", {}),
            health[1:],
            mounts,
            service.get("deploy", {}).get("replicas", 1),
        )
    return made


def _mount(volume: str | dict) -> tuple[str, str]:
    """Place in the container, and what is there: a volume by name, or a folder or file of the host, which must exist."""
    if isinstance(volume, str):
        name, place = volume.split(":")
        assert re.fullmatch(r"\w+", name), (
            "Docker makes a folder of the host that is not there; the long form refuses it"
        )
        return place, name
    assert volume["type"] == "bind" and volume["read_only"] and not volume["bind"]["create_host_path"]
    return volume["target"], volume["source"]


def jobs(file: Path, secrets: Mapping[str, Mapping[str, str]]) -> dict[str, Container]:
    """The Jobs of a Kubernetes file, of one container each, which the schemas of Kubernetes have accepted."""
    made = {}
    for job in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        validate(job, latest_version(), strict=True)
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        sources = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: sources[mount["name"]] for mount in container["volumeMounts"]}
        made[job["metadata"]["name"]] = Container(
            container["image"],
            container["command"],
            {each["name"]: _value(each, container, secrets) for each in container["env"]},
            mounts={place: source.get("configMap", {}).get("name", "") for place, source in mounts.items()},
            copies=job["spec"].get("parallelism", 1),
        )
    return made


def _value(variable: dict, container: dict, secrets: Mapping[str, Mapping[str, str]]) -> str:
    if "value" in variable:
        return variable["value"]
    ((kind, source),) = variable["valueFrom"].items()
    if kind == "secretKeyRef":
        return secrets[source["name"]][source["key"]]
    assert kind == "resourceFieldRef"
    amount, _, name = source["resource"].partition(".")
    return container["resources"][amount][name]


def mounted_config(folder: Path, files: Mapping[str, bytes], stamp: str) -> Path:
    """A ConfigMap as the kubelet mounts it: links into a folder whose name differs in each pod."""
    (folder / f"..{stamp}").mkdir(parents=True)
    (folder / "..data").symlink_to(f"..{stamp}")
    for name, data in files.items():
        (folder / f"..{stamp}" / name).write_bytes(data)
        (folder / name).symlink_to(f"..data/{name}")
    return folder


@dataclass(frozen=True)
class Host:
    """Stands for a container engine: what is elsewhere here than in containers, and a home for each of them.

    Args:
        home: a folder for the homes.
        elsewhere: text in a container's command -> what it is on this machine.
    """

    home: Path
    elsewhere: dict[str, str]

    def words(self, command: list[str], mounts: Mapping[str, str] | None = None) -> list[str]:
        """A command with the addresses and places of this machine."""
        for there, here in {**self.elsewhere, **(mounts or {})}.items():
            command = [word.replace(there, here) for word in command]
        return command

    def environment(self, container: Container) -> dict[str, str]:
        """A container's variables and those of its image; nothing of this process but how tests find the package."""
        own = {name: os.environ[name] for name in ("PYTHONPATH", "MLFLOW_DISABLE_TELEMETRY") if name in os.environ}
        return own | {"PATH": str(PROGRAMS), "HOME": str(self.home), "LANG": "C.UTF-8"} | container.environment

    @contextlib.contextmanager
    def helping(self, container: Container, name: str, mounts: Mapping[str, str] | None = None) -> Iterator[Process]:
        """A container of ``dfkd-tune`` as a process with the imports done; otherwise as ``running``."""
        home = self.home / name
        home.mkdir()
        program, *words = self.words(container.command, mounts)
        assert program == "dfkd-tune"
        variables = self.environment(container) | {"HOME": str(home)}
        process = Process(_in_container, home, variables, words, log=home / "log")
        try:
            yield process
        finally:
            process.process.kill()
            process.process.join()

    @contextlib.contextmanager
    def running(self, container: Container, name: str) -> Iterator[subprocess.Popen]:
        """The process of a container, killed at the end if it still runs; its output is in ``home / name / log``."""
        home = self.home / name
        home.mkdir()
        command = self.words(container.command)
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(PROGRAMS / command[0]), *command[1:]],
                cwd=home,
                env=self.environment(container) | {"HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()

    def said(self, name: str) -> str:
        """What a container has printed."""
        return (self.home / name / "log").read_text(errors="replace")


def _in_container(home: Path, variables: dict[str, str], words: list[str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    command_line(home, *words)
