"""`dinar serve`: the API with a stub for the work, bad and hostile requests, killed workers, restarts; the page in
Chromium with a real photo."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
import uvicorn
from starlette.testclient import TestClient

import toy_job
from browser import MINUTES, browse, needs_browser
from dinar.avatar import Avatar
from dinar.body.readers import load_motion
from dinar.cli import main
from dinar.pool import Failure, Server
from dinar.web import app as app_module
from dinar.web import jobs as jobs_module
from dinar.web import page, work
from dinar.web.app import MAX_PHOTOS, web_app
from dinar.web.jobs import Jobs, display_name
from dinar.web.neural import neural_file

PNG = b"\x89PNG\r\n\x1a\n"


class Inline:
    """The worker's interface without a process; "hold" in a photo waits until it is stopped."""

    def __init__(self, work, threads):
        self.work, self.stopped = work, threading.Event()

    def run(self, folder, seconds):
        photo = (folder / "photo-1").read_bytes()
        if b"hold" in photo:
            self.stopped.wait(20)
            return Failure("its process was killed")
        if b"bad" in photo:
            return Failure(f"{folder / 'photo-1'} is not an image that dinar reads")
        return self.work(folder)

    def stop(self):
        self.stopped.set()


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, "Server", Inline)
    found = Jobs(tmp_path / "jobs", toy_job.work)
    yield found
    found.close()


@pytest.fixture
def client(jobs):
    return TestClient(web_app(jobs), base_url="http://127.0.0.1:8000")


def post(client, *photos: bytes, name="me.png", **more):
    return client.post("/api/jobs", files=[("photos", (name, p)) for p in photos], **more)


def until(client, id, *states):
    for _ in range(1000):
        if (job := client.get(f"/api/jobs/{id}").json())["state"] in states:
            return job
        time.sleep(0.02)
    raise AssertionError(job)


def test_photo_to_files_and_delete(client, jobs):
    job = post(client, PNG, b"back", name="C:\\me\\../Ann.jpeg").json()
    assert job["name"] == "Ann" and job["photos"] == 2
    job = until(client, job["id"], "done")
    assert job["files"] == ["me.glb"]
    assert client.get(f"/api/jobs/{job['id']}/files/me.glb").content == b"glTF"
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert client.get(f"/api/jobs/{job['id']}").status_code == 404
    assert not list(jobs.folder.iterdir())


def test_person_is_asked_for_and_chosen(client):
    job = until(client, post(client, b"two people").json()["id"], "choose")
    path = f"/api/jobs/{job['id']}/person"
    assert [p["person"] for p in job["people"]] == [1, 3]
    assert client.post(path, params={"person": 2}).status_code == 409
    assert "person" in client.post(path, params={"person": "x"}).json()["detail"]
    assert client.post(path, params={"person": 3}).status_code == 200
    assert until(client, job["id"], "done")["person"] == 3


def test_a_video_adds_a_motion_to_a_job_that_is_done(client, jobs):
    def film(id, clip=b"a dance", field="clip"):
        return client.post(f"/api/jobs/{id}/motion", files={field: ("dance.mp4", clip)})

    id = until(client, post(client, PNG).json()["id"], "done")["id"]
    for clip, error in ((b"a dance", ""), (b"empty", "no person in it")):
        assert film(id, clip).json()["state"] in ("waiting", "running", "done")
        job = until(client, id, "done")
        assert job["error"] == error and job["files"] == ["me.glb"]  # the avatar stays
    assert film(id, field="photo").status_code == 422 and film("0" * 32).status_code == 404
    held = post(client, b"hold").json()["id"]
    assert film(held).status_code == 409
    client.delete(f"/api/jobs/{held}")


def test_motion_of_a_video_is_one_of_the_viewers(avatar: Avatar, tmp_path, monkeypatch):
    avatar.save(tmp_path / "me.avatar")
    (tmp_path / work.CLIP).write_bytes(b"x")
    monkeypatch.setattr(work, "filmed_motion", lambda *_: load_motion("wave").resampled(4))
    assert work.make(tmp_path) == {"state": "done"} and not (tmp_path / work.CLIP).exists()
    (clip,) = work.films(tmp_path)
    assert clip.name == "video_1" and clip.fps == 4 and b'"video_1"' in (tmp_path / "me.glb").read_bytes()


def test_reason_of_failure_names_no_folder(client, jobs):
    job = until(client, post(client, b"bad").json()["id"], "failed")
    assert job["error"] == "photo-1 is not an image that dinar reads"


def test_jobs_survive_a_restart(client, jobs, monkeypatch):
    done = until(client, post(client, PNG).json()["id"], "done")
    held = post(client, b"hold").json()["id"]
    waiting = post(client, b"bad").json()["id"]
    until(client, held, "running")
    (jobs.folder / "0123").mkdir()
    (jobs.folder / ("f" * 32)).mkdir()  # nobody's
    jobs.close()
    (jobs.folder / held / "photo-1").write_bytes(PNG)
    again = Jobs(jobs.folder, toy_job.work)
    client = TestClient(web_app(again), base_url="http://localhost")
    assert client.get(f"/api/jobs/{done['id']}").json() == done
    assert until(client, held, "done") and until(client, waiting, "failed")
    assert client.get(f"/api/jobs/{'f' * 32}").status_code == 404
    again.close()


def test_deleting_a_running_job_ends_it(client, jobs):
    held = post(client, b"hold").json()["id"]
    until(client, held, "running")
    client.delete(f"/api/jobs/{held}")
    assert client.get(f"/api/jobs/{held}").status_code == 404
    until(client, post(client, PNG).json()["id"], "done")  # the queue goes on
    assert not (jobs.folder / held).exists()


@pytest.mark.parametrize(("request_", "status", "expect"), [
    ({}, 422, "got none"),
    ({"files": [("photos", ("a", b"x"))] * (MAX_PHOTOS + 1)}, 400, "Too many files"),
    ({"files": [("photos", ("a", b"x"))] * 200}, 400, "Too many files"),
    ({"data": {"photos": "http://127.0.0.1/secret.jpg"}}, 422, "got none"),
    ({"content": b"{}", "headers": {"Content-Type": "application/json"}}, 422, "got none"),
    ({"content": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422, "got none"),
    ({"content": b"x", "headers": {"Content-Length": str(10**12)}}, 413, "expected at most"),
    ({"content": b"x", "headers": {"Content-Length": "-1"}}, 413, "expected at most"),
    ({"files": [("photos", ("a", b"x"))], "headers": {"Origin": "http://evil.example"}}, 403, "other sites"),
    ({"files": [("photos", ("a", b"x"))], "headers": {"Origin": "null"}}, 403, "other sites"),
    ({"files": [("photos", ("a", b"x"))], "headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "other sites"),
    ({"files": [("photos", ("a", b"x"))], "headers": {"Host": "rebound.example"}}, 400, "this computer alone"),
])  # fmt: skip
def test_bad_uploads_are_refused(client, jobs, request_, status, expect):
    answer = client.post("/api/jobs", **request_)
    assert answer.status_code == status and expect in answer.json()["detail"]
    assert not list(jobs.folder.iterdir())


def test_large_photos_are_refused(client, jobs, monkeypatch):
    monkeypatch.setattr(app_module, "MAX_PHOTO", 1000)
    assert post(client, b"x" * 1001).status_code == 413
    assert not list(jobs.folder.iterdir())


def test_counted_body_is_cut_at_the_limit(jobs):
    small = web_app(jobs)
    small.limit = 100
    form = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a"\r\n\r\n' + b"y" * 500 + b"\r\n--x--\r\n"
    answer = TestClient(small, base_url="http://localhost").post(
        "/api/jobs", content=iter([form]), headers={"Content-Type": "multipart/form-data; boundary=x"})  # fmt: skip
    assert answer.status_code == 413


@pytest.mark.parametrize("path", [
    "/api/jobs", "/api/jobs/", "/api/jobs/x", "/api/jobs/%2e%2e", "/api/jobs/../../etc/passwd", "/api/jobs/%00",
    "/api/jobs/{id}/files/job.json", "/api/jobs/{id}/files/photo-1", "/api/jobs/{id}/files/..%2fjob.json",
    "/api/jobs/{id}/files/%2e%2e%2f%2e%2e%2fsecret", "/api/jobs/{id}/files/me.vrm",
    "/api/jobs/{id}%2f..%2f{id}/files/me.glb",
    "/page/app.py", "/page/..%2fapp.py", "/page/%2e%2e%2f%2e%2e%2fcli.py", "/page/three.min.js%00", "//etc/passwd",
])  # fmt: skip
def test_other_files_are_not_served(client, jobs, path):
    job = until(client, post(client, PNG).json()["id"], "done")
    (jobs.folder / "secret").write_text("secret")
    answer = client.get(path.replace("{id}", job["id"]))
    assert answer.status_code in (404, 405, 422) and "secret" not in answer.text and "detail" in answer.json()


def test_token(jobs):
    client = TestClient(web_app(jobs, "right"), base_url="http://10.0.0.1:8000", follow_redirects=False)
    for path in ("/", "/page/style.css", "/api/jobs/x", "/openapi.json"):
        for more in ({}, {"headers": {"Authorization": "Bearer wrong"}}, {"params": {"token": ""}}):
            assert client.get(path, **more).status_code == 401
    assert client.get("/", headers={"Authorization": "Bearer right"}).status_code == 200
    answer = client.get("/?token=right")
    assert answer.status_code == 303 and "HttpOnly" in answer.headers["set-cookie"]
    assert client.get("/").status_code == 200 and post(client, PNG).status_code == 201  # by the cookie


def test_full_disk_and_full_queue(client, jobs, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(shutil, "copyfileobj", no_space)
        assert post(client, PNG).status_code == 507
    with monkeypatch.context() as m:
        m.setattr(jobs_module, "MIN_FREE", 1 << 60)
        assert post(client, PNG).status_code == 503
    monkeypatch.setattr(jobs_module, "MAX_WAITING", 0)
    answer = post(client, PNG)
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert not list(jobs.folder.iterdir())


def test_pages_and_openapi(client):
    for path in ("/", "/docs"):
        page = client.get(path)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff" and "http" not in page.text
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths["/api/jobs/{id}"]) == {"get", "delete"}
    assert "multipart/form-data" in json.dumps(paths["/api/jobs"]["post"])


@pytest.mark.parametrize(("given", "name"), [
    ("me.jpg", "me"), ("/etc/passwd", "passwd"), ("..", "avatar"), ("", "avatar"), ("a\nb.png", "a\\nb"),
    ("x" * 500 + ".jpg", 60),
])  # fmt: skip
def test_names_of_files_are_no_paths(given, name):
    assert len(display_name(given)) == name if isinstance(name, int) else display_name(given) == name


def test_killed_worker_costs_one_job_and_stays_no_process():
    server = Server(toy_job.kill_or_double)
    try:
        first = server.run(0)
        assert isinstance(first, Failure) and "SIGKILL" in first.reason if os.name == "posix" else first
        assert server.run(3) == 6
        slow = server.run(60, seconds=0.2)
        assert isinstance(slow, Failure) and "longer" in slow.reason
    finally:
        server.stop()


def test_make_writes_all_files(neural_avatar: Avatar, demo_photo: Path, tmp_path, monkeypatch):
    def create(photos, person, renderer, progress, found):
        found(neural_avatar.work.subjects, [])
        progress("fitting the body")
        found(neural_avatar.work.subjects, neural_avatar.work.fits)
        return neural_avatar

    monkeypatch.setattr(work, "create", create)
    monkeypatch.setattr(work, "WALK", 64)
    monkeypatch.setattr(work, "ALIVE_FPS", 1)
    (tmp_path / "photo-1").write_bytes(demo_photo.read_bytes())
    (tmp_path / "job.json").write_text("{}")
    assert work.make(tmp_path) == {"state": "done"}
    assert {p.name for p in tmp_path.iterdir()} == {*work.FILES, "photo-1", "job.json", work.PROGRESS}
    assert all((tmp_path / n).stat().st_size > 100 for n in work.FILES)
    assert Avatar.load(tmp_path / "me.avatar").neural is None


def test_people_of_a_photo_are_offered(demo_photo: Path, pose_network, tmp_path):
    import numpy as np
    from PIL import Image

    one = np.asarray(Image.open(demo_photo).convert("RGB"))
    Image.fromarray(np.hstack([one, one])).save(tmp_path / "photo-1.png")
    people = work.offered(tmp_path / "photo-1.png", tmp_path)
    assert [p["person"] for p in people] == [1, 2] and (tmp_path / "photo.jpg").exists()
    assert people[0]["box"][2] < people[1]["box"][2] <= 1
    assert len(work.offered(demo_photo, tmp_path)) == 1


def test_serve_says_what_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(SystemExit):
        main(["serve", "--out", str(tmp_path / "x")])
    assert "pip install 'dinar[web]'" in capsys.readouterr().err and not (tmp_path / "x").exists()


COVERED = """(async () => {
  while (dinar.viewer.neuralFrames < 1) await new Promise((later) => setTimeout(later, 100));
  const { width, height, rgba } = await dinar.viewer.neuralPicture(128, 128);
  return rgba.filter((v, i) => i % 4 === 3 && v > 128).length / 128 / 128;
})()"""


@needs_browser
def test_the_page_draws_a_job_with_its_networks(neural_avatar: Avatar, tmp_path):
    id, folder = 32 * "a", tmp_path / "jobs" / (32 * "a")
    folder.mkdir(parents=True)
    seen, picture = page.photo_view(neural_avatar, neural_avatar.work.subjects[0].rgb)
    job = {"id": id, "name": "me", "photos": 1, "created": 1.0, "state": "done"}
    for name, content in (("job.json", job), ("photo.json", seen)):
        (folder / name).write_text(json.dumps(content))
    (folder / "photo.jpg").write_bytes(page.jpeg(picture))
    (folder / "me.glb").write_bytes(page.viewer_glb(neural_avatar))
    (folder / "me.neural").write_bytes(neural_file(neural_avatar) or b"")
    with serving(Jobs(tmp_path / "jobs", toy_job.work, 0)) as address:
        found = browse(tmp_path, f"{address}#{id}", [
            {"wait": "window.dinar"},
            {"click": "text=Neural"},
            {"wait": "!document.querySelector('.scene .hint').innerText.endsWith('…')"},
            {"wait": "dinar.viewer.neuralFrames > 0"},
            {"evaluate": "dinar.viewer.provider"},
            {"evaluate": COVERED},
        ], width=900, height=500)  # fmt: skip
    assert not found["messages"] and found["results"][0] in ("wasm", "webgpu"), found
    assert found["results"][1] > 0.02, found


@contextmanager
def serving(jobs: Jobs) -> Iterator[str]:
    """The address of a server."""
    server = uvicorn.Server(uvicorn.Config(web_app(jobs), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(20)


@needs_browser
@MINUTES
def test_photo_to_avatar_in_chromium(demo_photo: Path, pose_network, tmp_path):
    jobs = Jobs(tmp_path / "jobs", work.make)
    with serving(jobs) as address:
        found = browse(tmp_path, address, [
            {"wait": "document.querySelector('.drop')"},
            {"upload": "input[type=file]", "files": [str(demo_photo)]},
            {"wait": "window.dinar"},
            {"click": "text=Wave"},
            {"wait": "dinar.viewer.frames > 3"},
            {"evaluate": "dinar.viewer.playing"},
            {"wait": "document.querySelectorAll('a.file').length == 6"},
            {"save": "a.file", "to": str(tmp_path / "me.glb")},
            {"click": "text=Neural"},
            {"wait": "dinar.viewer.neuralFrames > 1"},
            {"evaluate": "location.hash.slice(1)"},
        ], width=900, height=500, timeout=300_000)  # fmt: skip
        assert not found["messages"] and found["results"][0] == "wave"
        assert all(r.startswith(address) or r[:5] in ("data:", "blob:") for r in found["requests"])
        assert (tmp_path / "me.glb").read_bytes() == (jobs.folder / found["results"][1] / "me.glb").read_bytes()


@pytest.mark.parametrize("change", [{"created": "now"}, {"created": 10**400}, {"created": float("nan")},
                                    {"people": [1]}, {"people": [{"person": 1, "box": [0, 0, 1]}]}, {"state": "gone"},
                                    {"person": "me"}, {"more": 1}, {"name": None}])  # fmt: skip
def test_jobs_that_cannot_be_are_left_out(tmp_path, change):
    """They stop neither the start of the server nor the jobs beside them."""
    for digit, changed in (("a", {}), ("b", change)):
        job = {"id": 32 * digit, "name": "me", "photos": 1, "created": 1.0, "state": "done"} | changed
        (tmp_path / job["id"]).mkdir()
        (tmp_path / job["id"] / "job.json").write_text(json.dumps(job))
    found = Jobs(tmp_path, toy_job.work, 0)
    assert found.get(32 * "a") is not None and found.get(32 * "b") is None
