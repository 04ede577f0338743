"""TRL takes the lines for what they are, and a chat template makes text of each of them."""

import json

import pytest
from msgspec.structs import replace
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from trl.data_utils import apply_chat_template, is_conversational

from llmproxy_grpc.datasets.options import Format, ReasoningOutput
from tests.fakes.examples import DEVELOPER, EVERY_SHAPE, LONG_NUMBER, PARALLEL_CALLS, PREFERENCE, REASONING, assistant

# As strict as templates come, in that they know four roles and append texts, which fails for anything but a text.
TEMPLATE = """
{%- if tools %}{% for tool in tools %}[tool]{{ tool.function.name }}{{ tool.function.parameters | tojson }}{% endfor %}
{%- endif %}
{%- for message in messages %}
{%- if message.role not in ['system', 'user', 'assistant', 'tool'] %}{{ raise_exception(message.role) }}{% endif %}
{{- '<|' + message.role + '|>' }}
{%- if message.reasoning_content %}{{ '[thinks]' + message.reasoning_content }}{% endif %}
{%- if message.content is string %}{{ message.content + '' }}
{%- else %}{% for part in message.content %}{{ part.text if part.type == 'text' else '<image>' + part.image }}
{%- endfor %}{% endif %}
{%- for call in message.tool_calls or [] %}{{ '[call]' + call.function.name + call.function.arguments }}{% endfor %}
{{- '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}
"""
FORMATS = (Format.TRL_PROMPT_COMPLETION, Format.TRL_KTO, Format.TRL_PREFERENCE)
# What OpenAI and few templates take: a role more, null for no text, pictures by another name.
OPENAI_ALONE = {"developer", "picture", "ends on a call", "a key twice"}


@pytest.fixture(scope="module")
def tokenizer():
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "hello": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    made.chat_template = TEMPLATE
    return made


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_line_is_a_conversation_that_a_template_can_write(form, write, tokenizer):
    examples = {name: replace(made, pair=PREFERENCE.pair, label=False) for name, made in EVERY_SHAPE.items()}
    path, names, reasons = write(form, examples)
    # Of pairs the answer is another one.
    assert reasons == ({} if form is Format.TRL_PREFERENCE else {"half a character": "arguments_not_json"})
    for name, line in zip(names, path.read_text().splitlines(), strict=True):
        row = json.loads(line)
        assert is_conversational(row), name
        text = apply_chat_template(row, tokenizer, tools=row.get("tools"))
        assert all(text[column] for column in text if column != "label"), name
        assert text.get("label", False) is False


def test_the_lines_of_openai_are_conversations_too(write, tokenizer):
    shapes = {name: made for name, made in EVERY_SHAPE.items() if name not in OPENAI_ALONE}
    path, names, _ = write(Format.OPENAI_CHAT, shapes)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == len(names)
    for row in rows:
        assert is_conversational(row)
        assert "<|assistant|>" in apply_chat_template(row, tokenizer, tools=row.get("tools"))["text"]


def test_completion_is_the_answer_and_nothing_else(write, tokenizer):
    path, _, _ = write(Format.TRL_PROMPT_COMPLETION, {"calls": PARALLEL_CALLS})
    row = json.loads(path.read_text())
    text = apply_chat_template(row, tokenizer, tools=row["tools"])
    assert text["completion"] == "Warm and cold.<|end|>"
    assert text["prompt"].endswith("<|assistant|>")
    assert f"[call]weather{LONG_NUMBER}" in text["prompt"]


def test_chosen_and_rejected_are_the_two_answers(write, tokenizer):
    path, _, _ = write(Format.TRL_PREFERENCE, {"one": PREFERENCE})
    text = apply_chat_template(json.loads(path.read_text()), tokenizer)
    assert (text["chosen"], text["rejected"]) == ("Hello to you.<|end|>", "Hi.<|end|>")


def test_the_developer_is_the_system_to_templates(write):
    path, _, _ = write(Format.TRL_PROMPT_COMPLETION, {"one": DEVELOPER})
    assert json.loads(path.read_text())["prompt"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (ReasoningOutput.OMIT, "4<|end|>"),
        (ReasoningOutput.FIELD, "[thinks]Two and two.4<|end|>"),
        (ReasoningOutput.THINK_TAGS, "<think>\nTwo and two.\n</think>\n\n4<|end|>"),
    ],
)
def test_thinking_reaches_the_template_as_asked_for(write, tokenizer, reasoning, expected):
    path, _, _ = write(Format.TRL_PROMPT_COMPLETION, {"one": REASONING}, reasoning=reasoning)
    assert apply_chat_template(json.loads(path.read_text()), tokenizer)["completion"] == expected


def test_a_demonstration_in_place_of_the_answer_is_wanted_whatever_the_answer_was(write):
    shown = replace(PREFERENCE, demonstration=assistant("Good answer."), label=False)
    examples = {"disliked": shown, "not judged": replace(shown, label=None), "none": replace(PREFERENCE, label=False)}
    path, names, _ = write(Format.TRL_KTO, examples, prefer_demonstration=True)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {name: (row["completion"][0]["content"], row["label"]) for name, row in zip(names, rows, strict=True)} == {
        "disliked": ("Good answer.", True),
        "not judged": ("Good answer.", True),
        "none": ("Hi.", False),
    }
    row = json.loads(write(Format.TRL_KTO, {"disliked": shown})[0].read_text())
    assert (row["completion"][0]["content"], row["label"]) == ("Hi.", False)
