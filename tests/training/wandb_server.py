"""A server on this machine that keeps what the client of W&B sends: what a dashboard would have."""

import gzip
import json
import re
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote

ENTITY = "somebody"


class Request(NamedTuple):
    """A question in GraphQL."""

    operation: str
    variables: dict


class Artifact(NamedTuple):
    """A version of an artifact."""

    name: str
    type: str
    aliases: list
    metadata: dict


class OnlineRun:
    """What the server knows of a run."""

    def __init__(self, name):
        self.name = name
        self.asked = []
        """variables of each upsert: name, group, tags, config, ..."""
        self.rows, self.summary, self.printed = [], {}, {}
        self.finished = None

    @property
    def config(self):
        """The configuration, as the client last sent it."""
        sent = [json.loads(one["config"]) for one in self.asked if one.get("config")]
        return {name: field["value"] for name, field in sent[-1].items()}

    def header(self, field):
        """A field of the run: the last that was sent and was not null."""
        return [one[field] for one in self.asked if one.get(field) is not None][-1]

    def take(self, body):
        """Note a message of the stream of files: rows by their place, summary, console."""
        for name, part in body.get("files", {}).items():
            lines, place = part["content"], part["offset"]
            if name == "wandb-history.jsonl":
                assert place == len(self.rows), "rows are sent in order, each once"
                self.rows += [json.loads(line) for line in lines]
            elif name == "wandb-summary.json":
                self.summary = json.loads(lines[-1])
            elif name == "output.log":
                self.printed |= dict(enumerate(lines, place))
        if body.get("complete"):
            self.finished = body["exitcode"]


class Server:
    """Runs, artifacts and files that were sent, and answers to what the client asks."""

    def __init__(self):
        self.runs, self.requests, self.files, self.artifacts = {}, [], {}, {}
        self.sweep, self.commands = "", []
        """a sweep, as YAML, and what its agents are told to run, one after the other"""
        self.committed = []
        """names of the artifacts whose files are all there"""
        self.address = ""
        self.lock = threading.Lock()

    def named(self, operation):
        """The variables of every request of this name."""
        return [one.variables for one in self.requests if one.operation == operation]

    def take(self, path, body):
        """A message to a run's stream: /files/ENTITY/PROJECT/RUN/file_stream."""
        with self.lock:
            self.runs[unquote(path.split("/")[4])].take(body)
        return {}

    def answer(self, query, variables):
        """The data that a question in GraphQL is answered with; nothing, if it is not known."""
        operation = re.search(r"(?:query|mutation)\s+(\w+)", query)[1]
        with self.lock:
            self.requests.append(Request(operation, variables))
            known = getattr(self, re.sub("(?<!^)([A-Z])", r"_\1", operation).lower(), None)
            return known(variables) if known else {"project": None, "model": None}

    def viewer(self, variables):
        """Who is logged in."""
        known = {"entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
        return {"viewer": {"id": "viewer", "teams": {"edges": []}, **known}}

    def run_resume_status(self, variables):
        """What is known of a run that may be resumed."""
        run = self.runs.get(variables["name"])
        return {"model": None if run is None else {**self._project(), "bucket": self._bucket(run)}}

    def upsert_bucket(self, variables):
        """Make a run, or change it."""
        run = self.runs.setdefault(variables["name"], OnlineRun(variables["name"]))
        new = not run.asked
        run.asked.append(variables)
        bucket = {**self._bucket(run), "project": self._project(), "sweepName": None}
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def create_run_files(self, variables):
        """Where the files of a run go."""
        files = [
            {"name": name, "uploadUrl": f"{self.address}/put/{variables['run']}/{name}"}
            for name in variables["files"]
        ]
        return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": files}}

    def artifact_type(self, variables):
        """The type that an artifact of this name has: none has one before it is made."""
        return {"project": None}

    def create_artifact(self, variables):
        """Make a version of an artifact."""
        given, name = variables["input"], f"artifact-{len(self.artifacts)}"
        aliases = [one["alias"] for one in given["aliases"]]
        self.artifacts[name] = Artifact(
            given["artifactCollectionName"],
            given["artifactTypeName"],
            aliases,
            json.loads(given["metadata"] or "{}"),
        )
        made = {"id": name, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": made}}

    def artifact_membership_by_name(self, variables):
        """An artifact that is committed, by NAME:ALIAS."""
        name, alias = variables["name"].split(":")
        found = [
            (key, one)
            for key, one in self.artifacts.items()
            if one.name == name and alias in one.aliases and key in self.committed
        ]
        if not found:
            return {"project": None}
        key, one = found[-1]
        collection = {"__typename": "ArtifactSequence", "name": name, "project": self._project()}
        artifact = {
            "__typename": "Artifact",
            "id": key,
            "artifactSequence": collection,
            "versionIndex": 0,
            "artifactType": {"name": one.type},
            "metadata": json.dumps(one.metadata),
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "state": "COMMITTED",
            "createdAt": "2026-01-01T00:00:00",
        }
        empty = ("description", "historyStep", "commitHash", "updatedAt")
        artifact |= dict.fromkeys(empty) | {"size": 1, "digest": "", "fileCount": 1}
        membership = {"__typename": "ArtifactCollectionMembership", "id": "membership"}
        membership |= {"versionIndex": 0, "createdAt": "2026-01-01T00:00:00", "aliases": []}
        membership |= {"artifactCollection": collection, "artifact": artifact}
        return {"project": {"artifactCollectionMembership": membership}}

    def use_artifact(self, variables):
        """A run says what it goes on from."""
        return {"useArtifact": {"artifact": {"id": variables["artifactID"]}}}

    def create_artifact_manifest(self, variables):
        """Where the list of an artifact's files goes."""
        url = f"{self.address}/put/{variables['artifactID']}/manifest"
        file = {"id": "manifest", "name": "manifest", "uploadUrl": url, "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": "manifest", "file": file}}}

    def create_artifact_files(self, variables):
        """Where the files of an artifact go."""
        edges = []
        for file in variables["input"]["artifactFiles"]:
            url = f"{self.address}/put/{file['artifactID']}/{file['name']}"
            node = {"id": "file", "name": file["name"], "displayName": file["name"]}
            node |= {"uploadUrl": url, "uploadHeaders": [], "storagePath": None}
            node |= {"artifact": {"id": file["artifactID"]}, "uploadMultipartUrls": None}
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def commit_artifact(self, variables):
        """All files of an artifact are there."""
        self.committed.append(variables["artifactID"])
        return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": ""}}}

    def sweep_with_runs(self, variables):
        """A sweep, as its agents ask for it."""
        return {"project": {"sweep": {"id": "sweep", "config": self.sweep, "runs": {"edges": []}}}}

    def create_agent(self, variables):
        """Register an agent of the sweep."""
        return {"createAgent": {"agent": {"id": "agent"}}}

    def heartbeat(self, variables):
        """Tell an agent what to run next, if anything."""
        told, self.commands = self.commands[:1], self.commands[1:]
        found = {"agent": {"id": "agent"}, "commands": json.dumps(told)}
        return {"agentHeartbeat": found}

    def _project(self):
        return {
            "id": "project",
            "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ==",
            "name": "memnets",
            "entity": {"id": "entity", "name": ENTITY},
        }

    def _bucket(self, run):
        config = run.asked[-1]["config"] if run.asked else "{}"
        counts = {"historyLineCount": len(run.rows), "logLineCount": len(run.printed)}
        tail = json.dumps([json.dumps(row) for row in run.rows[-1:]])
        return {
            "id": run.name,
            "name": run.name,
            "displayName": run.name,
            "description": None,
            "config": config,
            "wandbConfig": json.dumps({"t": 1}),
            "summaryMetrics": json.dumps(run.summary),
            "historyTail": tail,
            "eventsTail": "[]",
            "eventsLineCount": 0,
            "tags": [],
            "notes": None,
            **counts,
        }


@contextmanager
def serving():
    """A server on a port of this machine, for as long as the block lasts."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            """Print nothing."""

        def body(self):
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            packed = self.headers.get("Content-Encoding") == "gzip"
            return gzip.decompress(content) if packed else content

        def reply(self, found):
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self):
            body = json.loads(self.body())
            if self.path.endswith("/file_stream"):
                self.reply(server.take(self.path, body))
            else:
                found = server.answer(body["query"], body.get("variables") or {})
                self.reply({"data": found})

        def do_PUT(self):
            with server.lock:
                server.files[unquote(self.path.removeprefix("/put/"))] = self.body()
            self.reply({})

    class Listening(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """The client ends its connections as it likes."""
            if not isinstance(sys.exc_info()[1], ConnectionError):
                failed.append(sys.exc_info()[1])

    failed = []
    listening = Listening(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server.address = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
    assert not failed, failed
