import pytest

from llmproxy_grpc.banner import ECHO_IS_DEFAULT, ECHO_NOTE, MOST_SHOWN, NO_MODEL, Offer, banner

TCP = Offer(grpc=["127.0.0.1:1"], models=["m", "n"], to_try="n")


def lines(offer: Offer) -> list[str]:
    return banner(offer).splitlines()


def test_ready_comes_last_and_addresses_first():
    told = lines(Offer(grpc=["127.0.0.1:1", "unix:/s"], health="127.0.0.1:2", http="127.0.0.1:3", models=["m"]))
    assert told[:4] == ["grpc 127.0.0.1:1", "grpc unix:/s", "health 127.0.0.1:2", "http 127.0.0.1:3"]
    assert told[4:6] == ["records off", "model m"]
    assert told[-1] == "ready"


def test_the_tip_names_the_model_to_try():
    assert "try llmproxyctl --target 127.0.0.1:1 chat -m n 'Tell me a joke.'" in lines(TCP)


def test_where_the_model_may_be_left_open_it_names_none():
    offer = Offer(grpc=["127.0.0.1:1"], models=["m"])
    assert "try llmproxyctl --target 127.0.0.1:1 chat 'Tell me a joke.'" in lines(offer)


@pytest.mark.parametrize(
    ("offer", "ctl", "grpcurl"),
    [
        (TCP, "--target 127.0.0.1:1 chat", "-plaintext 127.0.0.1:1"),
        (
            Offer(grpc=["127.0.0.1:1"], models=["m"], secure=True),
            "--target 127.0.0.1:1 --ca-file CA.pem chat",
            "-cacert CA.pem 127.0.0.1:1",
        ),
        (
            Offer(grpc=["127.0.0.1:1"], models=["m"], secure=True, mutual=True),
            "--ca-file CA.pem --cert CERT.pem --key KEY.pem chat",
            "-cacert CA.pem -cert CERT.pem -key KEY.pem 127.0.0.1:1",
        ),
        (
            Offer(grpc=["unix:/run/s.sock"], models=["m"], secure=True),
            "--target unix:/run/s.sock chat",
            "-plaintext -unix /run/s.sock",
        ),
    ],
)
def test_the_tips_fit_the_listener(offer, ctl, grpcurl):
    text = banner(offer)
    assert ctl in text
    assert f"try grpcurl {grpcurl} llmproxy.v1.LlmProxyService/ListModels" in text


def test_many_models_are_cut_short_and_none_is_said_so():
    told = lines(Offer(grpc=["127.0.0.1:1"], models=[str(number) for number in range(MOST_SHOWN + 3)]))
    assert "and 3 more models: llmproxyctl models" in told
    assert NO_MODEL in lines(Offer(grpc=["127.0.0.1:1"]))


def test_that_echo_answers_is_said_once():
    alone = lines(Offer(grpc=["127.0.0.1:1"], models=["echo/echo"], echoes=True, default_echoes=True))
    assert (ECHO_NOTE in alone, ECHO_IS_DEFAULT in alone) == (True, False)
    beside = lines(Offer(grpc=["127.0.0.1:1"], models=["echo/echo", "m"], to_try="m", default_echoes=True))
    assert (ECHO_NOTE in beside, ECHO_IS_DEFAULT in beside) == (False, True)
    assert not any("echo" in line for line in lines(TCP))
