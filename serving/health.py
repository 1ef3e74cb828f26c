"""Ask a server's gRPC health service once, for a container's health check:

    python -m serving.health 127.0.0.1:8500
    python -m serving.health search.internal:8500 --ca ca.crt --cert client.crt --key client.key

Exits with 0 when it serves, with 1 and a sentence otherwise. Works on the embedded server and on a stock one started
with --enable_grpc_healthcheck_service. Imports no TensorFlow, so it takes a fraction of a second.
"""

import argparse
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from catalog.errors import ConfigError
from serving.probe_channel import open_channel, read_tls


def check_health(channel: grpc.Channel, timeout: float) -> str:
    """Why the server does not serve; "" when it does.

    Args:
        channel: to the server.
        timeout: seconds to connect and answer in.
    """
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=timeout)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return f"the server says {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"


def main(arguments: list[str] | None = None) -> None:
    """Check the server named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m serving.health", description="Ask a server whether it serves.")
    parser.add_argument("address", help="host:port")
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds")
    parser.add_argument("--ca", type=Path, help="PEM file of the CA that signed the server's certificate; turns TLS on")
    parser.add_argument("--cert", type=Path, help="PEM file of the client's certificate, for mutual TLS")
    parser.add_argument("--key", type=Path, help="PEM file of its private key")
    given = parser.parse_args(arguments)
    try:
        tls = read_tls(given.ca, given.cert, given.key)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    with open_channel(given.address, tls) as channel:
        reason = check_health(channel, given.timeout)
    if reason:
        print(f"{given.address}: {reason}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
