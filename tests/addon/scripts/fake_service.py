# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that plays back a clip file without any process, and can be told to misbehave."""

import threading
import time
from pathlib import Path

from exomni_core.clip import load_face
from exomni_core.errors import EnvironmentProblem, WorkerError


class FakeProcess:
    def __init__(self):
        self.dead = False

    @property
    def is_alive(self):
        return not self.dead

    @property
    def process(self):
        return self

    def poll(self):
        return 1 if self.dead else None

    def stop(self):
        self.dead = True


class FakeEvents:
    def __init__(self, service):
        self.service, self.sent, self.closed = service, 0, False

    def poll(self):
        return self.service.next_events(self)

    def close(self):
        self.closed = True


class FakeClient:
    """Says what ServiceClient says. mood: `good`, `fails`, `dies`, `hangs` or `refuses`."""

    def __init__(self, clip: Path, mood="good", pieces=6, pause_s=0.0):
        self.clip, self.mood, self.pieces, self.pause_s = clip, mood, pieces, pause_s
        self.process = FakeProcess()
        self.cancelled = threading.Event()
        self.prompts = []
        self.uploads = []

    def health(self):
        if self.mood == "refuses":
            raise EnvironmentProblem("the engine process speaks protocol 9, this one 1; update it")
        return {"service": "exomni", "protocol": 1}

    def upload(self, path):
        self.uploads.append(path)
        return "upload-1"

    def start(self, prompt, engine, stream=True, options=None):
        if self.process.dead:
            raise WorkerError("the engine process does not answer")
        self.prompts.append((prompt, engine, stream))
        return "1"

    def events(self, job):
        return FakeEvents(self)

    def cancel(self, job):
        self.cancelled.set()

    def record(self):
        if self.mood == "deaf":
            raise EnvironmentProblem("there is no microphone; connect one")

    def recorded(self):
        return "upload-2"

    def clip_bytes(self, job):
        return self.clip.read_bytes()

    def next_events(self, events):
        time.sleep(self.pause_s)
        number, events.sent = events.sent, events.sent + 1
        if self.cancelled.is_set():
            return [{"event": "cancelled"}]
        if number == 0:
            return [{"event": "queued", "place": 0}, {"event": "started"}]
        if self.mood == "fails" and number == 3:
            return [{"event": "failed", "error": "the voice xx is unknown; choose another"}]
        if self.mood == "dies" and number == 3:
            self.process.dead = True
            return []
        if self.mood == "hangs" and number > 2:
            return []
        if number <= self.pieces:
            face = load_face(self.clip)
            step = -(-len(face.weights) // self.pieces)
            rows = face.weights[(number - 1) * step : number * step]
            start = (number - 1) * step / face.fps
            done = {"event": "progress", "stage": "face", "done": number / self.pieces}
            return [done, {"event": "chunk", "start_s": start, "fps": face.fps, "rows": rows}]
        return [{"event": "done"}]


def use(session_module, client):
    """Let the add-on's session talk to `client` from now on."""
    from blender_addon.service import Service

    session = session_module.session
    session.close()
    session.is_error, session.status = False, ""

    def connect(request):
        service = Service(client, client.process)
        client.health()
        return service

    session.connect = connect
    return session
