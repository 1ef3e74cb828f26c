"""Addresses of servers, as gRPC takes them; imports nothing heavy."""

import ipaddress


def host_port(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address, whether it has them already or not."""
    return f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"


def family(address: str) -> str | None:
    """ipv4 or ipv6 for IP:port; None for anything else."""
    host, _, port = address.rpartition(":")
    try:
        version = ipaddress.ip_address(host.strip("[]")).version
    except ValueError:
        return None
    return f"ipv{version}" if port.isdigit() else None


def is_local(target: str) -> bool:
    """Whether all addresses of a target are on this machine."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    for address in target.removeprefix("dns:///").removeprefix("ipv4:").removeprefix("ipv6:").split(","):
        host = address.rpartition(":")[0].strip("[]")
        if host != "localhost" and (family(address) is None or not ipaddress.ip_address(host).is_loopback):
            return False
    return True


def proxy_options(target: str) -> list[tuple[str, int]]:
    """gRPC's channel arguments that keep a proxy in http_proxy out of the way to a server on this machine."""
    # gRPC asks the proxy for these too; a proxy has a loopback of its own.
    return [("grpc.enable_http_proxy", 0)] if is_local(target) else []
