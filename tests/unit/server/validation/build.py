"""Requests for the rules, each valid but for what a test changes."""

from llmproxy_grpc._gen.v1 import chat_pb2

SYSTEM, DEVELOPER, USER, ASSISTANT, TOOL = 1, 2, 3, 4, 5

HELLO = {"role": USER, "parts": [{"text": "hi"}]}


def request(**fields):
    return chat_pb2.ChatRequest(**({"model": "assistant", "messages": [HELLO]} | fields))


def turn(*parts, role=USER, **fields):
    return {"role": role, "parts": list(parts), **fields}


def said(*turns):
    return request(messages=list(turns))


def called(*ids):
    return turn(*[{"tool_call": {"id": one, "name": "f", "arguments_json": "{}"}} for one in ids], role=ASSISTANT)


def answered(*ids):
    return turn(*[{"tool_result": {"tool_call_id": one, "content": [{"text": "ok"}]}} for one in ids], role=TOOL)


def generated(**config):
    return request(generation=config)


def with_tools(*tools, **fields):
    return request(tools=list(tools), **fields)


def function(name="f", **fields):
    return {"function": {"name": name, **fields}}
