import gc
import weakref

from llmproxy_grpc.errors import InvalidRequest
from llmproxy_grpc.exceptions import anonymous, forget_frames


class Large:
    """Stands for a request of many megabytes."""


def slow(_request):
    raise TimeoutError("secret")


def refuse(request):
    try:
        slow(request)
    except TimeoutError as error:
        raise InvalidRequest("wrong") from error


def answered():
    large = Large()
    kept = weakref.ref(large)
    try:
        refuse(large)
    except InvalidRequest as error:
        circle = error  # as the frame that answers an error holds it
        forget_frames(circle)
    return kept


def test_a_forgotten_error_holds_no_request_back():
    gc.disable()
    try:
        assert answered()() is None
    finally:
        gc.enable()


def test_of_an_exception_its_type_and_places_are_told_but_not_its_text():
    try:
        slow(None)
    except TimeoutError as error:
        told = anonymous(error)
    assert told["exception"] == "TimeoutError"
    assert "secret" not in str(told)
