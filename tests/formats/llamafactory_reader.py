"""Reads a file with LLaMA-Factory's own code: python llamafactory_reader.py FOLDER DATA.jsonl ATTRIBUTES < nothing.

FOLDER has the package without what it depends on: torch and the rest are not needed to read. So four of its modules,
which import them, are replaced; what parses, converts and formats is its own. Prints one JSON object a line.
"""

import json
import logging
import re
import sys
import types
from pathlib import Path

THOUGHTS = ("<think>", "</think>")


def main(folder: str, data: str, attributes: str) -> None:
    load_package(Path(folder))
    from llamafactory.data.converter import get_dataset_converter  # noqa: PLC0415
    from llamafactory.data.formatter import FunctionFormatter, ToolFormatter  # noqa: PLC0415
    from llamafactory.data.parser import get_dataset_list  # noqa: PLC0415

    (attribute,) = get_dataset_list(["ours"], {"ours": {"file_name": data, **json.loads(attributes)}})
    convert = get_dataset_converter(attribute.formatting, attribute, types.SimpleNamespace(media_dir=""))
    functions = FunctionFormatter(slots=["{{content}}"], tool_format="qwen")
    tools = ToolFormatter(tool_format="qwen")
    rows = [json.loads(line) for line in Path(data).read_text().splitlines()]
    columns = dict.fromkeys(key for row in rows for key in row)  # as in the table that the trainer makes of the file
    for row in rows:
        read = convert({**columns, **row})
        for turn in read["_prompt"] + read["_response"]:
            if turn["role"] == "function":
                turn["formatted"] = functions.apply(content=turn["content"], thought_words=THOUGHTS)
        read["_formatted_tools"] = tools.apply(content=read["_tools"]) if read["_tools"] else []
        sys.stdout.write(json.dumps(read) + "\n")


def load_package(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    for name in ("llamafactory", "llamafactory.data", "llamafactory.extras"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = package
    replace("llamafactory.extras.logging", get_logger=logger)
    sys.modules["llamafactory.extras"].logging = sys.modules["llamafactory.extras.logging"]
    replace("llamafactory.extras.constants", DATA_CONFIG="dataset_info.json")
    replace("llamafactory.extras.misc", use_modelscope=bool, use_openmind=bool)


def replace(name: str, **content: object) -> None:
    module = types.ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module


def logger(name: str) -> logging.Logger:
    made = logging.getLogger(re.sub(r".*\.", "", name))
    made.warning_rank0 = made.warning
    made.warning_rank0_once = made.warning
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
