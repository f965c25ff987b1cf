"""For developers: resolve the roots below anew and write the lock file. `python -m services.embedded.lock`."""

import json
import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

from services.embedded.jars import LOCK_FILE, Jar, JarLock, ServerName, file_sha256
from services.embedded.settings import EmbeddedSettings

ROOTS: dict[ServerName, list[str]] = {
    "kafka": ["org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36"],
    "elasticsearch": [
        "org.elasticsearch:elasticsearch:9.5.3",
        "org.elasticsearch.plugin:transport-netty4:9.5.3",
    ],
    "compiler": ["org.eclipse.jdt:ecj:3.46.100"],
}
"""What each server starts from; their runtime dependencies follow."""


def resolve(repository: str, folder: Path) -> JarLock:
    """Every jar that the roots need at run time, fetched into the folder and hashed; sorted by coordinate."""
    context = MavenContext(repo_cache=folder, remote_repos={"mirror": repository})
    jars = []
    for server, roots in ROOTS.items():
        inputs, transitive = context.resolver.resolve([context.create_dependency(root) for root in roots])
        for dependency in [*inputs, *transitive]:
            artifact = dependency.artifact
            parts = [artifact.groupId, artifact.artifactId, artifact.version]
            if artifact.classifier:
                parts.append(artifact.classifier)
            file = artifact.resolve()
            jars.append(
                Jar(
                    coordinate=":".join(parts),
                    server=server,
                    sha256=file_sha256(file),
                    size=file.stat().st_size,
                )
            )
    order = list(ROOTS)
    return JarLock(jars=tuple(sorted(jars, key=lambda jar: (order.index(jar.server), jar.coordinate))))


def lock_text(lock: JarLock) -> str:
    """The lock as JSON, a line per jar, so that a changed version is one changed line."""
    lines = ",\n".join(f"    {json.dumps(jar.model_dump())}" for jar in lock.jars)
    return f'{{\n  "jars": [\n{lines}\n  ]\n}}\n'


def main() -> None:
    """Write the lock file and say what it holds."""
    with tempfile.TemporaryDirectory(prefix="newsflow-lock-") as folder:
        lock = resolve(EmbeddedSettings().maven_url, Path(folder))
    LOCK_FILE.write_text(lock_text(lock), encoding="utf-8")
    size = sum(jar.size for jar in lock.jars)
    sys.stderr.write(f"{LOCK_FILE.name}: {len(lock.jars)} jars, {size / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main()
