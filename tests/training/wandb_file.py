"""Read back an offline run of W&B: a log of records in blocks of 32 KiB, as in LevelDB."""

import json
import time
import zlib
from pathlib import Path
from typing import NamedTuple

HEADER, BLOCK, PREFIX = 7, 32 * 1024, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class OfflineRun(NamedTuple):
    """The parts of a run that the tests look at."""

    folder: Path
    header: object
    config: dict
    rows: list
    summary: dict
    axes: dict
    exit_code: int | None
    artifacts: list
    """records of W&B, each with its type, name, aliases, metadata and manifest"""
    printed: str


def payloads(content):
    """The bytes of each record, joined from its fragments, with their checksums verified."""
    assert content[:4] == b":W&B"
    position, parts = HEADER, []
    while position + PREFIX <= len(content):
        room = BLOCK - position % BLOCK
        if room < PREFIX:  # too little for a fragment: the rest of the block is padding
            position += room
            continue
        checksum = int.from_bytes(content[position : position + 4], "little")
        size = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        data = content[position + PREFIX : position + PREFIX + size]
        if len(data) < size:  # still being written
            return
        assert zlib.crc32(bytes([kind]) + data) == checksum
        position += PREFIX + size
        parts = [data] if kind in (FULL, FIRST) else [*parts, data]
        if kind in (FULL, LAST):
            yield b"".join(parts)


def values(items):
    """Protobuf items as a flat dictionary, nested keys joined with a slash."""
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def read(folder):
    """The one run in a W&B folder, which has been finished."""
    deadline = time.monotonic() + 30
    # W&B's own process writes the file, a little after finish() has returned.
    while (run := read_so_far(folder)).exit_code is None:
        assert time.monotonic() < deadline, "the run was never finished"
        time.sleep(0.05)
    return run


def read_so_far(folder):
    """The one run in a W&B folder, as far as it is written."""
    from wandb.proto import wandb_internal_pb2

    (path,) = Path(folder).glob("wandb/offline-run-*/run-*.wandb")
    header, exit_code = None, None
    config, rows, summary, axes, artifacts, printed = {}, [], {}, {}, [], []
    for payload in payloads(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            header = record.run
            config |= values(record.run.config.update)
        elif kind == "config":
            config |= values(record.config.update)
        elif kind == "history":
            rows.append(values(record.history.item))
        elif kind == "summary":
            summary |= values(record.summary.update)
        elif kind == "metric":
            axes[record.metric.glob_name or record.metric.name] = record.metric.step_metric
        elif kind == "artifact":
            artifacts.append(record.artifact)
        elif kind == "output_raw":
            printed.append(record.output_raw.line)
        elif kind == "exit":
            exit_code = record.exit.exit_code
    found = (config, rows, summary, axes, exit_code, artifacts, "".join(printed))
    return OfflineRun(path.parent, header, *found)
