"""One real Kafka and one real Elasticsearch for all live tests, and pipelines apart from each other by a prefix.

Which fixture to take:

- `running`: all five services with their usual settings, started once. Tests are told apart by publishers and ids.
- `module_pipeline`: topics and indices for a file of tests, which starts its services once.
- `pipeline`, `new_pipeline`: topics and indices for one test, which may kill, stop and configure what it starts.
- `indices`: indices for one test that needs no topic.
- `broker`: a Kafka that a test may kill, with `broker_pipeline` on it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from services.embedded.ports import choose_ports
from services.embedded.servers import KafkaServer
from tests.live.fault_proxy import FaultProxy
from tests.live.harness import SERVICES, Pipeline
from tests.live.stack import Servers, shared_servers
from tests.live.versions import SMALL_BULKS

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers of the run. NEWSFLOW_TEST_STACK names a folder to share them between runs."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with shared_servers(Path(os.environ.get("NEWSFLOW_TEST_STACK") or folder / "stack")) as found:
        yield found


@contextmanager
def pipeline_in(
    factory: pytest.TempPathFactory, kafka: str, elasticsearch: str, has_topics: bool = True
) -> Iterator[Pipeline]:
    """Topics and indices under a new prefix; at the end the processes are stopped and both are deleted."""
    prefix = f"t{uuid.uuid4().hex[:8]}-"
    # Not in the folder of the test: its long name would leave no room for the path of a socket.
    folder = factory.getbasetemp() / prefix
    folder.mkdir()
    pipeline = Pipeline(kafka, elasticsearch, prefix, folder, has_topics=has_topics)
    try:
        pipeline.set_up()
        yield pipeline
    finally:
        pipeline.stop()
        pipeline.kafka, pipeline.elasticsearch = kafka, elasticsearch  # a test may have set others
        pipeline.delete()


@pytest.fixture
def new_pipeline(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Pipeline]]:
    with ExitStack() as made:
        yield lambda: made.enter_context(pipeline_in(tmp_path_factory, servers.kafka, servers.elasticsearch))


@pytest.fixture
def pipeline(new_pipeline: Callable[[], Pipeline]) -> Pipeline:
    return new_pipeline()


@pytest.fixture
def indices(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pipeline_in(tmp_path_factory, servers.kafka, servers.elasticsearch, has_topics=False) as made:
        yield made


@pytest.fixture(scope="module")
def module_pipeline(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pipeline_in(tmp_path_factory, servers.kafka, servers.elasticsearch) as made:
        yield made


@pytest.fixture(scope="session")
def _running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pipeline_in(tmp_path_factory, servers.kafka, servers.elasticsearch) as made:
        made.start(*SERVICES)
        yield made


@pytest.fixture
def running(_running: Pipeline) -> Pipeline:
    """The services are healthy before and are what the test is not about: it starts, stops and kills none."""
    for name in SERVICES:
        _running.wait_healthy(name)
    return _running


@pytest.fixture(scope="session")
def _broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    ports = choose_ports(["kafka", "controller"], {})
    kafka = KafkaServer(tmp_path_factory.mktemp("broker") / "kafka", ports["kafka"], ports["controller"])
    try:
        yield kafka
    finally:
        kafka.stop()


@pytest.fixture
def broker(_broker: KafkaServer) -> KafkaServer:
    """A Kafka of the test's own to kill and start again."""
    if _broker.pid is None:
        _broker.start()
    return _broker


@pytest.fixture
def broker_pipeline(
    broker: KafkaServer, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    with pipeline_in(tmp_path_factory, broker.address, servers.elasticsearch) as made:
        yield made


@pytest.fixture(scope="module")
def indexing(module_pipeline: Pipeline) -> Pipeline:
    """One indexer for this file, with small bulks."""
    module_pipeline.environment |= SMALL_BULKS
    module_pipeline.start("indexer")
    return module_pipeline


@pytest.fixture
def client(servers: Servers) -> Iterator[Elasticsearch]:
    with Elasticsearch(servers.elasticsearch) as client:
        yield client


@pytest.fixture
def proxy(servers: Servers) -> Iterator[FaultProxy]:
    """A way to Elasticsearch that a test can disturb."""
    proxy = FaultProxy(servers.elasticsearch)
    yield proxy
    proxy.close()


@pytest.fixture
def through_proxy(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """The processes of `pipeline` reach Elasticsearch by `proxy` alone."""
    pipeline.environment["ELASTICSEARCH_URL"] = proxy.url
