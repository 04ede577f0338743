import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmproxy_grpc.config.faults import ConfigError
from llmproxy_grpc.config.loader import load
from llmproxy_grpc.config.schema import Config


def faults_of(tmp_path, *overrides, file=None, **environ):
    with pytest.raises(ConfigError) as caught:
        load(file, overrides, environ, tmp_path)
    return [str(fault) for fault in caught.value.faults]


def config_of(tmp_path, *overrides, file=None, **environ):
    return load(file, overrides, environ, tmp_path).config


def test_a_mistyped_variable_is_named_and_a_strangers_is_not(tmp_path):
    fault = "LLMPROXY_GRCP__LISTEN: grcp: is no key of the configuration; did you mean LLMPROXY_GRPC__…?"
    assert faults_of(tmp_path, LLMPROXY_GRCP__LISTEN="127.0.0.1:0") == [fault]
    config_of(tmp_path, LLMPROXY_GRCP="x", LLMPROXY_SERVICE_HOST="10.0.0.1", LLMPROXY_OTHERS__THING="x")


def test_without_any_source_the_server_discovers_and_has_the_embedded_model(tmp_path):
    loaded = load(None, [], {}, tmp_path)
    assert loaded.file is None
    assert loaded.config == Config(discovery="auto", default_model="local/smollm2-135m")


def test_with_a_file_nothing_is_discovered(tmp_path, write):
    write("{}")
    assert config_of(tmp_path) == Config()
    assert load(None, [], {}, tmp_path).file == tmp_path / "llmproxy.yaml"


@pytest.mark.parametrize("text", ["", "\n", "# all gone\n"])
def test_an_empty_file_is_a_fault_for_it_is_most_often_half_written(tmp_path, write, text):
    write(text)
    assert [fault.message for fault in faults_or_none(tmp_path / "llmproxy.yaml", [], {})] == [
        "is empty; write {} if the defaults are meant"
    ]


def test_without_discovery_or_direct_models_there_is_no_embedded_default(tmp_path):
    assert config_of(tmp_path, LLMPROXY_DISCOVERY="off").default_model is None
    assert config_of(tmp_path, "direct_models=false").default_model is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("providers: [{name: a, kind: local, model_file: ''}]", 'providers[0].model_file: {why} (found "")'),
        ("prices: {file: '${NO_SUCH:-}'}", 'prices.file: {why} (found "${NO_SUCH:-}")'),
        ("grpc: {tls: {cert: '', key: '${EMPTY}'}}", 'grpc.tls.cert: {why} (found "")'),
    ],
)
def test_an_empty_path_names_itself_and_what_to_do(tmp_path, write, text, fault):
    write(text)
    why = "is empty; name a file, or leave the key out"
    assert faults_of(tmp_path, EMPTY="")[0] == "llmproxy.yaml:1: " + fault.replace("{why}", why)


def test_later_sources_win(tmp_path, write):
    write("grpc: {grace: 1, predrain: 1, max_in_flight: 1, max_receive_bytes: 2048}")
    config = config_of(
        tmp_path,
        "grpc.grace=3s",
        LLMPROXY_GRPC__GRACE="2s",
        LLMPROXY_GRPC__PREDRAIN="2",
        LLMPROXY_GRPC="{max_in_flight: 2, predrain: 5}",
    )
    assert (config.grpc.grace, config.grpc.predrain) == (3.0, 2.0)
    assert (config.grpc.max_in_flight, config.grpc.max_receive_bytes) == (2, 2048)


def test_the_command_line_names_the_file_before_the_environment_does(tmp_path, write):
    for name in ("one.yaml", "two.json", "llmproxy.yaml"):
        write(f'{{"providers": [{{"name": "{name.split(".")[0]}", "kind": "echo"}}]}}', name)
    from_line = config_of(tmp_path, file=tmp_path / "one.yaml", LLMPROXY_CONFIG="two.json")
    assert from_line.providers[0].name == "one"
    assert config_of(tmp_path, LLMPROXY_CONFIG="two.json").providers[0].name == "two"
    assert config_of(tmp_path, LLMPROXY_CONFIG="").providers[0].name == "llmproxy"


def test_variables_that_are_no_keys_are_somebody_elses(tmp_path):
    environ = {"LLMPROXY_TARGET": "x", "LLMPROXY_API_KEY": "[", "LLMPROXY_GRPC_PORT": "tcp://1", "LLMPROXY_grpc": "1"}
    assert config_of(tmp_path, **environ) == config_of(tmp_path)


def test_lists_are_replaced_whole(tmp_path, write):
    write("providers: [{name: a, kind: echo}, {name: b, kind: echo}]")
    config = config_of(tmp_path, LLMPROXY_PROVIDERS="[{name: c, kind: echo}]")
    assert [provider.name for provider in config.providers] == ["c"]


def test_every_fault_is_named_at_once_in_the_order_of_the_sources(tmp_path, write):
    write(
        "grpc:\n  workers: two\n  listne: x\nproviders:\n  - kind: echo\n  - name: UP\n    kind: 7\n"
        "    api_keys: sk-canary\nhttp: {listen: nowhere}\ntelemetry: {log_level: loud}\n"
        "auth: {mode: keys}\n"
    )
    faults = faults_of(tmp_path, "grpc.grace=-1", "nonsense", "a..b=1", LLMPROXY_RETRIES__MAX_ATTEMPTS="[")
    assert faults == [
        'llmproxy.yaml:2: grpc.workers: must be a whole number (found "two")',
        "llmproxy.yaml:3: grpc.listne: is an unknown key; did you mean listen? (found ***)",
        "llmproxy.yaml:5: providers[0].name: is required",
        'llmproxy.yaml:6: providers[1].name: must match ^[a-z0-9][a-z0-9-]*$ (found "UP")',
        "llmproxy.yaml:7: providers[1].kind: must be text; quote it (found 7)",
        "llmproxy.yaml:8: providers[1].api_keys: must be a list (found ***)",
        'llmproxy.yaml:9: http.listen: must be HOST:PORT, [IPV6]:PORT or unix:PATH (found "nowhere")',
        "llmproxy.yaml:10: telemetry.log_level: must be 'debug', 'info', 'warning' or 'error' (found \"loud\")",
        'llmproxy.yaml:11: auth.mode: is not built yet in this version; remove the key (found "keys")',
        "LLMPROXY_RETRIES__MAX_ATTEMPTS: retries.max_attempts: is not YAML: did not find expected node content",
        "--set: must be PATH=VALUE, such as grpc.workers=1",
        "--set: has a path with an empty or a superfluous segment",
        "--set: grpc.grace: must not be negative (found -1)",
    ]


def test_a_list_that_needs_something_says_so(tmp_path, write):
    write("models: [{id: m, targets: []}]\n")
    assert faults_of(tmp_path) == ["llmproxy.yaml:1: models[0].targets: must not be empty"]


def test_a_list_is_not_called_empty_for_what_is_wrong_in_it(tmp_path, write):
    write("models: [{id: m, targets: [{provider: p, model: x, weight: many}]}]\n")
    assert faults_of(tmp_path) == [
        'llmproxy.yaml:1: models[0].targets[0].weight: must be a whole number (found "many")'
    ]


def test_addresses_are_text(tmp_path, write):
    write("grpc: {listen: 50051}\n")
    assert faults_of(tmp_path) == [
        "llmproxy.yaml:1: grpc.listen: must be an address in quotes, or a list of them (found 50051)"
    ]


def test_a_fault_of_one_section_does_not_hide_what_is_wrong_between_others(tmp_path, write):
    write("http: 3\nproviders: [{name: a, kind: echo}]\nmodels: [{id: m, targets: [{provider: b, model: x}]}]\n")
    assert faults_of(tmp_path) == [
        "llmproxy.yaml:1: http: must be a mapping (found 3)",
        'llmproxy.yaml:3: models[0].targets[0].provider: is no provider; there are a (found "b")',
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"# " + b"x" * 1024 * 1024, "larger"),
        (b"- a\n- b\n", "must be a mapping"),
        (b"just text", "must be a mapping"),
        (b"a: [", "is not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, content, complaint):
    (tmp_path / "llmproxy.yaml").write_bytes(content)
    (fault,) = faults_of(tmp_path)
    assert complaint in fault


def test_a_file_that_is_named_must_exist(tmp_path):
    assert faults_of(tmp_path, LLMPROXY_CONFIG="gone.yaml") == ["gone.yaml: cannot be read: No such file or directory"]
    (tmp_path / "llmproxy.yaml").symlink_to("gone.yaml")
    assert "llmproxy.yaml: cannot be read" in faults_of(tmp_path)[0]
    assert "Is a directory" in faults_of(tmp_path, file=tmp_path)[0]


def test_a_byte_order_mark_is_no_content(tmp_path):
    (tmp_path / "llmproxy.yaml").write_bytes(b"\xef\xbb\xbfdirect_models: false")
    assert config_of(tmp_path).direct_models is False


PROVIDER = "providers: [{{name: a, kind: openai, base_url: 'https://host/v1', api_key: {key}}}]"


@pytest.mark.parametrize(
    ("written", "environ", "key"),
    [
        ("${KEY}", {"KEY": "test-key"}, "test-key"),
        ("a${KEY}b${KEY}", {"KEY": "1"}, "a1b1"),
        ("${KEY:-other}", {}, "other"),
        ("${KEY:-other}", {"KEY": ""}, "other"),
        ("${KEY:-other}", {"KEY": "set"}, "set"),
        ("$${KEY}$1$", {}, "${KEY}$1$"),
        ("${KEY}", {"KEY": "${OTHER}[*&"}, "${OTHER}[*&"),
        ("${KEY}", {"KEY": "12345"}, "12345"),
    ],
)
def test_variables_stand_in_the_files_strings(tmp_path, write, written, environ, key):
    write(PROVIDER.format(key=f"'{written}'"))
    assert config_of(tmp_path, **environ).providers[0].api_key.get_secret_value() == key


@pytest.mark.parametrize(
    ("written", "complaint"),
    [("${KEY}", "KEY, which is not set"), ("${", "neither"), ("${1}", "neither"), ("${KEY-x}", "neither")],
)
def test_a_variable_that_is_unset_or_misspelled_is_a_fault(tmp_path, write, written, complaint):
    write(f"providers:\n- {{name: a, kind: openai, base_url: '{written}'}}\n")
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("llmproxy.yaml:2: providers[0].base_url: ")
    assert complaint in fault


def test_a_variables_text_may_spell_a_number_or_a_truth_value(tmp_path, write):
    write("grpc: {max_in_flight: '${N}', workers: '${W:-1}', reflection: '${R}', grace: '${G}'}")
    grpc = config_of(tmp_path, N="7", R="false", G="5").grpc
    assert (grpc.max_in_flight, grpc.reflection, grpc.grace) == (7, False, 5.0)


def test_the_environment_and_the_command_line_are_taken_literally(tmp_path):
    overrides = ["providers=[{name: a, kind: openai, api_key: '${KEY}'}]"]
    assert config_of(tmp_path, *overrides, KEY="x").providers[0].api_key.get_secret_value() == "${KEY}"


def test_a_fault_shows_the_variable_and_not_what_it_holds(tmp_path, write):
    write("telemetry: {log_level: '${KEY}'}")
    (fault,) = faults_of(tmp_path, KEY="sk-canary")
    assert "canary" not in fault
    assert '(found "${KEY}")' in fault


def test_a_relative_certificate_lies_beside_the_file_that_names_it(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    for name in ("cert", "key", "ca"):
        (folder / name).touch()
    (folder / "c.yaml").write_text("grpc: {listen: '0.0.0.0:1', tls: {cert: cert, key: key, client_ca: ca}}")
    tls = config_of(tmp_path, file=folder / "c.yaml").grpc.tls
    assert (tls.cert, tls.client_ca) == (folder / "cert", folder / "ca")
    (fault,) = faults_of(tmp_path, "grpc.tls.key=gone", file=folder / "c.yaml")
    assert fault == '--set: grpc.tls.key: is no file (found "gone")'
    (fault,) = faults_of(tmp_path, f"grpc.tls.key={'x' * 5000}", file=folder / "c.yaml")
    assert "is no file" in fault


def test_a_key_over_plain_http_is_a_warning(tmp_path, write):
    write(
        "providers:\n- {name: a, kind: openai, api_key: test-key, base_url: 'http://10.0.0.5/v1'}\n"
        "- {name: b, kind: openai, api_key: test-key, base_url: 'http://127.0.0.1/v1'}\n"
        "- {name: c, kind: openai, base_url: 'http://10.0.0.5/v1'}\n"
    )
    (warning,) = load(None, [], {}, tmp_path).warnings
    assert (warning.line, warning.path) == (2, "providers[0].base_url")


def test_an_unknown_top_level_key_is_a_fault_on_the_command_line_too(tmp_path):
    assert "--set: grcp: is an unknown key; did you mean grpc?" in faults_of(tmp_path, "grcp.listen=x")[0]


def faults_or_none(file, overrides, environ):
    try:
        load(file, overrides, environ, file.parent)
    except ConfigError as error:
        return error.faults
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))),
    st.lists(st.text(max_size=30) | st.text(max_size=10).map("grpc.listen={}".format), max_size=2),
    st.dictionaries(
        st.sampled_from(["LLMPROXY_GRPC", "LLMPROXY_PROVIDERS", "LLMPROXY_MODELS__X", "LLMPROXY_LIMITS"]),
        st.text(max_size=30),
        max_size=2,
    ),
    st.sampled_from(["llmproxy.yaml", "c.json"]),
)
def test_no_input_crashes_the_loader(tmp_path, content, overrides, environ, name):
    (tmp_path / name).write_bytes(content)
    faults = faults_or_none(tmp_path / name, overrides, environ)
    assert faults is None or (faults and all(map(str, faults)))


def test_a_file_of_nonsense_is_refused_quickly_and_briefly(tmp_path, write):
    write("".join(f"key{number}: 1\n" for number in range(20_000)))
    assert len(faults_of(tmp_path)) == 100
    write("direct_models: true\n" * 20_000)
    assert len(faults_of(tmp_path)) == 100


def test_a_variable_that_is_not_unicode_is_a_fault(tmp_path):
    (fault,) = faults_of(tmp_path, LLMPROXY_TELEMETRY__LOG_LEVEL="\udcff")
    assert fault == "LLMPROXY_TELEMETRY__LOG_LEVEL: telemetry.log_level: is not Unicode text"


KEYS = st.sampled_from(
    [*Config.model_fields, "name", "kind", "listen", "api_key", "headers", "targets", "file", "id", "x"]
)
LEAVES = st.sampled_from(
    ["1", "-1", "null", "true", "1.5", "abc", "'${X}'", "'$${'", "127.0.0.1:0", "0.0.0.0:1", "unix:a", "5m", "{}", "[]"]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda entries: f"[{', '.join(entries)}]"),
        st.dictionaries(KEYS, inner, max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"
        ),
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*Config.model_fields]), TREES, min_size=1, max_size=5))
def test_no_shape_crashes_the_loader(tmp_path, sections):
    (tmp_path / "llmproxy.yaml").write_text("".join(f"{key}: {value}\n" for key, value in sections.items()))
    faults = faults_or_none(tmp_path / "llmproxy.yaml", [], {"X": "1"})
    assert all(fault.source.endswith("llmproxy.yaml") and fault.line for fault in faults or ())
