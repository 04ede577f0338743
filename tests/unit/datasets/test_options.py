from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.datasets.formats import FORMATS, HEADERS
from llmproxy_grpc.datasets.options import Format, ReasoningOutput

TYPED_OR_DEFAULT = {"UNSPECIFIED", "RECORDS"}


def test_formats_are_those_of_the_api():
    api = {name.removeprefix("EXPORT_FORMAT_"): number for name, number in pb.ExportFormat.items()}
    assert {each.name: each.value for each in Format} == {
        name: number for name, number in api.items() if name not in TYPED_OR_DEFAULT
    }


def test_ways_to_write_thinking_are_those_of_the_api():
    api = {name.removeprefix("REASONING_OUTPUT_"): number for name, number in pb.ReasoningOutput.items()}
    api["OMIT"] = api.pop("UNSPECIFIED")
    assert {each.name: each.value for each in ReasoningOutput} == api


def test_every_format_has_its_writer():
    assert FORMATS.keys() == set(Format)
    assert all(header.endswith(b"\n") for header in HEADERS.values())
