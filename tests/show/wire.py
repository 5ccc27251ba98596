"""HTTP as bytes on sockets: one connection per request, the target sent exactly as given, every
header of the answer seen."""

import http.client
import io
import socket

from PIL import Image


class Answer:
    """Status, headers (names in lower case) and body of a response."""

    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers}

    def __getitem__(self, header):
        return self.headers.get(header.lower(), "")

    @property
    def cache(self):
        return self["X-Cache"]

    def picture(self):
        """The decoded body, every pixel of it, by Pillow."""
        image = Image.open(io.BytesIO(self.body))
        image.load()
        return image

    def told(self):
        """Status and the first words of a body that is no picture, for messages."""
        text = "" if self["Content-Type"].startswith("image/") else self.body[:120].decode("utf-8", "replace")
        return f"{self.status} {text}".strip()


def request(address, target, method="GET", headers=None, seconds=60, body=None):
    """One request on a connection of its own; the target goes out exactly as given, and so does a
    Host among the headers. A body goes out with its length."""
    connection = http.client.HTTPConnection(*address, timeout=seconds)
    headers = {"Connection": "close", **(headers or {})}
    try:
        connection.putrequest(method, target, skip_accept_encoding=True, skip_host=any(name.lower() == "host" for name in headers))
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None and not any(name.lower() == "content-length" for name in headers):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def connected(address, seconds=60):
    """An open socket, nothing sent yet."""
    return socket.create_connection(address, timeout=seconds)


def send(sock, address, target):
    """Sends a whole GET in one piece."""
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: close\r\n\r\n".encode())


def receive(sock):
    """Reads one answer from a socket and closes it."""
    response = http.client.HTTPResponse(sock)
    try:
        response.begin()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        sock.close()
