"""Reflection of our services, from the descriptor set that ships: generated modules lack the fields' JSON names."""

from importlib import resources

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2


def enable_reflection(server: grpc.aio.Server, *services: str) -> None:
    """Lets callers ask for the description of the services."""
    pool = DescriptorPool()
    stored = (resources.files("llmproxy_grpc._gen") / "llmproxy_v1.protoset").read_bytes()
    for file in FileDescriptorSet.FromString(stored).file:
        pool.Add(file)
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    reflection.enable_server_reflection((*services, reflection.SERVICE_NAME), server, pool)
