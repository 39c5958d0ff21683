"""Takes an uploaded table in without its bytes ever lying on a disk in the clear: they are sealed as they arrive."""

from __future__ import annotations

import tempfile
from typing import Any
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest

from accounts import imports
from core import evidence, sealed_files
from core.requests import DRAIN

HEAD = 8  # bytes that say what kind of file it is


class SealedUpload(UploadedFile):
    """A file that was sealed on arrival. What lies in it is read by nobody but the worker."""

    def __init__(self, name: str, head: bytes, sealer: sealed_files.Sealer, spool: Any):
        super().__init__(file=spool, name=name, size=sealer.size)
        self.head, self._sealer, self._spool = head, sealer, spool

    def incoming(self) -> imports.Incoming:
        """As the command takes it."""
        return imports.Incoming(self.name or "", self.head, self.size or 0, self._keep)

    def _keep(self) -> sealed_files.Sealed:
        self._spool.seek(0)
        return sealed_files.keep(evidence.chunks_of(self._spool), self._sealer)


class SealingHandler(FileUploadHandler):
    """Seals the file of an import under the import's id; whatever is past the limit is read away and not kept."""

    def __init__(self, request: HttpRequest, import_id: UUID):
        super().__init__(request)
        self._aad = imports.aad(import_id, "file")

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin."""
        super().new_file(*args, **kwargs)
        self._sealer = sealed_files.Sealer(self._aad)
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 the upload lives on it
        self._head = b""
        self._left_out = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Seal a piece."""
        if start < HEAD:
            self._head += raw_data[: HEAD - start]
        if start + len(raw_data) <= imports.LARGEST:
            self._spool.write(self._sealer.update(raw_data))
            return
        self._left_out += len(raw_data)
        if self._left_out > DRAIN:
            raise StopUpload(connection_reset=True)

    def file_complete(self, file_size: int) -> UploadedFile:
        """End."""
        self._spool.write(self._sealer.finish())
        upload = SealedUpload(self.file_name or "", self._head, self._sealer, self._spool)
        upload.size = file_size  # also of what was too large to be kept: the command refuses it
        return upload
