"""One real Kafka and one real Elasticsearch for all live tests; a pipeline of its own for each."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.embedded.ports import choose_ports
from services.embedded.servers import ElasticsearchServer, KafkaServer
from tests.live.fault_proxy import FaultProxy
from tests.live.harness import Pipeline


@dataclass
class Servers:
    kafka: KafkaServer
    elasticsearch: ElasticsearchServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    # Not from the ports that outgoing connections take: one could hold a killed broker's port.
    ports = choose_ports(["kafka", "controller", "elasticsearch", "transport"], {})
    kafka = KafkaServer(folder / "kafka", ports["kafka"], ports["controller"])
    elasticsearch = ElasticsearchServer(folder / "elasticsearch", ports["elasticsearch"], ports["transport"])
    try:
        kafka.start()
        elasticsearch.start()
        yield Servers(kafka, elasticsearch)
    finally:
        kafka.stop()
        elasticsearch.stop()


@pytest.fixture
def new_pipeline(servers: Servers, tmp_path: Path) -> Iterator[Callable[[], Pipeline]]:
    made: list[Pipeline] = []

    def make() -> Pipeline:
        prefix = f"t{uuid.uuid4().hex[:8]}-"
        folder = tmp_path / prefix
        folder.mkdir()
        made.append(Pipeline(servers.kafka.address, servers.elasticsearch.address, prefix, folder))
        made[-1].set_up()
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.stop()


@pytest.fixture
def pipeline(new_pipeline: Callable[[], Pipeline]) -> Pipeline:
    return new_pipeline()


@pytest.fixture
def proxy(servers: Servers, pipeline: Pipeline) -> Iterator[FaultProxy]:
    """Between the processes of `pipeline` and Elasticsearch."""
    proxy = FaultProxy(servers.elasticsearch.address)
    pipeline.environment["ELASTICSEARCH_URL"] = proxy.url
    yield proxy
    proxy.close()
