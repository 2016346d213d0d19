"""Public checkpoints by name: where they lie, what they hash to, and a download that survives a bad network.

pooch keeps the cache folder and checks the hash; the transfer itself is ours because pooch's cannot resume.
Proxies come from the usual environment variables (HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from tinysam_mobile.errors import CheckpointError, RuntimeUnavailableError, UnknownNameError

if TYPE_CHECKING:
    import requests

__all__ = [
    "PUBLIC_CHECKPOINTS",
    "PublicCheckpoint",
    "cache_folder",
    "fetch",
    "public_checkpoint",
    "published_as",
]

ATTEMPTS = 4
TIMEOUT_S = (10.0, 30.0)
"""To connect, and between two pieces of data."""
CHUNK_BYTES = 1 << 16
"""What a transfer that breaks off loses at most."""
MAX_BYTES = 4 << 30
"""No public checkpoint is longer; a server that never stops does not fill the disk."""

OnBytes = Callable[[int, int | None], None]
"""Called with the bytes that are there and, if the server said so, the bytes of the whole file."""


@dataclass(frozen=True, kw_only=True)
class PublicCheckpoint:
    """A file that its authors publish; `sha256` is None where no hash of it is public."""

    name: str
    url: str
    sha256: str | None
    licence: str
    description: str

    @property
    def file_name(self) -> str:
        """Last part of the URL."""
        return Path(urlsplit(self.url).path).name


SAM2_URL = "https://dl.fbaipublicfiles.com/segment_anything_2"
EFFICIENTVIT_URL = "https://huggingface.co/mit-han-lab/efficientvit-sam/resolve/main"
"""Beware of its folder `distilled_model`: other weights under the same names; the hashes tell them apart."""
PUBLIC_CHECKPOINTS = {
    checkpoint.name: checkpoint
    for checkpoint in (
        PublicCheckpoint(
            name="tinysam",
            url="https://github.com/xinghaochen/TinySAM/releases/download/3.0/tinysam_42.3.pth",
            sha256=None,
            licence="Apache-2.0",
            description="TinySAM, COCO AP 42.3 (arXiv 2312.13789)",
        ),
        PublicCheckpoint(
            name="mobile-sam",
            url="https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
            sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            licence="Apache-2.0",
            description="MobileSAM, COCO AP 41.0 (arXiv 2306.14289)",
        ),
        PublicCheckpoint(
            name="sam-vit-b",
            url="https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth",
            sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            licence="Apache-2.0",
            description="Segment Anything ViT-B, a teacher (arXiv 2304.02643)",
        ),
        PublicCheckpoint(
            name="sam-vit-l",
            url="https://dl.fbaipublicfiles.com/segment_anything/sam_vit_l_0b3195.pth",
            sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            licence="Apache-2.0",
            description="Segment Anything ViT-L, a teacher",
        ),
        PublicCheckpoint(
            name="sam-vit-h",
            url="https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth",
            sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            licence="Apache-2.0",
            description="Segment Anything ViT-H, the paper's teacher",
        ),
        PublicCheckpoint(
            name="edgesam",
            url="https://huggingface.co/spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam.pth",
            sha256="439b086a20ab6fba90c12cba32e0001ba3aa726da5791ff8738acdd440330991",
            licence="S-Lab-1.0 (non-commercial)",
            description="EdgeSAM, COCO AP 42.2 (arXiv 2312.06660)",
        ),
        PublicCheckpoint(
            name="edgesam-3x",
            url="https://huggingface.co/spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam_3x.pth",
            sha256="5a3e3261da9e2f4c8154410885689ae57d09cbf4cf5d0c848b9d80b6df336ece",
            licence="S-Lab-1.0 (non-commercial)",
            description="EdgeSAM trained on three times the data, COCO AP 42.7",
        ),
        PublicCheckpoint(
            name="repvit-sam",
            url="https://github.com/THU-MIG/RepViT/releases/download/v1.0/repvit_sam.pt",
            # The public hash is that of a copy, huggingface.co/spaces/jameslahm/repvit-sam.
            sha256=None,
            licence="Apache-2.0",
            description="RepViT-SAM, COCO AP 44.4 (arXiv 2312.05760)",
        ),
        *(
            PublicCheckpoint(
                name=f"efficientvit-sam-{size}",
                url=f"{EFFICIENTVIT_URL}/efficientvit_sam_{size}.pt",
                sha256=sha256,
                licence="Apache-2.0",
                description=f"EfficientViT-SAM-{size.upper()}, COCO AP {ap} (arXiv 2402.05008)",
            )
            for size, ap, sha256 in (
                ("l0", 45.7, "c4f994b01a16d48bcf2fbbb089448cfbf58fae5811edfa8113c953b8b8cc64b8"),
                ("l1", 46.2, "fa151df2b9b96896accd505470755cdd293a4c50cdabac95478f3fbd86d9152b"),
                ("l2", 46.6, "d4bfd842224cbb99de09acc3325e81ac5b7e8725c8fbdab152305e5d934bfe4a"),
                ("xl0", 47.5, "9bc2f87bd23d6e6d1f7b5beff910f98835c7c333fac73e695bac0bec685968f8"),
                ("xl1", 47.8, "10f42277679427c1183dcff19758e536aa86bcc4304e4b387ff48865784be05c"),
            )
        ),
        PublicCheckpoint(
            name="efficientsam-ti",
            url="https://github.com/yformer/EfficientSAM/raw/main/weights/efficient_sam_vitt.pt",
            # Hashes of copies are public, none of this file.
            sha256=None,
            licence="Apache-2.0",
            description="EfficientSAM-Ti, COCO AP 42.3 (arXiv 2312.00863)",
        ),
        PublicCheckpoint(
            name="efficientsam-s",
            url="https://huggingface.co/yunyangx/EfficientSAM/resolve/main/efficient_sam_vits.pt",
            sha256=None,
            licence="Apache-2.0",
            description="EfficientSAM-S, COCO AP 44.4",
        ),
        *(
            PublicCheckpoint(
                name=f"sam{version}-hiera-{size.replace('_', '-')}",
                url=f"{SAM2_URL}/{date}/sam{version}_hiera_{size}.pt",
                # Not the authors' word: what independent public copies agree in.
                sha256=sha256,
                licence="Apache-2.0",
                description=f"SAM {version}, {size.replace('_', ' ')}; for images only (arXiv 2408.00714)",
            )
            for version, date, size, sha256 in (
                ("2.1", "092824", "tiny", "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
                (
                    "2.1",
                    "092824",
                    "small",
                    "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
                ),
                (
                    "2.1",
                    "092824",
                    "base_plus",
                    "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
                ),
                (
                    "2.1",
                    "092824",
                    "large",
                    "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
                ),
                ("2", "072824", "tiny", "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"),
                ("2", "072824", "small", "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"),
                (
                    "2",
                    "072824",
                    "base_plus",
                    "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
                ),
                ("2", "072824", "large", "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"),
            )
        ),
        PublicCheckpoint(
            name="edgetam",
            url="https://github.com/facebookresearch/EdgeTAM/raw/main/checkpoints/edgetam.pt",
            sha256="ed2d4850b8792c239689b043c47046ec239b6e808a3d9b6ae676c803fd8780df",
            licence="Apache-2.0",
            description="EdgeTAM; its parts for images (arXiv 2501.07256)",
        ),
        PublicCheckpoint(
            name="slimsam-50",
            url="https://huggingface.co/nielsr/slimsam-50-uniform/resolve/main/model.safetensors",
            sha256="c6146291d993f315ae1951e1209555d6c9dea1404546dc54edbc3f15fb1d8e69",
            licence="Apache-2.0",
            description="SlimSAM-50, uniform pruning (arXiv 2312.05284)",
        ),
        PublicCheckpoint(
            name="slimsam-77",
            url="https://huggingface.co/nielsr/slimsam-77-uniform/resolve/main/model.safetensors",
            sha256="b0ee221e3d33935807a820c157fec81a537b3b9979edc88b148a8dae8bbdd5d2",
            licence="Apache-2.0",
            description="SlimSAM-77, uniform pruning",
        ),
    )
}


def published_as(sha256: str | None) -> PublicCheckpoint | None:
    """Return the public checkpoint whose bytes have this hash, if it is one of those that we know."""
    known = (checkpoint for checkpoint in PUBLIC_CHECKPOINTS.values() if sha256 is not None)
    return next((checkpoint for checkpoint in known if checkpoint.sha256 == sha256), None)


def public_checkpoint(name: str) -> PublicCheckpoint:
    """Return the checkpoint called `name`, or raise `UnknownNameError` with those that exist."""
    if name not in PUBLIC_CHECKPOINTS:
        raise UnknownNameError("public checkpoint", name, PUBLIC_CHECKPOINTS)
    return PUBLIC_CHECKPOINTS[name]


def cache_folder() -> Path:
    """Folder that keeps downloads of this user, as the operating system has it."""
    import pooch

    return Path(pooch.os_cache("tinysam-mobile"))


def fetch(
    checkpoint: PublicCheckpoint, folder: Path, *, on_bytes: OnBytes | None = None, attempts: int = ATTEMPTS
) -> Path:
    """Return the path of `checkpoint` in `folder`, downloading it if it is not there whole.

    A broken transfer goes on where it stopped: within a call always, in a later call where a hash is
    public, since only the hash can tell that both pieces belong together.  Nothing but a complete, checked
    file ever has the final name.  Raises `RuntimeUnavailableError` if the server cannot be reached or keeps
    breaking off, `CheckpointError` if it has no such file or sends another one.
    """
    import pooch

    def download(url: str, output_file: str, _: object) -> None:
        partial = folder / f"{checkpoint.file_name}.part"
        if checkpoint.sha256 is None:
            partial.unlink(missing_ok=True)
        _transfer(url, partial, on_bytes, attempts)
        partial.replace(output_file)

    pooch.get_logger().setLevel("ERROR")
    try:
        found = pooch.retrieve(
            checkpoint.url,
            known_hash=checkpoint.sha256 and f"sha256:{checkpoint.sha256}",
            fname=checkpoint.file_name,
            path=folder,
            downloader=download,
        )
    except ValueError as error:
        raise CheckpointError(
            f"{checkpoint.url}: what the server sent does not have the published SHA-256 "
            f"{checkpoint.sha256}; it was thrown away, try again or from another network"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot keep the download there ({error}); choose another --folder"
        ) from error
    return Path(found)


def _transfer(url: str, partial: Path, on_bytes: OnBytes | None, attempts: int) -> None:
    """Append to `partial` until the server says that it is whole."""
    import requests

    problem = ""
    for _ in range(attempts):
        try:
            with _open_to_append(partial) as file:
                _request_rest(url, file, on_bytes)
            return
        except (
            requests.Timeout,
            requests.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            problem = type(error).__name__
        except requests.RequestException as error:
            raise CheckpointError(f"{url}: {error}") from error
    raise RuntimeUnavailableError(
        f"{url}: cannot be downloaded ({problem}, {attempts} attempts). Offline? Download it on another "
        f"machine and give its path where a CHECKPOINT is asked for; behind a proxy set HTTPS_PROXY"
    )


def _open_to_append(partial: Path) -> IO[bytes]:
    """Open what is there of a download; a link or anything else but a regular file is not written through."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(partial, flags, 0o666)
    except OSError as error:
        raise CheckpointError(
            f"{partial}: cannot be written ({error.strerror}); delete it, or choose another --folder"
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CheckpointError(f"{partial}: is no regular file; delete it, or choose another --folder")
    return os.fdopen(descriptor, "ab")


def _request_rest(url: str, file: IO[bytes], on_bytes: OnBytes | None) -> None:
    """One request for what `file` still lacks."""
    import requests

    start = file.tell()
    headers = {"Range": f"bytes={start}-"} if start else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        _check_answer(url, response)
        if start and response.status_code != requests.codes.partial_content:
            # The server does not resume, or has nothing beyond what is here: from the beginning.
            file.truncate(0)
            start = 0
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                raise requests.ConnectionError("the file on the server is shorter than what is here")
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        done = start
        for chunk in response.iter_content(CHUNK_BYTES):
            done += len(chunk)
            if done > MAX_BYTES:
                file.truncate(0)
                raise CheckpointError(f"{url}: longer than {MAX_BYTES >> 30} GB, which no checkpoint is")
            file.write(chunk)
            if on_bytes:
                on_bytes(done, total)


def _check_answer(url: str, response: requests.Response) -> None:
    """Raise `CheckpointError` for an answer that is no file."""
    if urlsplit(url).scheme == "https" and urlsplit(response.url).scheme != "https":
        raise CheckpointError(f"{url}: leads to {response.url}, which is not encrypted; not downloaded")
    code = response.status_code
    if code >= 500:
        # The server's trouble, perhaps over in a moment: the caller tries again.
        import requests

        raise requests.ConnectionError(f"the server answers {code}")
    if code >= 400 and code != 416:
        raise CheckpointError(f"{url}: the server answers {code} {response.reason}; has the file moved?")
    if "text/html" in response.headers.get("Content-Type", ""):
        raise CheckpointError(f"{url}: the server sends a web page, not a checkpoint")
