"""What processes of our own see of the environment."""

from llmproxy_grpc.children import without_secrets


def test_the_child_does_not_see_the_providers_keys():
    environ = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "test-key",
        "LC_ALL": "C",
        "LLMPROXY_API_KEY": "test-key",
        "HOME": "/h",
    }
    assert without_secrets(environ) == {"PATH": "/bin", "LC_ALL": "C", "HOME": "/h"}
