"""The application: `create_app(settings)` puts the parts together.

Importing this module starts nothing. The database must be migrated before the
application starts; `safegene-registry serve` does that.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from safegene import __version__
from safegene_registry.care.pull_through import PullThrough
from safegene_registry.completion import give_up
from safegene_registry.db import THREADS
from safegene_registry.events.live import Live
from safegene_registry.fallback import Fallback
from safegene_registry.guards import check_guards
from safegene_registry.metrics import Metrics
from safegene_registry.middleware import BodyLimitMiddleware, RequestMiddleware
from safegene_registry.problems import install_problem_handlers
from safegene_registry.public_reads import PublicReads
from safegene_registry.readiness import Readiness
from safegene_registry.routes import (
    advisories,
    aliases,
    architectures,
    attestations,
    compatibility,
    deprecations,
    events,
    health,
    namespaces,
    promotion,
    publishers,
    purges,
    tokens,
    uploads,
    vectors,
    webhooks,
    yanks,
)
from safegene_registry.routes.responses import COMMON_RESPONSES, RegistryAPI
from safegene_registry.services import Services, open_services
from safegene_registry.settings import Settings
from safegene_registry.sweeping import remove_leftovers
from safegene_registry.webhooks.delivery import Deliverer

CLOSE_SECONDS = 5.0
"""What a verification in the background gets to end; then another replica may do it."""

DESCRIPTION = """\
Publish, find and download safety vectors. What is public can be read without a token;
everything else needs one. Every answer that is not a success is an RFC 9457 problem.
"""


ROUTERS = (
    *(vectors, yanks, purges, aliases, promotion, deprecations, advisories),
    *(attestations,),
    *(uploads, compatibility, architectures),
    *(namespaces, events, webhooks, tokens, publishers, health),
)


def create_app(settings: Settings) -> FastAPI:
    """Build the service.

    Args:
        settings: where the data lies, and the limits.

    Returns:
        An ASGI application; its lifespan opens and closes the database.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = THREADS
        services = open_services(settings)
        metrics.watch(services.database, limiter)
        app.state.services = services
        app.state.readiness = Readiness(services)
        app.state.live = Live(
            services.database, limit=settings.max_listeners, clock=services.now
        )
        through = pull_through_of(services)
        app.state.pull_through = through
        services.usage.start()
        deliverer = Deliverer(services)
        deliverer.start()
        try:
            if settings.s3_bucket is None:
                # A bucket is listed by `gc`: it may be large, or out of reach.
                remove_leftovers(services)
            yield
            left = services.background.close(CLOSE_SECONDS)
            if left:
                give_up(services, left)
        finally:
            app.state.readiness.close()
            if through is not None:
                await anyio.to_thread.run_sync(through.close)
            deliverer.stop()
            services.usage.stop()
            await app.state.live.close()
            services.database.dispose()

    app = RegistryAPI(
        title="SafeGene registry",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        responses=COMMON_RESPONSES,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.metrics = metrics
    install_problem_handlers(app)
    for module in ROUTERS:
        app.actions.update(check_guards(module.router.routes))
        app.include_router(module.router)
    add_middleware(app, settings, metrics)
    return app


def add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """Put what looks at every request before the routes."""
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimitMiddleware, max_request_bytes=settings.max_request_bytes
    )
    app.add_middleware(PublicReads, routes=vectors.router.routes)
    if settings.upstream_url is not None:
        app.add_middleware(Fallback)
    app.add_middleware(RequestMiddleware, metrics=metrics)


def pull_through_of(services: Services) -> PullThrough | None:
    """What fetches versions that are not here, where there is an upstream registry."""
    settings = services.settings
    if settings.upstream_url is None:
        return None
    return PullThrough(
        services,
        settings.upstream_url,
        settings.upstream_namespaces,
        settings.upstream_timeout.total_seconds(),
    )
