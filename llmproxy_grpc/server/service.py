"""The services' methods, each behind the interceptors; one that is not built yet answers that it is not."""

from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor

from llmproxy_grpc._gen.admin.v1 import admin_service_pb2
from llmproxy_grpc._gen.v1 import llm_proxy_service_pb2
from llmproxy_grpc.errors import MethodNotImplemented
from llmproxy_grpc.server import grpc_health
from llmproxy_grpc.server.grpc_health import GrpcHealth
from llmproxy_grpc.server.rpc import Door, Method, Rpc, Servicer

DESCRIPTOR: Final = llm_proxy_service_pb2.DESCRIPTOR.services_by_name["LlmProxyService"]
ADMIN: Final = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]


def proxy_service(door: Door, servicers: Mapping[str, Servicer]) -> grpc.GenericRpcHandler:
    """The handler of LlmProxyService; `servicers` by method name."""
    return _service(DESCRIPTOR, door, servicers)


def admin_service(door: Door, servicers: Mapping[str, Servicer]) -> grpc.GenericRpcHandler:
    """The handler of AdminService."""
    return _service(ADMIN, door, servicers)


def health_service(door: Door, health: GrpcHealth) -> grpc.GenericRpcHandler:
    """The handler of grpc.health.v1.Health."""
    handlers = {
        "Check": door.handler(grpc_health.CHECK, health.check),
        "Watch": door.handler(grpc_health.WATCH, health.watch),
        "List": door.handler(grpc_health.LIST, health.list),
    }
    return grpc.method_handlers_generic_handler(grpc_health.SERVICE, handlers)


def _service(service: ServiceDescriptor, door: Door, servicers: Mapping[str, Servicer]) -> grpc.GenericRpcHandler:
    handlers = {}
    for descriptor in service.methods:
        request = message_factory.GetMessageClass(descriptor.input_type)
        method = Method(descriptor.name, request, streaming=descriptor.server_streaming)
        handlers[descriptor.name] = door.handler(method, servicers.get(descriptor.name, _not_implemented))
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


async def _not_implemented(_request: Any, rpc: Rpc) -> None:
    raise MethodNotImplemented(
        f"This server does not offer {rpc.method.name} yet.", metadata={"method": rpc.method.name}
    )
