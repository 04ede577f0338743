"""Records of every shape, as examples of datasets."""

from msgspec.structs import replace

from llmproxy_grpc.datasets.example import Example, Figures, Pair
from llmproxy_grpc.messages import (
    Candidate,
    ChatRequest,
    FinishReason,
    FunctionTool,
    MediaKind,
    MediaPart,
    Message,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    Usage,
)

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)
LONG_NUMBER = '{"n": 123456789012345678901234567890,\n "city" : "R\\u00f6m"}'
TWICE = '{"city": "Rome", "city" : "Oslo", "n": 1.0e2}'
WEATHER = FunctionTool(
    "weather",
    "Tells the weather.",
    '{\n  "type": "object",\n  "properties": {"city": {"type": "string"}, "n": {"type": "number"}}\n}',
)


def said(role: Role, *parts: str | Part) -> Message:
    return Message(role, tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts))


def system(*parts: str | Part) -> Message:
    return said(Role.SYSTEM, *parts)


def developer(*parts: str | Part) -> Message:
    return said(Role.DEVELOPER, *parts)


def user(*parts: str | Part) -> Message:
    return said(Role.USER, *parts)


def assistant(*parts: str | Part) -> Message:
    return said(Role.ASSISTANT, *parts)


def results(*answers: tuple[str, str]) -> Message:
    parts = [
        ToolResultPart(tool_call_id=call, name="weather", content=(TextPart(text=text),)) for call, text in answers
    ]
    return Message(Role.TOOL, tuple(parts))


def call(identifier: str, arguments: str = '{"city":"Rome"}', name: str = "weather") -> ToolCallPart:
    return ToolCallPart(id=identifier, name=name, arguments_json=arguments)


def example(*messages: Message, tools: tuple[FunctionTool, ...] = (), **fields: object) -> Example:
    """The last message is the answer."""
    *prompt, answer = messages
    request = ChatRequest("assistant", tuple(prompt), tools=tools)
    made = Example(id="0193", seq=7, request=request, candidates=(Candidate(0, answer, FinishReason.STOP),))
    return replace(made, **fields)


PLAIN = example(system("Be brief."), user("Hello?"), assistant("Hi."))
DEVELOPER = example(developer("Be brief."), user("Hello?"), assistant("Hi."))
TWO_USERS = example(user("Hello?"), user("Anybody?"), assistant("Hi."))
MULTI_TURN = example(user("1?"), assistant("One."), user("2?"), assistant("Two."))
REASONING = example(
    user("2+2?"),
    assistant(ReasoningPart(text="Two and two."), ReasoningPart(redacted=True, continuity_token=b"x"), "4"),
)
PARALLEL_CALLS = example(
    system("Use tools."),
    user("Weather in Rome and Oslo?"),
    assistant("Looking.", call("call_1", LONG_NUMBER), call("call_2", '{"city":"Oslo"}')),
    results(("call_2", "cold"), ("call_1", "warm")),
    assistant("Warm and cold."),
    tools=(WEATHER,),
)
KEY_TWICE = example(user("Weather?"), assistant(call("call_1", TWICE)), tools=(WEATHER,))
ENDS_ON_CALL = example(user("Weather in Rome?"), assistant(call("toolu_01A09q90qw90lq917835lq9")), tools=(WEATHER,))
PICTURE = example(
    user("What is this?", MediaPart(kind=MediaKind.IMAGE, data=PIXEL, media_type="image/png"), "Say it."),
    assistant("A pixel."),
)
ODD_TEXT = example(user("a\u2028b\u2029c\u0085d\x00e\r\nf\u00e9\U0001f600"), assistant('"quoted" \\ and /slashed/'))
HUGE = example(user("2 MiB: " + "h\u00e4 \n" * (2 * 1024 * 1024 // 5)), assistant("Long."))
LATE_SYSTEM = example(user("1?"), assistant("One."), system("Be brief."), user("2?"), assistant("Two."))
HALF_A_CHARACTER = example(user("Weather?"), assistant(call("call_1", '{"city":"\\ud83d","n":1}')), tools=(WEATHER,))
RICH_SCHEMA = example(
    user("Weather?"),
    assistant(call("call_1", '{"city":null}')),
    tools=(
        FunctionTool(
            "weather",
            "Tells the weather.",
            '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","additionalProperties":false,'
            '"properties":{"city":{"type":["string","null"]},"n":{"oneOf":[{"const":1},{"exclusiveMinimum":2}]}}}',
        ),
    ),
)
DOTTED_NAME = example(
    user("Weather?"), assistant(call("call_1", name="weather.now")), tools=(replace(WEATHER, name="weather.now"),)
)
LONG_ID = example(
    user("Weather?"), assistant(call("c" * 200)), results(("c" * 200, "cold")), assistant("Cold."), tools=(WEATHER,)
)
EMPTY_RESULT = example(
    user("Weather?"), assistant(call("call_1")), results(("call_1", "")), assistant("None."), tools=(WEATHER,)
)
PREFERENCE = replace(PLAIN, pair=Pair(assistant("Hello to you."), assistant("Hi.")), label=True)
COUNTED = replace(PLAIN, figures=Figures(usage=Usage(input_tokens=90, output_tokens=10, total_tokens=100)))

EVERY_SHAPE = {
    "plain": PLAIN,
    "developer": DEVELOPER,
    "two users": TWO_USERS,
    "multi turn": MULTI_TURN,
    "reasoning": REASONING,
    "parallel calls": PARALLEL_CALLS,
    "a key twice": KEY_TWICE,
    "ends on a call": ENDS_ON_CALL,
    "picture": PICTURE,
    "odd text": ODD_TEXT,
    "huge": HUGE,
    "late system": LATE_SYSTEM,
    "half a character": HALF_A_CHARACTER,
    "rich schema": RICH_SCHEMA,
    "dotted name": DOTTED_NAME,
    "long id": LONG_ID,
    "empty result": EMPTY_RESULT,
}


def with_choice(made: Example, choice: ToolChoice) -> Example:
    return replace(made, request=replace(made.request, tool_choice=choice))
