"""What a local TLS server needs to be reached and cut off like a distant one: a certificate, and a port to break."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Relay:
    """A TCP port of its own in front of the server's, whose connections can be reset, and which can fall silent."""

    def __init__(self) -> None:
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._silent = False
        self._drops = 0
        self._behind: tuple[bytes, bytes] | None = None

    async def listen(self, target: int, context: ssl.SSLContext | None = None) -> None:
        """With a context the relay speaks TLS, and the server behind it does not."""
        self._target = target
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def listen_again(self) -> None:
        await self.listen(self._target)

    async def cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    def hang(self) -> None:
        """Take connections and bytes from now on, and pass nothing on, ever."""
        self._silent = True

    async def drop(self, connections: int) -> None:
        """Reset what is open, and as many more connections as they come."""
        self._drops = connections
        await self.cut()

    def add_behind(self, end: bytes, more: bytes) -> None:
        """Once, behind what is sent that ends so: send these bytes in the same packet."""
        self._behind = end, more

    async def answer_again(self) -> None:
        """The end of `hang`: who was connected has to connect again."""
        self._silent = False
        await self.cut()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._drops:
            self._drops -= 1
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, far_writer}
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._open -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if self._behind is not None and data.endswith(self._behind[0]):
                    data += self._behind[1]
                    self._behind = None
                if not self._silent:
                    writer.write(data)
                    await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def make_certificate() -> tuple[bytes, bytes]:
    """A self-signed certificate for localhost and its key, both PEM, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
