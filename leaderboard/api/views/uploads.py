"""Uploads of image archives by the tus 1.0.0 protocol, with their state as JSON beside it."""

from __future__ import annotations

from typing import Any, cast

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import permissions, serializers, status
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from leaderboard.accounts.models import User
from leaderboard.api import tus
from leaderboard.api.errors import ProblemSerializer
from leaderboard.api.schema import answers, extend_schema
from leaderboard.core.problems import Gone, Refused, problem_make
from leaderboard.uploads import selectors, services
from leaderboard.uploads.models import Upload, UploadState

_LISTED = 50
#: What of a client's metadata is read here; the rest is kept for it.
_KNOWN = ("filename", "sha256", "fingerprint")


class UploadSerializer(serializers.ModelSerializer[Upload]):
    offset = serializers.SerializerMethodField(help_text="Bytes that are there: go on from here.")
    image = serializers.CharField(help_text="What to submit as `image`; empty until it is complete.")
    problems = serializers.SerializerMethodField(help_text="Why it was refused.")
    url = serializers.SerializerMethodField()

    class Meta:
        model = Upload
        fields = (
            "id",
            "filename",
            "state",
            "size",
            "offset",
            "sha256",
            "expected_sha256",
            "fingerprint",
            "image",
            "problems",
            "created_at",
            "expires_at",
            "url",
        )

    def get_offset(self, upload: Upload) -> int:
        return selectors.upload_offset(upload)

    @extend_schema_field(ProblemSerializer(many=True))
    def get_problems(self, upload: Upload) -> list[dict[str, str]]:
        return list(upload.problems)

    @extend_schema_field(str)
    def get_url(self, upload: Upload) -> str:
        return _address(self.context["request"], upload)


def _header(name: str, text: str, *, required: bool = True) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, required=required, description=text)


_TUS = _header("Tus-Resumable", f"`{tus.VERSION}`")
_CHECKSUM = _header("Upload-Checksum", "`sha256 <base64>` (or sha1) of this body.", required=False)
_PIECE = {tus.CONTENT_TYPE: OpenApiTypes.BINARY}


class _Unread(BaseParser):
    """Leaves the body alone: the CSRF check asks for form data, and must not have gigabytes parsed for it."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        return {}


class _TusView(APIView):
    """What both addresses share: who may ask, how often, and the protocol's version on every answer."""

    parser_classes = (_Unread,)
    permission_classes = (permissions.IsAuthenticated,)
    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "upload"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The method that `X-HTTP-Method-Override` names is the one that is meant."""
        if named := request.headers.get("X-HTTP-Method-Override", ""):
            request.method = named.upper()
        return super().dispatch(request, *args, **kwargs)

    def get_authenticators(self) -> list[Any]:
        return [] if getattr(self.request, "method", "") == "OPTIONS" else super().get_authenticators()

    def get_permissions(self) -> list[Any]:
        return [] if getattr(self.request, "method", "") == "OPTIONS" else list(super().get_permissions())

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method in {"POST", "HEAD", "PATCH", "DELETE"}:
            tus.version_check(_plain(request))

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Tus-Resumable"] = tus.VERSION
        answer["Cache-Control"] = "no-store"
        if answer.status_code == tus.VersionRefused.status:
            answer["Tus-Version"] = tus.VERSION
        if answer.status_code == services.ChecksumMismatch.status:
            answer.reason_phrase = "Checksum Mismatch"
        return answer

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """What this server can do."""
        return Response(status=status.HTTP_204_NO_CONTENT, headers=tus.server_headers())


class UploadListView(_TusView):
    """The uploads of the person who asks."""

    @extend_schema(operation_id="uploads_list", responses=answers(UploadSerializer(many=True), errors=(401,)))
    def get(self, request: Request) -> Response:
        """Your uploads, newest first: what is still open, what can be submitted, what was refused."""
        found = selectors.upload_list(owner=cast(User, request.user))[:_LISTED]
        return Response(UploadSerializer(found, many=True, context={"request": request}).data)

    @extend_schema(
        operation_id="uploads_create",
        parameters=[
            _TUS,
            _header("Upload-Length", "Bytes of the whole file."),
            _header(
                "Upload-Metadata",
                "`filename`, `sha256` (checked at the end) and `fingerprint` (your own mark), values in base64; more "
                "is kept, and HEAD gives all of it back.",
                required=False,
            ),
            _CHECKSUM,
        ],
        request=_PIECE,
        responses=answers(UploadSerializer, status=201, errors=(400, 401, 412, 413, 460, 507)),
    )
    def post(self, request: Request) -> Response:
        """Open an upload; `Location` is where its bytes go. The first ones may come with it."""
        plain = _plain(request)
        size, metadata = tus.number_read(plain, "Upload-Length"), tus.metadata_read(plain, known=_KNOWN)
        length = tus.content_length(plain) if tus.has_content(plain) else 0
        checksum = tus.checksum_read(plain)
        upload = services.upload_create(
            user=cast(User, request.user), size=size, metadata=metadata.as_sent, **metadata.known
        )
        headers = {"Location": _address(request, upload)}
        if length:
            headers["Upload-Offset"] = str(_first_bytes(upload, plain, length, checksum))
            upload.refresh_from_db()
        headers["Upload-Expires"] = tus.expires_write(upload.expires_at)
        data = UploadSerializer(upload, context={"request": request}).data
        return Response(data, status=status.HTTP_201_CREATED, headers=headers)


class UploadView(_TusView):
    """One upload of the person who asks; nobody else's is known here."""

    @extend_schema(operation_id="uploads_retrieve", responses=answers(UploadSerializer, errors=(401, 404, 410)))
    def get(self, request: Request, id: str) -> Response:  # noqa: A002
        """How far it is; when it is COMPLETE, what to submit. It is CHECKING while its bytes are hashed."""
        upload = _upload(request, id)
        return Response(UploadSerializer(upload, context={"request": request}).data)

    def head(self, request: Request, id: str) -> Response:  # noqa: A002
        """Where to go on."""
        upload = _upload(request, id)
        if upload.state == UploadState.REFUSED:
            raise Gone(upload.problems)
        metadata = {"filename": upload.filename, "fingerprint": upload.fingerprint}  # where it was not kept as sent
        headers = {
            "Upload-Offset": str(selectors.upload_offset(upload)),
            "Upload-Length": str(upload.size),
            "Upload-Metadata": upload.metadata or tus.metadata_write(metadata),
            "Upload-Expires": tus.expires_write(upload.expires_at),
        }
        return Response(headers=headers)

    @extend_schema(
        operation_id="uploads_append",
        parameters=[_TUS, _header("Upload-Offset", "Where these bytes begin: the end of what is there."), _CHECKSUM],
        request=_PIECE,
        responses=answers(None, status=204, errors=(400, 401, 404, 409, 410, 411, 412, 413, 415, 460, 507)),
    )
    def patch(self, request: Request, id: str) -> Response:  # noqa: A002
        """Send the next bytes, a few megabytes at a time."""
        plain = _plain(request)
        length, offset = tus.content_length(plain), tus.number_read(plain, "Upload-Offset")
        checksum, upload = tus.checksum_read(plain), _upload(request, id)
        end = services.upload_append(
            upload=upload, offset=offset, stream=tus.Body(plain), length=length, checksum=checksum
        )
        upload.refresh_from_db()
        headers = {"Upload-Offset": str(end), "Upload-Expires": tus.expires_write(upload.expires_at)}
        return Response(status=status.HTTP_204_NO_CONTENT, headers=headers)

    @extend_schema(
        operation_id="uploads_discard",
        parameters=[_TUS],
        request=None,
        responses=answers(None, status=204, errors=(401, 404, 409, 410, 412)),
    )
    def delete(self, request: Request, id: str) -> Response:  # noqa: A002
        """Discard it and its bytes. Not while a submission needs them."""
        services.upload_remove(upload=_upload(request, id))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _upload(request: Request, upload_id: str) -> Upload:
    try:
        upload = selectors.upload_get(upload_id=upload_id, owner=cast(User, request.user))
    except Upload.DoesNotExist:
        raise Http404 from None
    if upload.state == UploadState.REMOVED:
        raise Gone(upload.problems or [problem_make("upload", upload_id, "is gone", "start a new upload")])
    return upload


def _first_bytes(upload: Upload, plain: HttpRequest, length: int, checksum: tuple[str, bytes] | None) -> int:
    """What comes with the creation. When it is refused the upload goes too: nobody was told its address."""
    try:
        return services.upload_append(upload=upload, offset=0, stream=tus.Body(plain), length=length, checksum=checksum)
    except Refused:
        services.upload_remove(upload=upload, reason="was refused with its first bytes")
        raise


def _address(request: Request, upload: Upload) -> str:
    return request.build_absolute_uri(reverse("api:upload", args=[upload.pk]))


def _plain(request: Request) -> HttpRequest:
    """Django's request: its body is a stream, where DRF would read it whole."""
    return request._request  # noqa: SLF001
