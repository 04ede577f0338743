"""The models of a region, and the inference profiles by which many of them have to be called."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.json import Decoder

from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.provider import UpstreamModel

_MODALITIES: Final = {"TEXT": Modality.TEXT, "IMAGE": Modality.IMAGE, "VIDEO": Modality.VIDEO, "SPEECH": Modality.AUDIO}


class FoundationModel(Struct, gc=False):
    """One model."""

    modelId: Any = None  # noqa: N815 - their names
    inputModalities: Any = None  # noqa: N815
    outputModalities: Any = None  # noqa: N815
    inferenceTypesSupported: Any = None  # noqa: N815


class ProfiledModel(Struct, gc=False):
    """What a profile leads to."""

    modelArn: str | None = None  # noqa: N815


class InferenceProfile(Struct, gc=False):
    """One inference profile."""

    inferenceProfileId: Any = None  # noqa: N815
    models: list[ProfiledModel] | None = None


class Models(Struct, gc=False):
    """All models."""

    modelSummaries: list[FoundationModel] | None = None  # noqa: N815


class ProfilePage(Struct, gc=False):
    """A page of inference profiles."""

    inferenceProfileSummaries: list[InferenceProfile] | None = None  # noqa: N815
    nextToken: str | None = None  # noqa: N815


_MODELS = Decoder(Models)
_PROFILES = Decoder(ProfilePage)


def read_models(data: bytes) -> list[FoundationModel]:
    """Reads the list of models.

    Raises:
        UpstreamProtocolError: It is none.
    """
    return decode(data, _MODELS).modelSummaries or []


def read_profiles(data: bytes) -> tuple[list[InferenceProfile], str]:
    """Reads one page of inference profiles: the profiles, and what asks for the next page; empty if there is none.

    Raises:
        UpstreamProtocolError: It is none.
    """
    page = decode(data, _PROFILES)
    return page.inferenceProfileSummaries or [], page.nextToken or ""


def listed(models: Iterable[FoundationModel], profiles: Iterable[InferenceProfile]) -> Iterator[UpstreamModel]:
    """The models that can be called by their own ids, then the profiles, which can do what their models can."""
    known = {model.modelId: model for model in models if isinstance(model.modelId, str) and model.modelId}
    for name, model in known.items():
        types = model.inferenceTypesSupported
        if not isinstance(types, list) or "ON_DEMAND" in types:
            yield _listed(name, model)
    for profile in profiles:
        name = profile.inferenceProfileId
        if isinstance(name, str) and name:
            yield _listed(name, _model_of(profile, known))


def _model_of(profile: InferenceProfile, known: Mapping[str, FoundationModel]) -> FoundationModel:
    arns = (model.modelArn for model in profile.models or () if model.modelArn)
    found = (known.get(arn.rpartition("/")[2]) for arn in arns)
    return next((model for model in found if model is not None), FoundationModel())


def _listed(name: str, model: FoundationModel) -> UpstreamModel:
    read, written = _modalities(model.inputModalities), _modalities(model.outputModalities)
    if read is not None and Modality.TEXT in read:
        read |= {Modality.DOCUMENT}  # for which the list has no word
    return UpstreamModel(joined(name), 0, 0, _capabilities(model.outputModalities), read, written)


def _capabilities(written: Any) -> frozenset[Capability] | None:
    """None for whatever the kind's features say; models that write pictures alone answer no conversations."""
    if not isinstance(written, list) or "TEXT" in written:
        return None
    return frozenset({Capability.EMBED}) if "EMBEDDING" in written else frozenset()


def _modalities(told: Any) -> frozenset[Modality] | None:
    if not isinstance(told, list):
        return None
    return frozenset(_MODALITIES[word] for word in told if isinstance(word, str) and word in _MODALITIES) or None
