"""The Hugging Face hub: folders of saved models, fetched and uploaded by huggingface-hub."""

import re
from pathlib import Path

from freqvision.runtime import address, naming_extras

FILES = ("config.json", "model.safetensors", "README.md")  # of a saved model; nothing else travels
_ADDRESS = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?/?")


def download(where: str | Path) -> Path:
    """The folder in the hub's cache of the model at ``hf://OWNER/NAME`` or ``hf://OWNER/NAME@REVISION``.

    The network is asked unless ``HF_HUB_OFFLINE=1``.

    Raises:
        ValueError: It is another kind of address.
        OSError: The model is neither in the cache nor to be had.
    """
    where = address(where) or where
    found = _ADDRESS.fullmatch(str(where))
    if not found:
        raise ValueError(
            f"{where} is no address of a saved model: pass hf://OWNER/NAME or hf://OWNER/NAME@REVISION of "
            "the Hugging Face hub, or copy it to this machine and pass its path"
        )
    with naming_extras():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    repo, revision = found["repo"], found["revision"]
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise OSError(
            f"{where} is not in the hub's cache and could not be fetched ({cause}): check the name and the "
            "network; private models need the login of huggingface-hub"
        ) from error


def upload(folder: Path, repo: str) -> str:
    """Upload a saved model to a repository of the hub, which is made if needed; returns its address."""
    found = _ADDRESS.fullmatch(address(repo) or f"hf://{repo}")
    if not found or found["revision"]:
        raise ValueError(f"push_to is OWNER/NAME of a repository of the Hugging Face hub, got {repo!r}")
    with naming_extras():
        from huggingface_hub import HfApi
    api = HfApi(library_name="freqvision")
    api.create_repo(found["repo"], exist_ok=True)
    api.upload_folder(
        repo_id=found["repo"],
        folder_path=folder,
        allow_patterns=list(FILES),
        commit_message="Model of freqvision",
    )
    return f"hf://{found['repo']}"
