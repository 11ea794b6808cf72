"""Images on S3-compatible storage and over HTTP are read as those in a folder are."""

from __future__ import annotations

import http.server
import json
import pickle
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numcodecs
import numpy as np
import pytest
import zarr

from scimage.errors import FormatError, ScimageError, StorageError, UsageError
from scimage.image import convert, open_image, remote
from scimage.image.remote import is_address, refuse_address

Publish = Callable[[Path], str]
ALL = (slice(None), slice(None), slice(None))
SECRET = "a-secret-of-the-test"


class Web:
    """A web server for a folder, which knows ranges and counts what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []
        self.status: dict[str, int] = {}
        self.ranges = True
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                key, part = unquote(self.path).lstrip("/"), self.headers.get("Range")
                web.asked.append((key, part))
                file = web.folder / key
                status = next((s for k, s in web.status.items() if key.startswith(k)), 200)
                if status == 200 and not file.is_file():
                    status = 404
                body = file.read_bytes() if status == 200 else b""
                self.send_response(206 if part and body and web.ranges else status)
                if body:
                    self.send_header("ETag", f'"{file.stat().st_mtime_ns}"')
                if part and body and web.ranges:
                    first, last = part.removeprefix("bytes=").split("-")
                    start = int(first) if first else max(0, len(body) - int(last))
                    stop = min(int(last) + 1, len(body)) if first and last else len(body)
                    self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(body)}")
                    body = body[start:stop]
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def publish(self, path: Path) -> str:
        return f"{self.address}/{path.relative_to(self.folder)}"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    pytest.importorskip("obstore", reason="obstore is not installed: scimage[remote]")
    server = Web(tmp_path)
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    pytest.importorskip("obstore", reason="obstore is not installed: scimage[remote]")
    pytest.importorskip("boto3", reason="boto3 is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed: moto[server]")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bucket that the environment gives access to."""
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    remote._client.cache_clear()
    made = boto3.resource("s3", region_name="us-east-1").Bucket("stacks")
    made.create()
    yield made
    made.objects.all().delete()
    made.delete()


def upload(bucket: Any, path: Path) -> str:
    for file in path.rglob("*"):
        if file.is_file():
            bucket.upload_file(str(file), f"lab/{file.relative_to(path.parent)}")
    return f"s3://{bucket.name}/lab/{path.name}"


@pytest.fixture(params=["http", "s3"])
def publish(request: pytest.FixtureRequest) -> Publish:
    """Put a folder where it has an address."""
    if request.param == "http":
        web: Web = request.getfixturevalue("web")
        return web.publish
    bucket = request.getfixturevalue("bucket")
    return lambda path: upload(bucket, path)


def refuse(address: str, kind: type[ScimageError], match: str) -> ScimageError:
    """Check that opening or reading fails on one line that names the address."""
    with pytest.raises(kind, match=match) as caught:
        open_image(address).read(0)
    error = caught.value
    assert "\n" not in str(error)
    assert address in error.subject
    assert all((error.found, error.expected, error.remedy))
    return error


@pytest.mark.usefixtures("tiny_shards")
def test_a_sharded_image_is_read_as_from_a_folder(
    tmp_path: Path, write: Any, ramp: Any, publish: Publish
) -> None:
    path = write(tmp_path / "m01.ome.zarr", ramp((2, 16, 40, 48)))
    local, there = open_image(path), open_image(publish(path))
    assert there.name == local.name == "m01"
    assert there.path.endswith("/m01.ome.zarr")
    assert "://" in there.path
    assert len(there.levels) > 1
    for attribute in ("shape", "dtype", "channels", "levels", "spacing_um", "spacing_origin"):
        assert getattr(there, attribute) == getattr(local, attribute)
    for level in range(len(there.levels)):
        np.testing.assert_array_equal(there.read("stain1", level=level), local.read(1, level=level))
    region = (slice(3, 13), slice(7, 33), slice(15, 17))
    np.testing.assert_array_equal(there.read(1, region), local.read(1, region))


@pytest.mark.parametrize("compressor", [None, numcodecs.Blosc("lz4"), numcodecs.Zstd()])
def test_an_image_of_version_04_is_read_as_from_a_folder(
    tmp_path: Path, foreign: Any, ramp: Any, publish: Publish, compressor: Any
) -> None:
    levels = [ramp((2, 5, 20, 22)), ramp((2, 5, 10, 11))]
    path = foreign(tmp_path / "i.zarr", levels, "czyx", omero=["a", "b"], compressors=compressor)
    image = open_image(f"{publish(path)}/")
    assert image.metadata.version == "0.4"
    assert [c.name for c in image.channels] == ["a", "b"]
    for level, expected in enumerate(levels):
        np.testing.assert_array_equal(image.read("b", level=level), expected[1])
    region = (slice(1, 4), slice(7, 17), slice(8, 9))
    np.testing.assert_array_equal(image.read(0, region), levels[0][0][region])


def test_a_real_image_of_version_04_is_read_as_from_a_folder(data_dir: Path) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed: scimage[remote]")
    path = data_dir / "ome_zarr" / "fractal_cardio_v04.zarr"
    web = Web(path.parent)
    local, there = open_image(path), open_image(web.publish(path))
    assert there.levels == local.levels
    level = len(local.levels) - 1
    for channel in range(len(local.channels)):
        np.testing.assert_array_equal(
            there.read(channel, level=level), local.read(channel, level=level)
        )
    web.server.shutdown()
    web.server.server_close()


def test_a_chunk_that_another_program_left_out_is_background(
    tmp_path: Path, foreign: Any, ramp: Any, publish: Publish
) -> None:
    array = ramp((4, 8, 16))
    path = foreign(tmp_path / "i.zarr", array, "zyx")
    (path / "0" / "0.0.1").unlink()
    array[:, :, 8:] = 0
    np.testing.assert_array_equal(open_image(publish(path)).read(0), array)


@pytest.mark.usefixtures("tiny_shards")
def test_opening_and_reading_take_few_requests(
    tmp_path: Path, write: Any, ramp: Any, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_FRESH_S", 1e9)
    image = open_image(web.publish(write(tmp_path / "i.ome.zarr", ramp((1, 16, 32, 32)))))
    # The group, and each level.
    assert len(web.asked) == 1 + len(image.levels)
    web.asked.clear()
    image.read(0, (slice(0, 8), slice(0, 8), slice(0, 8)))
    # The index of the shard, and the chunk.
    assert [(key, part is None) for key, part in web.asked] == [
        ("i.ome.zarr/0/c/0/0/0/0", False),
        ("i.ome.zarr/0/c/0/0/0/0", False),
    ]


@pytest.mark.usefixtures("tiny_shards")
def test_a_volume_travels_as_a_name_to_another_process(
    tmp_path: Path, write: Any, ramp: Any, bucket: Any
) -> None:
    array = ramp((2, 8, 32, 32))
    volume = open_image(upload(bucket, write(tmp_path / "i.ome.zarr", array))).volume(1)
    sent = pickle.dumps(volume)
    assert SECRET.encode() not in sent
    script = (
        "import pickle, sys; v = pickle.load(sys.stdin.buffer);"
        "a = v.read((slice(0, 8), slice(0, 32), slice(0, 32)));"
        "sys.stdout.buffer.write(pickle.dumps(a))"
    )
    read = subprocess.run(
        [sys.executable, "-c", script], input=sent, stdout=subprocess.PIPE, check=True
    )
    np.testing.assert_array_equal(pickle.loads(read.stdout), array[1])


@pytest.mark.usefixtures("tiny_shards")
def test_a_shard_that_was_lost_is_an_error(
    tmp_path: Path, write: Any, ramp: Any, publish: Publish
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((1, 8, 32, 32)))
    (path / "0" / "c" / "0" / "0" / "1" / "0").unlink()
    address = publish(path)
    refuse(address, FormatError, r"unreadable pixels at 0, 0:8, 0:32, 0:32 \(c/0/0/1/0 was lost\)")
    open_image(address).read(0, (slice(0, 8), slice(0, 16), slice(0, 32)))


@pytest.mark.usefixtures("tiny_shards")
def test_a_corrupt_shard_is_an_error(
    tmp_path: Path, write: Any, ramp: Any, publish: Publish
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((1, 8, 32, 32)))
    shard = path / "0" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-50])
    refuse(publish(path), FormatError, r"i\.ome\.zarr/0: unreadable pixels at 0, 0:8, 0:32, 0:32")


def test_a_chunk_that_is_cut_off_is_an_error(
    tmp_path: Path, foreign: Any, ramp: Any, publish: Publish
) -> None:
    blosc = numcodecs.Blosc("lz4")
    path = foreign(tmp_path / "i.zarr", ramp((4, 8, 16)), "zyx", compressors=blosc)
    chunk = path / "0" / "0.0.1"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    refuse(publish(path), FormatError, r"unreadable pixels .*chunk 0\.0\.1 is cut off")


def test_what_is_not_there_is_named(tmp_path: Path, publish: Publish, foreign: Any) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    address = publish(tmp_path / "empty")
    refuse(address, FormatError, r"no Zarr group; expected an OME-Zarr image\. Check the address")
    path = foreign(tmp_path / "i.zarr", np.zeros((4, 8, 8), "u1"), "zyx")
    shutil.rmtree(path / "0")
    refuse(publish(path), FormatError, r"i\.zarr/0: no Zarr array; expected the array that")


def test_a_bucket_that_does_not_exist_is_named(bucket: Any) -> None:
    refuse("s3://no-such-bucket/i.zarr", FormatError, "no such bucket; expected an OME-Zarr image")


@pytest.mark.parametrize("status", [401, 403])
def test_lack_of_access_is_named(web: Web, status: int) -> None:
    web.status["i.zarr"] = status
    refuse(
        f"{web.address}/i.zarr",
        StorageError,
        rf"no access \({status} \w+\); expected .* credentials in the environment",
    )


def test_lack_of_credentials_is_named(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    bucket.put_object(Key="private.zarr/zarr.json", Body=b"{}")
    address = f"s3://{bucket.name}/private.zarr"
    refuse(address, StorageError, r"no access \(403 Forbidden\).* AWS_SKIP_SIGNATURE=true")


def test_files_that_are_not_there_may_be_denied(
    tmp_path: Path, foreign: Any, ramp: Any, web: Web
) -> None:
    """A bucket that may not be listed denies access to files that it does not have."""
    array = ramp((4, 8, 8))
    path = foreign(tmp_path / "i.zarr", array, "zyx")
    web.status = {"i.zarr/zarr.json": 403, "i.zarr/0/zarr.json": 403}
    np.testing.assert_array_equal(open_image(web.publish(path)).read(0), array)


@pytest.mark.usefixtures("tiny_shards")
def test_a_server_that_fails_is_not_called_a_damaged_file(
    tmp_path: Path, write: Any, ramp: Any, web: Web
) -> None:
    address = web.publish(write(tmp_path / "i.zarr", ramp((1, 8, 32, 32))))
    web.status["i.zarr/0/c"] = 503
    refuse(address, StorageError, r"i\.zarr/0: reading failed \(503 Service Unavailable\)")
    web.status["i.zarr/0/c"] = 403
    refuse(address, StorageError, r"i\.zarr/0: no access \(403 Forbidden\)")
    web.status.clear()
    web.ranges = False
    with pytest.raises(StorageError, match=r"i\.zarr/0: a server that does not send parts of"):
        open_image(address).read(0, (slice(0, 8), slice(0, 8), slice(0, 8)))


def test_no_server_is_named() -> None:
    pytest.importorskip("obstore", reason="obstore is not installed: scimage[remote]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/i.zarr"
    refuse(address, StorageError, "reading failed .*; expected an address that answers.*network")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_unsafe_codec_is_refused_before_it_is_loaded(
    tmp_path: Path,
    foreign: Any,
    ramp: Any,
    publish: Publish,
    version: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx", version=version)
    file = path / "0" / (".zarray" if version == "0.4" else "zarr.json")
    changes = {"filters": [{"id": "pickle"}], "codecs": [{"name": "numcodecs.pickle"}]}
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    monkeypatch.setattr(zarr.Array, "from_dict", lambda *_: pytest.fail("opened by zarr"))
    refuse(publish(path), FormatError, r"i\.zarr/0: codec pickle; expected one of blosc")


@pytest.mark.parametrize(
    "inside", ["../x", "/x", "..", "https://evil.example/x", "%2e%2e/x", "a//.."]
)
def test_an_array_path_does_not_leave_the_store(
    tmp_path: Path, foreign: Any, ramp: Any, web: Web, inside: str
) -> None:
    foreign(tmp_path / "x", ramp((4, 8, 8)), "zyx")
    path = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx")
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = inside
    (path / ".zattrs").write_text(json.dumps(attributes))
    refuse(web.publish(path), FormatError, "leaves the store|no Zarr array|invalid NGFF .*path")
    assert all(key.startswith("i.zarr/") for key, _ in web.asked)


@pytest.mark.parametrize("text", ["", "[]", "null", "\xff", "[" * 100_000])
@pytest.mark.parametrize("which", [".zgroup", ".zattrs", "0/.zarray", "zarr.json", "0/zarr.json"])
def test_broken_metadata_are_named(
    tmp_path: Path, foreign: Any, ramp: Any, web: Web, which: str, text: str
) -> None:
    version = "0.5" if which.endswith("zarr.json") else "0.4"
    path = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx", version=version)
    (path / which).write_text(text, encoding="latin-1")
    if which == ".zgroup" and text in ("[]", "null"):
        open_image(web.publish(path))  # Its content says nothing that is needed.
    else:
        refuse(web.publish(path), FormatError, r"i\.zarr")


def test_huge_metadata_are_refused(
    tmp_path: Path, foreign: Any, ramp: Any, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_METADATA_BYTES", 1000)
    path = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx")
    (path / ".zattrs").write_text((path / ".zattrs").read_text() + " " * 1000)
    refuse(
        web.publish(path), FormatError, r"\.zattrs: metadata of \d+ bytes; expected at most 1000"
    )


@pytest.mark.parametrize(
    "address",
    [
        f"https://someone:{SECRET}@example.org/i.zarr",
        f"https://{SECRET}@example.org/i.zarr",
        f"s3://key:{SECRET}@bucket/i.zarr",
        f"https://someone:{SECRET}/x@example.org/i.zarr",
        f"https://example.org/i.zarr?X-Amz-Signature={SECRET}",
        f"az://container/i.zarr?sig={SECRET}",
        f"https://example.org/i.zarr#{SECRET}",
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_secrets_in_an_address_are_refused_and_not_repeated(kind: Any, address: str) -> None:
    with pytest.raises(UsageError, match="environment variables") as caught:
        open_image(kind(address))
    assert SECRET not in repr(vars(caught.value)) + str(caught.value)


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("ftp://example.org/i.zarr", "ftp://example.org/i.zarr: an address of kind ftp; expected"),
        ("file:///data/i.zarr", "an address of kind file; expected one of s3://, gs://"),
        ("https://", "an address that names no folder"),
        ("https://example.org/a/../i.zarr", r"names no folder.*Write it without '\.\.'"),
        ("https://example.org/a/%2e%2e/i.zarr", r"names no folder.*Write it without '\.\.'"),
    ],
)
def test_addresses_that_cannot_be_opened_are_refused(address: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        open_image(address)


def test_an_address_without_the_client_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("obstore", "obstore.store", "obstore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    address = "https://example.org/without-obstore.zarr"
    install = r"an address; expected obstore, .* Install it: pip install 'scimage\[remote\]'"
    with pytest.raises(UsageError, match=f"{re.escape(address)}: {install}"):
        open_image(address)


def test_the_client_is_not_loaded_before_an_address_is_opened(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    path = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx")
    script = (
        f"import sys; from scimage.image import open_image; open_image({str(path)!r}).read(0);"
        "sys.exit('obstore' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://b/i.zarr", True),
        ("S3://b/i.zarr", True),
        ("https://example.org/i.zarr", True),
        (Path("https://example.org/i.zarr"), True),
        ("ftp://example.org/i.zarr", True),
        ("i.zarr", False),
        ("/data/i.zarr", False),
        ("C:/data/i.zarr", False),
        ("C:\\data\\i.zarr", False),
        ("a::b #1.zarr", False),
        ("/data/s3://b", False),
        ("./s3:/b", False),
    ],
)
def test_addresses_are_told_from_paths(path: str | Path, expected: bool) -> None:
    assert is_address(path) is expected


def test_writing_to_an_address_is_refused(tmp_path: Path, foreign: Any, ramp: Any) -> None:
    match = "s3://b/i.zarr: an address, where scimage only reads; expected a local folder.*--output"
    with pytest.raises(UsageError, match=match):
        refuse_address("s3://b/i.zarr")
    source = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx")
    with pytest.raises(UsageError, match=match):
        convert(source, "s3://b/i.zarr")
    refuse_address(tmp_path)


def test_a_path_object_and_a_name_with_spaces_are_the_same_image(
    tmp_path: Path, foreign: Any, ramp: Any, web: Web
) -> None:
    array = ramp((4, 8, 8))
    foreign(tmp_path / "m 01 ä.ome.zarr", array, "zyx")
    for address in (
        f"{web.address}/m 01 ä.ome.zarr",
        f"{web.address}/m%2001%20%C3%A4.ome.zarr",
        Path(f"{web.address}/m 01 ä.ome.zarr"),
    ):
        image = open_image(address)
        assert image.name == "m 01 ä"
        np.testing.assert_array_equal(image.read(0), array)


def test_an_image_can_be_converted_from_its_address(
    tmp_path: Path, foreign: Any, ramp: Any, publish: Publish
) -> None:
    array = ramp((4, 8, 8))
    address = publish(foreign(tmp_path / "i.zarr", array, "zyx"))
    image = convert(address, tmp_path / "copy.ome.zarr")
    assert image.metadata.version == "0.5"
    np.testing.assert_array_equal(image.read(0), array)


def test_an_image_that_was_replaced_is_opened_anew(
    tmp_path: Path, foreign: Any, ramp: Any, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = ramp((4, 8, 8), seed=1), ramp((4, 8, 8), "uint8", seed=2)
    path = foreign(tmp_path / "i.zarr", old, "zyx")
    image = open_image(publish(path))
    np.testing.assert_array_equal(image.read(0), old)
    shutil.rmtree(path)
    address = publish(foreign(path, new, "zyx"))
    np.testing.assert_array_equal(open_image(address).read(0), new)
    shutil.rmtree(path)
    publish(foreign(path, ramp((4, 7, 7)), "zyx"))
    # A process that does not open it again sees it a little later.
    monkeypatch.setattr(remote.time, "monotonic", lambda: 1e9)
    with pytest.raises(FormatError, match="replaced since the image was opened"):
        image.volume(0).read((slice(0, 4), slice(0, 8), slice(0, 8)))


@pytest.mark.usefixtures("tiny_shards")
def test_the_state_of_an_image_in_a_bucket_changes_with_its_pixels(
    tmp_path: Path, write: Any, ramp: Any, bucket: Any
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((1, 8, 32, 32)))
    image = open_image(upload(bucket, path))
    states = [image.state(level) for level in range(2)]
    assert json.loads(json.dumps(states)) == states
    assert states[0] != states[1]
    upload(bucket, path)
    assert [image.state(level) for level in range(2)] == states
    bucket.put_object(Key="lab/i.ome.zarr/0/c/0/0/0/0", Body=b"other")
    assert image.state(0) != states[0]
    assert image.state(1) == states[1]


def test_the_state_of_an_image_on_a_web_server_changes_with_its_metadata(
    tmp_path: Path, foreign: Any, ramp: Any, web: Web
) -> None:
    path = foreign(tmp_path / "i.zarr", [ramp((4, 8, 8)), ramp((4, 4, 4))], "zyx")
    image = open_image(web.publish(path))
    states = [image.state(level) for level in range(2)]
    assert json.loads(json.dumps(states)) == states
    content = (path / "0" / ".zarray").read_bytes()
    (path / "0" / ".zarray").write_bytes(content)
    assert image.state(0) != states[0]
    assert image.state(1) == states[1]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_state_of_a_local_image_changes_with_its_files(
    tmp_path: Path, foreign: Any, ramp: Any, version: str
) -> None:
    path = foreign(tmp_path / "i.zarr", [ramp((4, 8, 16))] * 2, "zyx", version=version)
    image = open_image(path)
    states = [image.state(level) for level in range(2)]
    assert json.loads(json.dumps(states)) == states
    chunk = path / "0" / ("0.0.1" if version == "0.4" else "c/0/0/1")
    chunk.write_bytes(chunk.read_bytes())
    assert image.state(0) != states[0]
    assert image.state(1) == states[1]
    chunk.unlink()
    assert image.state(0) != states[0]
    attributes = next(f for f in (path / ".zattrs", path / "zarr.json") if f.exists())
    attributes.write_bytes(attributes.read_bytes())
    assert image.state(1) != states[1]
    with pytest.raises(UsageError, match="no pyramid level 2"):
        image.state(2)
