"""Where requests to a URL would go, without a request: for `doctor`."""

from webhook_runner.dispatch.guard import Guard
from webhook_runner.dispatch.proxy import ProxyChoice
from webhook_runner.dispatch.resolver import SystemResolver
from webhook_runner.dispatch.target import target_of
from webhook_runner.settings import EgressSettings


async def way_to(url: str, egress: EgressSettings) -> str:
    """Return the addresses of its host, or the proxy.

    Raises:
        RefusedError: the rules of egress refuse it; one refused address is enough.
        AttemptError: the name has no address.

    """
    guard, resolver = Guard(egress.profile, egress.allow, egress.deny), SystemResolver()
    choice = ProxyChoice(egress.proxy, egress.no_proxy)
    origin = target_of(url).origin
    if choice.proxy is not None and not choice.is_direct(origin.host):
        guard.check_unresolved(origin.host, origin.port)
        await resolver.resolve(choice.proxy.host)
        return f"the proxy {choice.proxy.url}"
    guard.check_host(origin.host, origin.port)
    addresses = await resolver.resolve(origin.host)
    for address in addresses:
        guard.check(origin.host, address, origin.port)
    return ", ".join(addresses)
