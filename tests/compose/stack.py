"""The stack of docker-compose.yml as a project of its own, and what the tests ask it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.live.harness import ROOT, Pipeline, wait_until

OURS = ("setup", "setup-kibana", "seeds", "cleaner", "deduper", "linker", "tagger", "indexer")
ONE_SHOTS = ("setup", "setup-kibana", "seeds")
SERVERS = ("kafka", "elasticsearch", "kibana")
IMAGES = {"newsflow": 250_000_000, "newsflow-sources": 300_000_000, "newsflow-worker": 900_000_000}
"""Our images and the bytes that each may have."""


@dataclass
class Stack:
    """A compose project: its name, its ports and its passwords, all given by the environment."""

    project: str
    ports: dict[str, int]
    passwords: dict[str, str]
    version: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "NEWSFLOW_VERSION": self.version,
            # The shell's win over .env, so that a file changed for production is not tested by accident.
            "BIND_ADDRESS": "127.0.0.1",
            "COMPOSE_PROFILES": "seeds",
            "KAFKA_PORT": str(self.ports["kafka"]),
            "ES_PORT": str(self.ports["elasticsearch"]),
            "KIBANA_PORT": str(self.ports["kibana"]),
            **self.passwords,
            **self.settings,
        }

    def compose(
        self, *arguments: str, status: int | None = 0, seconds: float = 400, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose …`; status None takes any."""
        done = subprocess.run(
            ["docker", "compose", "--ansi", "never", "--progress", "plain", *arguments],
            cwd=ROOT,
            env=self.environment,
            input=stdin.decode(),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if status is not None and done.returncode != status:
            raise AssertionError(
                f"compose {arguments} ended {done.returncode}\n{done.stderr[-4000:]}\n{self.logs()}"
            )
        return done

    def up(self, *arguments: str) -> None:
        self.compose("up", "-d", "--wait", "--wait-timeout", "300", *arguments)

    def logs(self, lines: int = 25) -> str:
        done = subprocess.run(
            ["docker", "compose", "--ansi", "never", "logs", "--tail", str(lines)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    # ------------------------------------------------------------ containers

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-a", "-q", service).stdout.split()

    def inspect(self, service: str) -> list[dict[str, Any]]:
        return [inspected("container", each) for each in self.containers(service)]

    def is_healthy(self, service: str) -> bool:
        states = [each["State"] for each in self.inspect(service)]
        return bool(states) and all(
            state["Running"] and state.get("Health", {}).get("Status") == "healthy" for state in states
        )

    def wait_healthy(self, *services: str, seconds: float = 180) -> None:
        for service in services:
            wait_until(lambda at=service: self.is_healthy(at), seconds, self.logs, every=0.5)  # type: ignore[misc]

    def left(self) -> list[str]:
        """Whatever of the project the engine still has."""
        found = []
        for kind, listing in (("container", "ls -a"), ("volume", "ls"), ("network", "ls")):
            label = f"label=com.docker.compose.project={self.project}"
            done = subprocess.run(
                ["docker", kind, *listing.split(), "-q", "--filter", label],
                capture_output=True,
                text=True,
                check=True,
            )
            found += [f"{kind} {name}" for name in done.stdout.split()]
        return found

    # ------------------------------------------------------------ servers

    @property
    def kafka(self) -> str:
        return f"localhost:{self.ports['kafka']}"

    def elasticsearch(
        self, method: str, path: str, key: str | None = None, body: Any = None, content: str | None = None
    ) -> requests.Response:
        """Ask Elasticsearch on its published port, with this API key or as `elastic`."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"ApiKey {key}"} if key else {})
        return requests.request(
            method,
            f"http://localhost:{self.ports['elasticsearch']}{path}",
            headers=headers,
            auth=None if key else ("elastic", self.passwords["ELASTIC_PASSWORD"]),
            data=content if content is not None else (json.dumps(body) if body is not None else None),
            timeout=30,
        )

    def kibana(self, method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(
            method,
            f"http://localhost:{self.ports['kibana']}{path}",
            headers={"kbn-xsrf": "true"},
            auth=("elastic", self.passwords["ELASTIC_PASSWORD"]),
            json=body,
            timeout=30,
        )

    def key(self, volume: str) -> str:
        """The API key that lies in a volume of the project."""
        run = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "cat"]
        done = subprocess.run(
            [*run, "-v", f"{self.project}_{volume}:/key:ro", f"newsflow:{self.version}", "/key/api_key"],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def pipeline(self, folder: Path) -> ComposePipeline:
        login = f"elastic:{self.passwords['ELASTIC_PASSWORD']}"
        address = f"http://{login}@localhost:{self.ports['elasticsearch']}"
        return ComposePipeline(self.kafka, address, "", folder, stack=self)


@dataclass
class ComposePipeline(Pipeline):
    """The harness's pipeline, whose processes are containers."""

    stack: Stack | None = None

    def tails(self) -> str:
        return self.stack.logs() if self.stack else ""


def inspected(kind: str, name: str) -> dict[str, Any]:
    """What `docker inspect` says."""
    done = subprocess.run(["docker", kind, "inspect", name], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def command_lines() -> Iterator[str]:
    """Of every process on this machine, those in containers too."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
