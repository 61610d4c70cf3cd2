"""Connectors of the real Python SDK, for tests: their "jobs" are files that a test reads and writes.

JOBS names the folder. `<job>.created.json` holds what CreateTask was given; the test says what becomes of the job by
`<job>.next.json`; `<job>.deleted.json` holds what DeleteTask was given; `<job>.looks` has a byte for each GetTask.
A job's name is the attempt's, so a job that is created twice shows as a second line in `<job>.creates`.
Folder-wide orders: `fail-create`, `fail-get`, `fail-delete` hold the message of an exception, `slow-create` makes
CreateTask wait until the file is gone.
"""
import asyncio
import json
import os
import pathlib
from dataclasses import dataclass

from flyte.connectors import AsyncConnector, ConnectorRegistry, Resource, ResourceMeta
from flyte.connectors._connector import FlyteConnectorNotFound
from flyteidl2.core.execution_pb2 import TaskExecution, TaskLog

JOBS = pathlib.Path(os.environ["JOBS"])


@dataclass
class JobMeta(ResourceMeta):
    job: str
    padding: str = ""


def order(name: str) -> "str | None":
    file = JOBS / name
    return file.read_text() if file.exists() else None


def obey(name: str) -> None:
    message = order(name)
    if message is not None:
        raise RuntimeError(message)


def write(name: str, value) -> None:
    part = JOBS / f".{name}.part"
    part.write_text(json.dumps(value))
    part.rename(JOBS / name)


class JobConnector(AsyncConnector[JobMeta]):
    name = "Job Connector"
    task_type_name = "test_job"
    metadata_type = JobMeta

    async def create(self, task_template, output_prefix, inputs=None, task_execution_metadata=None, **kwargs) -> JobMeta:
        execution = task_execution_metadata.task_execution_id
        job = f"{execution.node_execution_id.node_id}-{execution.retry_attempt}"
        with (JOBS / f"{job}.creates").open("a") as file:
            file.write("once more\n")
        while order("slow-create") is not None:
            await asyncio.sleep(0.02)
        obey("fail-create")
        write(
            f"{job}.created.json",
            {
                "inputs": {name: repr(value) for name, value in (inputs or {}).items()},
                "output_prefix": output_prefix,
                "args": list(task_template.container.args),
                "run": execution.node_execution_id.execution_id.name,
                "labels": dict(task_execution_metadata.labels),
                "environment": dict(task_execution_metadata.environment_variables),
                "kwargs": kwargs,
            },
        )
        return JobMeta(job=job, padding="x" * int(order("padding") or "0"))

    async def get(self, resource_meta: JobMeta, **kwargs) -> Resource:
        job = resource_meta.job
        with (JOBS / f"{job}.looks").open("a") as file:
            file.write(".")
        write(f"{job}.looked.json", kwargs)
        obey("fail-get")
        if order("lose") is not None:
            # The one way to make the service answer NOT_FOUND.
            raise FlyteConnectorNotFound("no such job")
        said = json.loads(order(f"{job}.next.json") or '{"phase": "RUNNING"}')
        return Resource(
            phase=TaskExecution.Phase.Value(said["phase"]),
            message=said.get("message"),
            log_links=[TaskLog(name=name, uri=uri) for name, uri in said.get("links", {}).items()],
            outputs=said.get("outputs"),
            custom_info=said.get("custom_info"),
        )

    async def delete(self, resource_meta: JobMeta, **kwargs):
        obey("fail-delete")
        write(f"{resource_meta.job}.deleted.json", kwargs)


class SecondJobConnector(JobConnector):
    name = "Second Job Connector"
    task_type_name = "second_job"
    task_type_version = 2


ConnectorRegistry.register(JobConnector())
ConnectorRegistry.register(SecondJobConnector())
