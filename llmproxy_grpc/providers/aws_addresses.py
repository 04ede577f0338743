"""Where AWS's services answer: the region that is meant, and their hosts in it."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from llmproxy_grpc.config.addresses import is_loopback
from llmproxy_grpc.config.schema import ProviderConfig

# Regions outside the usual domain, by what their names begin with. Source: botocore's list of partitions.
_DOMAINS: Final = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
)
_RUNTIME: Final = "bedrock-runtime"
_CONTROL: Final = "bedrock"


def region_of(config: ProviderConfig, environ: Mapping[str, str]) -> str:
    """The region: the configured one, else that of the environment, else that of the profile.

    Raises:
        ValueError: There is none.
    """
    told = (config.region, environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION"))
    region = next((name for name in told if name), None) or _of_profile(config.profile)
    if not region:
        raise ValueError(f"provider {config.name!r} needs a region, here, in AWS_REGION or in its profile")
    return region


def runtime_url(config: ProviderConfig, region: str) -> str:
    """Where models answer.

    Raises:
        ValueError: Keys would go over an open connection.
    """
    if config.base_url is None:
        return f"https://{_RUNTIME}.{region}.{_domain(region)}"
    parts = urlsplit(config.base_url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"provider {config.name!r}: keys to AWS go over https:// alone")
    return config.base_url


def control_url(runtime: str) -> str:
    """Where models are listed: the sibling of one of AWS's own hosts, and whatever else stands in for it the same."""
    parts = urlsplit(runtime)
    name, _, domain = parts.netloc.partition(".")
    # Such as `bedrock-runtime-fips`; an endpoint of a private network has a name of its own, and no sibling.
    if not name.startswith(_RUNTIME) or not domain:
        return runtime
    return f"{parts.scheme}://{_CONTROL}{name.removeprefix(_RUNTIME)}.{domain}"


def _of_profile(profile: str | None) -> str | None:
    if find_spec("botocore") is None:
        return None
    # Its imports take a while, and many have no use for them.
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    try:
        found = Session(profile=profile).get_config_variable("region")
    except BotoCoreError:  # no such profile, or files that cannot be read
        return None
    return found if isinstance(found, str) else None


def _domain(region: str) -> str:
    return next((domain for prefix, domain in _DOMAINS if region.startswith(prefix)), "amazonaws.com")
