"""What libraries fetch from the network: which file was wanted where, and what to do where there is no network."""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import getproxies

from extensions.runtime.escaped import escaped

_HUB_ERRORS = ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectTimeout", "ConnectionError")
_WITHOUT = (
    "; extensions has models that take `weights:` from a file, others may have `pre_trained: false` "
    "(docs/anomalib-models.md tells it of each of anomalib's)"
)


def download_error(error: BaseException) -> str:
    """The sentence about a download that failed, somewhere below this error; empty for other errors."""
    for each in _chain(error):
        if isinstance(each, URLError | socket.gaierror) or type(each).__name__ in _HUB_ERRORS:
            return _from_hub(each) or _from_torch(each) or _from_anomalib(each) or _unknown(each)
    return ""


@contextmanager
def fetching() -> Iterator[None]:
    """Inside the block libraries may fetch files, and what fails leaves nothing that the next try takes for the files.

    huggingface_hub looks into its cache alone when its host has no address here: it would try again for a minute for
    each file. Behind a proxy only the proxy can tell, so there it is left alone.
    """
    from huggingface_hub import constants

    was = constants.HF_HUB_OFFLINE
    if not was and not getproxies() and not _is_known(urlsplit(constants.ENDPOINT).hostname or ""):
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    except Exception as error:
        if root := _arguments(error, "download_and_extract").get("root"):
            with contextlib.suppress(OSError):  # it holds something
                Path(root).rmdir()  # anomalib made it first, and would take it for the unpacked files
        raise
    finally:
        constants.HF_HUB_OFFLINE = was


def _is_known(host: str) -> bool:
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True


def _from_hub(error: BaseException) -> str:
    found = _arguments(error, "hf_hub_download")
    if not found.get("repo_id"):
        return ""
    from huggingface_hub import constants

    folder = Path(found.get("cache_dir") or constants.HF_HUB_CACHE)
    # timm asks for the one after the other; either will do.
    file = "model.safetensors (or pytorch_model.bin)" if "pytorch" in found["filename"] else found["filename"]
    return (
        f"{file} of the hub's {found['repo_id']} is not on this machine, and the hub cannot be "
        f"reached; fetch it once with a network, or copy the folder models--{found['repo_id'].replace('/', '--')} of "
        f"another machine's cache into {escaped(folder)} (HF_HUB_OFFLINE=1 then asks no network){_WITHOUT}"
    )


def _from_torch(error: BaseException) -> str:
    found = _arguments(error, "load_state_dict_from_url")
    if not found.get("url"):
        return ""
    name = found.get("file_name") or Path(urlsplit(found["url"]).path).name
    folder = found.get("model_dir")
    if not folder:
        from torch.hub import get_dir

        folder = Path(get_dir()) / "checkpoints"
    return (
        f"{found['url']} cannot be reached; fetch it elsewhere and copy it to {escaped(Path(folder) / name)}{_WITHOUT}"
    )


def _from_anomalib(error: BaseException) -> str:
    found = _arguments(error, "download_and_extract")
    if "info" not in found or "root" not in found:
        return ""
    return f"{found['info'].url} cannot be reached; fetch it elsewhere and unpack it in {escaped(Path(found['root']))}"


def _unknown(error: BaseException) -> str:
    found = _arguments(error, "urlopen") | _arguments(error, "urlretrieve")
    url = getattr(found.get("url"), "full_url", found.get("url"))
    what = f"{url} cannot" if isinstance(url, str) else "a file that is not on this machine cannot"
    if isinstance(url, str) and (place := _arguments(error, "urlretrieve").get("filename")):
        return f"{url} cannot be reached; fetch it elsewhere and copy it to {escaped(Path(place))}"
    return f"{what} be reached ({' '.join(str(error).split())}); fetch it once with a network, or copy it to its cache"


def _arguments(error: BaseException, function: str) -> dict[str, Any]:
    """The local variables of the innermost call of this function below an error: they name what it wanted."""
    found: dict[str, Any] = {}
    for each in _chain(error):
        trace = each.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_name == function:
                found = dict(trace.tb_frame.f_locals)
            trace = trace.tb_next
    return found


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
