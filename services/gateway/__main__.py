"""Run the gateway: `python -m services.gateway`."""

from __future__ import annotations

from services.database.engine import open_sessions
from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from services.kit.http import async_client
from services.kit.logging import configure
from services.kit.queue import make_celery, redis_client
from services.kit.serving import serve
from services.kit.settings import Platform


def main() -> None:
    configure("gateway")
    platform, settings = Platform(), GatewaySettings()
    app = create_app(
        settings=settings,
        sessions=open_sessions(platform.database_url),
        files_url=platform.files_url,
        base_model=platform.base_model,
        top_k=platform.top_k,
        min_answerability=platform.min_answerability,
        guarded=platform.guarded,
        max_answer_tokens=platform.max_answer_tokens,
        retrieval=async_client(platform.retrieval_url, platform.service_token),
        generation=async_client(platform.generation_url, platform.service_token),
        celery=make_celery(platform.broker_url),
        counters=redis_client(platform.broker_url),
    )
    serve(app, platform.gateway_url, platform.listen_host)


if __name__ == "__main__":
    main()
