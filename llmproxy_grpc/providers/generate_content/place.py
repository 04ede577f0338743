"""Where Google's models are: at AI Studio, and at Vertex AI with a project or by an express key."""

from urllib.parse import quote

from msgspec import Struct

_GOOGLE = "publishers/google/models/"


class Place(Struct, frozen=True):
    """One of the places, below an address.

    Attributes:
        models: The folder of the models, with a slash at both ends.
        listing: The address of their list, to which a query is appended.
        vertex: Whether it is Vertex AI, whose requests differ in details.
        endpoints: The folder of one's own tuned models, with a slash at both ends; empty if there is none.
    """

    models: str
    listing: str
    vertex: bool = False
    endpoints: str = ""

    def method(self, model: str, method: str) -> str:
        """The path of a model's method; callers choose the model, and nothing in its name leads out of the folder."""
        folder, name = self.models, bare(model)
        if self.endpoints and name.startswith("endpoints/"):
            folder, name = self.endpoints, name.removeprefix("endpoints/")
        return f"{folder}{quote(name, safe='')}:{method}"


def studio(version: str | None = None) -> Place:
    """Google AI Studio, by a version of its API."""
    home = f"/{quote(version or 'v1beta', safe='')}"
    return Place(f"{home}/models/", f"{home}/models")


def vertex(project: str | None, location: str, version: str | None = None) -> Place:
    """Vertex AI, by a version of its API: what a project may use at a location, or an express key without one."""
    home = f"/{quote(version or 'v1', safe='')}/"
    # Models are listed by this version alone.
    listing = f"/v1beta1/{_GOOGLE.removesuffix('/')}"
    if project is None:
        return Place(f"{home}{_GOOGLE}", listing, vertex=True)
    home += f"projects/{quote(project, safe='')}/locations/{quote(location, safe='')}/"
    return Place(f"{home}{_GOOGLE}", listing, vertex=True, endpoints=f"{home}endpoints/")


def vertex_address(location: str) -> str:
    """The host of a location: a region, one of the multi-regions `us` and `eu`, or `global`."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in {"us", "eu"}:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def bare(model: str) -> str:
    """A model's name without the folders that Google puts before it."""
    return model.removeprefix(_GOOGLE).removeprefix("models/")
