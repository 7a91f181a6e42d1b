"""The request never reached an operation. Pure."""

from __future__ import annotations

from replicante.errors.requests import RequestError


class MalformedHttp(RequestError):
    """The bytes received are no HTTP request."""

    code, http_status = "malformed_http", 400


class BodyTimeout(RequestError):
    """The body did not arrive in time."""

    code, http_status = "body_timeout", 408


class NoSuchPath(RequestError):
    """There is no such path. The paths are listed by GET /openapi.json."""

    code, http_status = "no_such_path", 404


class MethodNotAllowed(RequestError):
    """This path does not take this method; `Allow` names those that it takes."""

    code, http_status = "method_not_allowed", 405


class NotAcceptable(RequestError):
    """The answer has none of the media types that `Accept` asks for."""

    code, http_status = "not_acceptable", 406


class UnsupportedMedia(RequestError):
    """The body must be JSON or msgpack, and say so in `Content-Type`."""

    code, http_status = "unsupported_media_type", 415


class TooManyRequests(RequestError):
    """Too many requests are in flight on this peer; this one was refused before it began."""

    code, http_status = "too_many_requests", 429
    retry = True


class NotReady(RequestError):
    """This peer is not ready to serve. Send requests to another peer."""

    code, http_status = "not_ready", 503


class TooManyStreams(RequestError):
    """Too many event streams are open on this peer. Ask another peer."""

    code, http_status = "too_many_streams", 503
    retry = True
