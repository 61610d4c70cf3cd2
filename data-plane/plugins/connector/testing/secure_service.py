"""The SDK's connector service behind TLS: PORT CERTIFICATE_FILE; writes a certificate of its own there first."""
import asyncio
import datetime
import ipaddress
import pathlib
import sys

import jobs_connector  # noqa: F401  registers its connectors
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flyte.connectors._grpc import grpc
from flyte.connectors._server import AsyncConnectorService, ConnectorMetadataService
from flyteidl2.connector.service_pb2_grpc import (
    add_AsyncConnectorServiceServicer_to_server,
    add_ConnectorMetadataServiceServicer_to_server,
)


def certificate() -> "tuple[bytes, bytes]":
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "connector of a test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, built.public_bytes(serialization.Encoding.PEM)


async def main(port: int, file: str) -> None:
    private, public = certificate()
    pathlib.Path(file).write_bytes(public)
    server = grpc.aio.server()
    add_AsyncConnectorServiceServicer_to_server(AsyncConnectorService(), server)
    add_ConnectorMetadataServiceServicer_to_server(ConnectorMetadataService(), server)
    server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([(private, public)]))
    await server.start()
    await server.wait_for_termination()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
